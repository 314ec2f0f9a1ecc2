"""The writing of a cache: once on a machine, shard by shard, on from where a killed run stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.caching.key import cache_key, check_can_be_cached
from rowmill.conversion.disk_errors import explained
from rowmill.conversion.journal import Journal
from rowmill.conversion.progress import Bar
from rowmill.exceptions import DiskBudgetError
from rowmill.folders import cache_folder
from rowmill.interop.reader import fitted
from rowmill.plan import OrderSettings, Plan
from rowmill.stages import Clip

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.dataset import Dataset

__all__ = [
    "IN_THE_WAY",
    "NOTE",
    "Budget",
    "batch_rows",
    "cache_place",
    "cached_shards",
    "compact",
    "made_schema",
    "remove_damaged",
    "storage_order",
    "whole_shards",
]

NOTE = "dataset.json"
_FOLDER = "cached"
# What a kill costs is the making of one.
_SHARD_BYTES = 64 << 20
_BLOCK_BYTES, _BLOCK_ROWS = 4 << 20, 1000
# Other programs need some as well.
_SPARED_BYTES = 256 << 20
IN_THE_WAY = {
    "closed": "name another folder by .cache(dir) or ROWMILL_CACHE",
    "full": "make some and give the same call again: it goes on behind the last shard that is there",
}


def cached_shards(
    dataset: Dataset, dir: str | os.PathLike[str] | None, max_bytes: int | None, key: str | None
) -> list[str]:
    """The shards of what ``dataset`` makes, in storage order; written first where they are not there.

    Of several processes one writes, and the others wait for it.
    """
    from filelock import FileLock

    plan = dataset._plan
    check_can_be_cached(plan)
    name = cache_key(plan, key)
    folder = cache_place(dir) / name
    if (shards := whole_shards(folder)) is not None:
        return shards
    with explained(folder, **IN_THE_WAY):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # The system's lock, which dies with its holder.
        with FileLock(f"{folder}.lock"):
            if whole_shards(folder) is None:
                remove_damaged(folder)
                _write(dataset, folder, name, max_bytes)
    shards = whole_shards(folder)
    assert shards is not None, "a cache that was just written is whole"
    return shards


def cache_place(dir: str | os.PathLike[str] | None) -> Path:
    """The folder of caches."""
    return cache_folder() / _FOLDER if dir is None else Path(dir).expanduser().absolute()


def remove_damaged(folder: Path) -> None:
    """Removes a cache that was finished once, and is not whole any more."""
    if (folder / NOTE).exists():
        shutil.rmtree(folder)


def whole_shards(folder: Path) -> list[str] | None:
    """The shards of a cache that is there, whole."""
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        shards = [(str(folder / shard["name"]), shard["num_bytes"]) for shard in note["shards"]]
        is_whole = all(os.path.getsize(path) == size for path, size in shards)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return [path for path, _ in shards] if is_whole else None


def _write(dataset: Dataset, folder: Path, name: str, max_bytes: int | None) -> None:
    plan, bar_title = dataset._plan, "caching"
    total = plan.pipeline.rows[1] - plan.pipeline.rows[0]
    with Journal(folder, {"key": name}) as journal, Bar(bar_title, total) as bar:
        shards = list(journal.shards)
        budget = Budget(folder, max_bytes, sum(shard["num_bytes"] for shard in shards))
        bar.add(sum(shard["num_rows"] for shard in shards))
        with _Rows(storage_order(dataset._plan), shards, folder, bar) as rows:
            index = len(shards)
            while index == 0 or not rows.is_over:
                journal.write_shard(f"shard-{index:06d}.arrow", 0, lambda path: rows.write(path, budget))
                index += 1
        journal.finish({"format": "arrow", "key": name, "pipeline": list(plan.pipeline.description)})


def storage_order(plan: Plan, first_row: int = 0) -> Dataset:
    """The rows in the order of the files, as one rank reads them once; from one of the source's on."""
    from rowmill.dataset import Dataset

    skipped = (Clip(first_row, None, False),) if first_row else ()
    return Dataset(Plan(plan.source, (*skipped, *plan.stages), OrderSettings(), rank=(1, 0)))


