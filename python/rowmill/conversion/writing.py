"""A dataset's rows into shards, one after the other, from where a killed run stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rowmill.conversion.journal import Journal
from rowmill.conversion.progress import Bar
from rowmill.conversion.row_blocks import RowBlocks

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.dataset import Dataset

__all__ = ["ShardSink", "row_sizes", "write_shards"]

Tell = Callable[["pa.Table"], None]


class ShardSink(Protocol):
    """What makes files of rows.

    Attributes:
        title: What a progress bar says.
        suffixes: Of a shard's files: of the one that is named, then of those beside it.
        is_parquet: Whether a block is as large as a row group may be.
    """

    title: str
    suffixes: tuple[str, ...]
    is_parquet: bool

    def go_on(self, shards: list[dict[str, Any]]) -> None:
        """Stands where it stood when it had written these shards."""

    def write(self, first_row: int, is_last: bool, blocks: Iterable[pa.Table], *paths: Path) -> dict[str, Any] | None:
        """Writes one shard to ``paths``; what is to be said of it, beside its bytes."""

    def tell(self, bar: Bar, block: pa.Table) -> None:
        """Counts a block that is about to be written."""


def write_shards(
    dataset: Dataset,
    folder: Path,
    schema: pa.Schema,
    sizes: list[int],
    settings: dict[str, Any],
    sink: ShardSink,
    facts: dict[str, Any],
    *,
    num_threads: int | None = None,
) -> dict[str, Any]:
    """Writes shards of ``sizes`` rows of ``dataset``, then ``dataset.json`` with ``facts``; what stands in it.

    Args:
        dataset: Rows whose number is known.
        folder: New, empty, or holding what a run of the same ``settings`` left.
        schema: Of the rows.
        sizes: Rows of each shard.
        settings: What two runs must have in common for one to go on where the other stopped.
        sink: What makes the files.
        facts: What is said of the whole.
        num_threads: Threads of the engine.
    """
    with Journal(folder, settings) as journal, Bar(sink.title, sum(sizes)) as bar:
        first_row = sum(sizes[: len(journal.shards)])
        sink.go_on(journal.shards)
        bar.add(first_row)
        with RowBlocks(dataset, schema, first_row, num_threads=num_threads) as rows:
            block_rows = journal.remember("block_rows", lambda: rows.fitting_block(is_parquet=sink.is_parquet))
            for index in range(len(journal.shards), len(sizes)):
                blocks = rows.blocks(sizes[index], block_rows, partial(sink.tell, bar))
                write = partial(sink.write, first_row, index == len(sizes) - 1, blocks)
                name, *beside = (f"shard-{index:06d}{suffix}" for suffix in sink.suffixes)
                journal.write_shard(name, sizes[index], write, beside)
                first_row += sizes[index]
        return journal.finish(facts)


def row_sizes(
    dataset: Dataset, num_shards: int | None, shard_bytes: int | None, *, usual_shards: int | None
) -> list[int]:
    """Rows of each shard: as even as they can be, the first ones having one more."""
    num_rows = len(dataset)
    if shard_bytes is not None:
        source = dataset._plan.source.rust
        num_bytes = source.num_bytes * num_rows // max(source.num_rows, 1)
        num_shards = -(-num_bytes // shard_bytes)
    # A shard without rows is of no use to anybody; one shard there is always, for the schema.
    number = max(min(num_shards or usual_shards or 1, num_rows), 1)
    return [num_rows // number + (index < num_rows % number) for index in range(number)]
