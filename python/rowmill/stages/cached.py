"""cache(wait=False): from here on rows come out of a cache, once it is whole, and are made like before until then."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rowmill import _rust

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Cached", "schema_of"]


@dataclass(frozen=True, slots=True)
class Cached:
    """Rows that the stages before make, as they are read from a cache in ``folder``.

    It is no part of what a cursor belongs to: the rows, and their order, are the same with the cache and without.

    Attributes:
        folder: Of the cache; its last part is the cache's key.
        schema: Of its shards, serialized.
        dtypes: Element types of its numeric columns, and the same where lists of integers are tokens.
        max_bytes: Bytes that it may take.
        index_dir: Where the index of its shards is kept.
    """

    folder: str
    schema: bytes
    dtypes: tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]
    max_bytes: int | None = None
    index_dir: str | None = None

    def describe(self) -> str:
        return "cache(wait=False)"

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row as it comes back from the cache: a function's values as Arrow holds them."""
        from rowmill.interop.reader import fitted
        from rowmill.values import record_batch

        schema = schema_of(self)
        batch: pa.RecordBatch = fitted(record_batch({name: [value] for name, value in row.items()}), schema)
        rows: list[dict[str, Any]] = _rust.rows_from_arrow(batch)
        return rows[0]

    def numeric_dtypes(self, tokens_as_int64: bool) -> list[tuple[str, str]]:
        """Element types of the numeric columns, as the engine makes batches of the cache."""
        return list(self.dtypes[tokens_as_int64])


@functools.lru_cache(maxsize=32)
def schema_of(stage: Cached) -> pa.Schema:
    """The schema of a cache."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(stage.schema))