class _Rows:
    """One pass over the rows, from behind the last shard that is there."""

    def __init__(self, dataset: Dataset, shards: list[dict[str, Any]], folder: Path, bar: Bar) -> None:
        import pyarrow as pa

        self._bar = bar
        batched = dataset.with_format("arrow").batch(batch_rows(dataset), remainder="keep")
        if shards:
            batched.load_state_dict(shards[-1]["carried"])
            with pa.OSFile(str(folder / shards[0]["name"]), "rb") as file:
                self.schema = pa.ipc.open_stream(file).schema
        self._loader = batched.loader(num_threads=os.cpu_count())
        self._made: Any = iter(self._loader)
        self._first: pa.RecordBatch | None = None
        if not shards:
            self._first = next(self._made, None)
            self.schema = made_schema(dataset, self._first)
        else:
            self._first = next(self._made, None)
        self.is_over = self._first is None

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self._loader.close()

    def write(self, path: Path, budget: Budget) -> dict[str, Any]:
        """Writes rows until they are a shard."""
        import pyarrow as pa

        num_rows, state = 0, None
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, self.schema) as writer:
            for batch in self._batches():
                fitting = fitted(batch, self.schema)
                budget.take(fitting.nbytes)
                writer.write_batch(compact(fitting))
                num_rows += batch.num_rows
                self._bar.add(batch.num_rows, rows=batch.num_rows)
                state = self._state
                if file.tell() >= _SHARD_BYTES:
                    break
        return {"num_rows": num_rows, "carried": state}

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """Batches; ``_state`` is the cursor behind the one that was handed out."""
        while self._first is not None:
            batch, self._state = self._first, self._made.state_dict()
            self._first = next(self._made, None)
            self.is_over = self._first is None
            yield batch


def made_schema(dataset: Dataset, first: pa.RecordBatch | None) -> pa.Schema:
    """The schema of what ``dataset`` makes, whose first rows are these."""
    import pyarrow as pa

    if first is None or not dataset._plan.pipeline.row_stages:
        return dataset.schema if first is None or _keeps_features(dataset) else first.schema
    stored = dataset.schema
    return pa.schema(
        stored.field(field.name) if pa.types.is_null(field.type) and field.name in stored.names else field
        for field in first.schema
    )


class Budget:
    """Room on the disk; an error names what is needed before it is gone."""

    def __init__(self, folder: Path, max_bytes: int | None, used: int) -> None:
        self.folder, self.max_bytes, self.used = folder, max_bytes, used

    def take(self, num_bytes: int) -> None:
        """Raises DiskBudgetError where so many bytes more are too many."""
        self.used += num_bytes
        if self.max_bytes is not None and self.used > self.max_bytes:
            raise DiskBudgetError(
                f"{self.folder} would take {self.used:,} bytes, more than max_bytes={self.max_bytes:,}; a larger one "
                "goes on behind what is finished, and `rowmill cache clear --kind cached` removes it",
                str(self.folder),
            )
        free = shutil.disk_usage(self.folder).free
        if free < num_bytes + _SPARED_BYTES:
            raise DiskBudgetError(
                f"{self.folder} needs {num_bytes:,} bytes more, and its disk has {free:,} left, of which "
                f"{_SPARED_BYTES:,} are spared for others; make room, or name another folder by .cache(dir): "
                "finished stays",
                str(self.folder),
            )


def batch_rows(dataset: Dataset) -> int:
    """Rows that are made at a time: a block of the cache."""
    plan = dataset._plan
    if plan.pipeline.pack is not None:
        # Ids, labels and what else was asked for, of eight bytes each.
        row_bytes = plan.pipeline.pack.seq_len * 8 * len(plan.pipeline.pack.names)
    else:
        row_bytes = plan.source.rust.num_bytes // max(plan.source.rust.num_rows, 1)
    return min(max(_BLOCK_BYTES // max(row_bytes, 1), 1), _BLOCK_ROWS)


def _keeps_features(dataset: Dataset) -> bool:
    """Whether the schema is known beforehand, with what HF's features say of it."""
    return dataset._plan.pipeline.pack is None


def compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Each column in an array of its own: a part of a larger one would be written with its own offsets."""
    import pyarrow as pa

    return pa.RecordBatch.from_arrays(
        [pa.concat_arrays([column, pa.nulls(0, column.type)]) for column in batch.columns], schema=batch.schema
    )
