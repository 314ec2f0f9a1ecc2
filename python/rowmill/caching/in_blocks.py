"""Caches in the blocks of their source: the order of the source's rows is an order of theirs.

So a pass can go on from the cache, at any step, where it was begun without it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.caching.build import Budget, batch_rows, cache_place, compact, made_schema, storage_order
from rowmill.caching.key import cache_key, check_can_be_cached
from rowmill.conversion.journal import Journal
from rowmill.interop.reader import fitted
from rowmill.source import OpenedSource, OpenOptions
from rowmill.stages import Cached
from rowmill.stages.cached import schema_of

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.plan import Plan

__all__ = ["Stopped", "cached_stage", "opened_cache", "write_in_blocks"]

# As of other caches: what a kill costs is the making of one.
_SHARD_BYTES = 64 << 20
_STOPPABLE_ROWS = 32


class Stopped(Exception):
    """The process has no use for the cache any more."""


def cached_stage(plan: Plan, dir: str | os.PathLike[str] | None, max_bytes: int | None, key: str | None) -> Any:
    """The stage that stands for a cache of ``plan`` which is whole or being written.

    None where the number of rows is not known before they are made: then there is no order yet either.
    """
    check_can_be_cached(plan)
    pipeline, source = plan.pipeline, plan.source
    if not source.rust.num_rows:
        return None
    is_whole = pipeline.rows == (0, source.rust.num_rows) and pipeline.positions == (0, None)
    if pipeline.is_laned or not is_whole or source.options.on_error != "raise":
        return None
    folder = cache_place(dir) / cache_key(plan, key, in_blocks=True)
    schema = _schema(plan, folder)
    options = source.options
    return Cached(str(folder), schema.serialize().to_pybytes(), _dtypes(schema), max_bytes, options.index_dir)


def _schema(plan: Plan, folder: Path) -> pa.Schema:
    import pyarrow as pa

    # A damaged one is written again.
    with contextlib.suppress(OSError, pa.ArrowInvalid), pa.OSFile(str(folder / "shard-000000.arrow"), "rb") as file:
        return pa.ipc.open_stream(file).schema
    rows = storage_order(plan)
    if not plan.pipeline.row_stages:
        return rows.schema
    with rows.with_format("arrow").batch(batch_rows(rows), remainder="keep").loader() as loader:
        return made_schema(rows, next(iter(loader), None))


def _dtypes(schema: pa.Schema) -> Any:
    """Element types of the numeric columns, as the engine tells them of a file."""
    import pyarrow as pa

    if not schema.names:
        return ((), ())
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "schema.arrow")
        with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, schema):
            pass
        source = OpenedSource(OpenOptions(paths=(path,), index_dir=folder)).rust
        table = source.table([(name, name) for name in source.column_names], "read")
        return tuple(tuple(table.numeric_dtypes(is_torch)) for is_torch in (False, True))


def opened_cache(stage: Cached, shards: list[str]) -> OpenedSource:
    """The rows of a cache that is whole."""
    return OpenedSource(OpenOptions(paths=tuple(shards), index_dir=stage.index_dir))


def write_in_blocks(plan: Plan, stage: Cached, stop: threading.Event) -> None:
    """Writes what ``plan`` makes, a block for each of its source's, on from where a killed run stopped.

    Raises:
        Stopped: Somebody has set ``stop``; what is finished stays.
        DiskBudgetError: It would take more than it may.
    """
    folder = Path(stage.folder)
    with Journal(folder, {"key": folder.name}) as journal:
        shards = list(journal.shards)
        budget = Budget(folder, stage.max_bytes, sum(shard["num_bytes"] for shard in shards))
        blocks = _Blocks(plan, stage, shards[-1]["carried"] if shards else 0, stop)
        index = len(shards)
        while index == 0 or not blocks.are_over:
            journal.write_shard(f"shard-{index:06d}.arrow", 0, lambda path: blocks.write(path, budget))
            index += 1
        journal.finish({"format": "arrow", "key": folder.name, "pipeline": list(plan.pipeline.description)})


class _Blocks:
    """One pass over the rows from a block of the source on, cut where its blocks end."""

    def __init__(self, plan: Plan, stage: Cached, first: int, stop: threading.Event) -> None:
        self._sizes, self._next, self._stop = plan.source.rust.block_rows, first, stop
        self._schema = schema_of(stage)
        rows = storage_order(plan, sum(self._sizes[:first]))
        # Between two batches of functions the thread can be stopped.
        size = min(batch_rows(rows), _STOPPABLE_ROWS) if plan.pipeline.row_stages else batch_rows(rows)
        self._batched = rows.with_format("arrow").batch(size, remainder="keep")
        self._cut = self._blocks()

    @property
    def are_over(self) -> bool:
        """Whether there is no block left."""
        return self._next == len(self._sizes)

    def write(self, path: Path, budget: Budget) -> dict[str, Any]:
        """Writes blocks until they are a shard."""
        import pyarrow as pa

        num_rows = 0
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, self._schema) as writer:
            for block in self._cut:
                budget.take(block.nbytes)
                writer.write_batch(block)
                num_rows, self._next = num_rows + block.num_rows, self._next + 1
                if file.tell() >= _SHARD_BYTES:
                    break
        return {"num_rows": num_rows, "carried": self._next}

    def _blocks(self) -> Iterator[pa.RecordBatch]:
        held: list[pa.RecordBatch] = []
        num_held = 0
        with self._batched.loader() as loader:
            made = iter(loader)
            for size in self._sizes[self._next :]:
                while num_held < size:
                    if self._stop.is_set():
                        raise Stopped
                    held.append(fitted(next(made), self._schema))
                    num_held += held[-1].num_rows
                block, held = self._taken(held, size)
                num_held -= size
                yield block

    def _taken(self, held: list[pa.RecordBatch], size: int) -> tuple[pa.RecordBatch, list[pa.RecordBatch]]:
        """The first ``size`` rows of batches as one, and the rest."""
        import pyarrow as pa

        parts, missing = [], size
        while missing:
            first = held[0]
            parts.append(first.slice(0, missing))
            missing -= parts[-1].num_rows
            held = held[1:] if parts[-1].num_rows == first.num_rows else [first.slice(parts[-1].num_rows), *held[1:]]
        columns = (
            [pa.concat_arrays([part.column(at) for part in parts]) for at in range(len(self._schema))]
            if parts
            else [pa.nulls(0, field.type) for field in self._schema]
        )
        return compact(pa.RecordBatch.from_arrays(columns, schema=self._schema)), held
