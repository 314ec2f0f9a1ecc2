"""A dataset's rows in its order, from some row on, cut into blocks of any number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rowmill.interop.reader import fitted

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.dataset import Dataset

__all__ = ["RowBlocks", "schema_of"]

# What a block is in memory, about: a Parquet row group, or the rows that are held between reading and writing.
_BLOCK_BYTES = 16 << 20
_BLOCK_ROWS = 1000
# Rows that are tokenized are many times their tokens' work: threads share them in smaller parts.
_TOKENIZED_BYTES = 512 << 10
# pyarrow's own limit of a row group.
_GROUP_ROWS = 1 << 20


class RowBlocks:
    """One pass over ``dataset``, whose rows have ``schema``, beginning at row ``first_row`` of its order."""

    def __init__(self, dataset: Dataset, schema: pa.Schema, first_row: int, *, num_threads: int | None = None) -> None:
        self.schema = schema
        self._loader = _batches(dataset.skip(first_row)).loader(num_threads=num_threads)
        self._batches: Iterator[Any] = iter(self._loader)
        self._held: list[pa.Table] = []

    def __enter__(self) -> RowBlocks:
        return self

    def __exit__(self, *_: object) -> None:
        self._loader.close()

    def fitting_block(self, *, is_parquet: bool) -> int:
        """Rows of a block of sensible size, by what the first rows take in memory."""
        if not self._held and not self._read():
            return _BLOCK_ROWS
        first = self._held[0]
        fitting = _BLOCK_BYTES * first.num_rows // max(first.nbytes, 1)
        return int(min(max(fitting, 1), _GROUP_ROWS if is_parquet else _BLOCK_ROWS))

    def blocks(self, num_rows: int, block_rows: int, tell: Callable[[pa.Table], None]) -> Iterator[pa.Table]:
        """The next ``num_rows`` rows in blocks of ``block_rows``, cut alike wherever the pass began."""
        while num_rows:
            block = self._take(min(num_rows, block_rows))
            num_rows -= block.num_rows
            tell(block)
            yield block

    def _take(self, num_rows: int) -> pa.Table:
        import pyarrow as pa

        while sum(table.num_rows for table in self._held) < num_rows and self._read():
            pass
        held = pa.concat_tables(self._held)
        self._held = [held.slice(num_rows)] if held.num_rows > num_rows else []
        return _whole(held.slice(0, num_rows))

    def _read(self) -> bool:
        import pyarrow as pa

        batch = next(self._batches, None)
        if batch is not None:
            self._held.append(pa.Table.from_batches([fitted(pa.record_batch(batch), self.schema)]))
        return batch is not None


def schema_of(dataset: Dataset) -> pa.Schema:
    """The schema of the rows: as stored, or that of the first ones where Python functions make them.

    Always of the dataset's first rows, so that a conversion that goes on has the schema it began with.
    """
    if not dataset._plan.pipeline.row_stages:
        return dataset.schema
    import pyarrow as pa

    with _batches(dataset).loader(num_threads=0) as loader:
        first = next(iter(loader), None)
    if first is None:
        return dataset.schema
    made, stored = pa.record_batch(first).schema, dataset.schema
    # Nothing but nulls says no type; a column that was there before keeps its own.
    return pa.schema(
        stored.field(field.name) if pa.types.is_null(field.type) and field.name in stored.names else field
        for field in made
    )


def _batches(dataset: Dataset) -> Dataset:
    """The rows as Arrow batches of about a block, or of fewer rows."""
    source = dataset._plan.source.rust
    row_bytes = source.num_bytes // max(source.num_rows, 1)
    num_bytes = _BLOCK_BYTES if dataset._plan.pipeline.tokenize is None else _TOKENIZED_BYTES
    batch_rows = min(max(num_bytes // max(row_bytes, 1), 1), _BLOCK_ROWS)
    return dataset.with_format("arrow").batch(batch_rows, remainder="keep")


def _whole(table: pa.Table) -> pa.Table:
    """The table with each column copied into one array of its own.

    A part of a larger array is written with its own offsets: the file would tell where the pass began.
    """
    import pyarrow as pa

    columns = [pa.concat_arrays([*column.chunks, pa.nulls(0, column.type)]) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)
