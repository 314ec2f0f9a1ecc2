"""cache(wait=False): from here on rows come out of a cache, once it is whole, and are made like before until then."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rowmill import _rust
from rowmill.stages.columns import Rename, Select
from rowmill.stages.filter import Filter

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Cached", "Reading", "reading_of", "schema_of"]


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


@dataclass(frozen=True, slots=True)
class Reading:
    """What the engine reads of a cache that is whole: so come its rows without it, too.

    Attributes:
        cached: Which cache.
        columns: (name in the cache, name) of each column.
        is_raw: Whether the rows come as the engine read them: filters by expression are all that stands behind.
    """

    cached: Cached
    columns: tuple[tuple[str, str], ...]
    is_raw: bool

    @property
    def schema(self) -> pa.Schema:
        """Of the rows."""
        import pyarrow as pa

        schema = schema_of(self.cached)
        return pa.schema([schema.field(stored).with_name(name) for stored, name in self.columns])

    def numeric_dtypes(self, tokens_as_int64: bool) -> list[tuple[str, str]]:
        """Element types of the numeric columns, as the engine makes batches of them."""
        dtypes = dict(self.cached.dtypes[tokens_as_int64])
        return [(name, dtypes[stored]) for stored, name in self.columns if stored in dtypes]


def reading_of(stages: Sequence[Any]) -> Reading | None:
    """Of the last cache in ``stages``; None where there is none."""
    at = max((at for at, stage in enumerate(stages) if isinstance(stage, Cached)), default=None)
    if at is None:
        return None
    cached, behind = stages[at], stages[at + 1 :]
    columns = [(name, name) for name in schema_of(cached).names]
    choices = list(itertools.takewhile(lambda stage: isinstance(stage, Select | Rename), behind))
    for choice in choices:
        columns = choice.columns(columns)
    is_raw = all(isinstance(stage, Filter) and stage.is_expression for stage in behind[len(choices) :])
    return Reading(cached, tuple(columns), is_raw)


@functools.lru_cache(maxsize=32)
def schema_of(stage: Cached) -> pa.Schema:
    """The schema of a cache."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(stage.schema))
