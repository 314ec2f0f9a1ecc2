"""What is to be pushed, as files on this disk: Parquet shards made of a data set, or tars as they lie.

Shards are made in rowmill's cache folder, by ``rowmill.convert``: a run that was killed goes on, and the same data give
the same files, so that what was uploaded is not uploaded again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import CorruptShardError, MissingShardError, RowmillError, SchemaMismatchError
from rowmill.folders import cache_folder
from rowmill.hub.card import read_configs, read_metadata
from rowmill.hub.layout import Tree, find_layout
from rowmill.hub.writing import Upload

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.dataset import Dataset

__all__ = ["FORMATS", "SHARD_BYTES", "StagedSplit", "find_splits", "forget", "recipe_of", "stage"]

# As `datasets` cuts what it pushes.
SHARD_BYTES = 500_000_000
# A folder of `save_to_disk`, or of the datasets cache, which knows itself what it holds.
_SAVED = ("state.json", "dataset_info.json")
_DICT = "dataset_dict.json"
FORMATS = ("parquet", "arrow", "webdataset", "json", "csv")
_NOTE = "dataset.json"

Source = Any


@dataclass
class StagedSplit:
    """One split, ready to be uploaded.

    Attributes:
        name: The split.
        files: Its shards, in order.
        dataset: The rows.
        schema: Their columns.
        format: "parquet" or "webdataset".
        origin: How they were made, as plain values.
    """

    name: str
    files: list[Upload]
    dataset: Dataset
    schema: pa.Schema
    format: str
    origin: dict[str, Any]

    @property
    def num_rows(self) -> int:
        """Rows of the split."""
        return len(self.dataset)

    @property
    def num_bytes(self) -> int:
        """Bytes of its shards."""
        return sum(file.size for file in self.files)

    def below(self, folder: str) -> StagedSplit:
        """The same split with its shards in a folder of the repository."""
        return replace(self, files=[replace(file, path=f"{folder}/{file.path}") for file in self.files])


def find_splits(source: Source, split: str | None, config: str = "default") -> dict[str, Dataset]:
    """Datasets by split: of a dataset, a dict of them, paths, or a folder that has one folder a split.

    Raises:
        MissingShardError: There is nothing to read.
        ValueError: A folder's README tells of several configurations and ``config`` is none, or there is no such split.
        SchemaMismatchError: The rows are batched, packed, filtered or repeated, so their number is unknown.
    """
    from rowmill.dataset import Dataset
    from rowmill.opening import open as open_shards

    if isinstance(source, str | os.PathLike) and split is None and (Path(source) / _DICT).is_file():
        names = _saved_splits(Path(source) / _DICT)
        return {str(name): open_shards(source, split=str(name)).shard(1, 0) for name in names}
    if isinstance(source, Mapping):
        if not source:
            raise MissingShardError("there is no split to push")
        return {str(name): find_splits(one, None)["train"] for name, one in source.items()}
    if isinstance(source, Dataset):
        return {split or "train": source.shard(1, 0) if source._plan.rank is None else source}
    files = _files_by_split(source, config)
    if split is not None and files is not None:
        if split not in files:
            raise ValueError(
                f"{source} has the splits {', '.join(files)}, and no {split}; leave split out, or name one"
            )
        files = {split: files[split]}
    if files is not None:
        return {name: open_shards(paths).shard(1, 0) for name, paths in files.items()}
    return {split or "train": open_shards(source).shard(1, 0)}


def _saved_splits(path: Path) -> list[str]:
    """The names of splits that `datasets` has noted.

    Raises:
        CorruptShardError: It is no such note.
    """
    try:
        return [str(name) for name in json.loads(path.read_bytes())["splits"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CorruptShardError(
            f"{path} is damaged: it has no list of the names of splits; save the dataset again", str(path)
        ) from None


def _files_by_split(source: Source, config: str) -> dict[str, list[str]] | None:
    """The files of a folder by split, as `datasets` would find them; None where they are one split, or saved whole."""
    folder = Path(source) if isinstance(source, str | os.PathLike) else None
    if folder is None or not folder.is_dir() or any((folder / note).is_file() for note in _SAVED):
        return None
    readme = folder / "README.md"
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    tree = Tree(str(folder), sorted(paths), readme.read_text(encoding="utf-8") if readme.is_file() else None)
    listed = read_configs(read_metadata(tree.readme, None, tree.place), tree.place)
    try:
        layout = find_layout(tree, config if config in listed else None)
    except RowmillError:
        # What is there is told by whoever opens it.
        return None
    if layout.format not in FORMATS or len(layout.splits) < 2:
        return None
    return {name: [str(folder / path) for path in files] for name, files in layout.splits.items() if files}


def stage(name: str, dataset: Dataset, *, repo: str, columns: Sequence[str] | None, shard_bytes: int) -> StagedSplit:
    """The shards of a split, by their names: tars as they lie, everything else as Parquet.

    Args:
        name: The split.
        dataset: Its rows.
        repo: The repository, which shards are kept apart by.
        columns: The columns that are pushed; all when None.
        shard_bytes: About the size of a shard.
    """
    from rowmill.conversion.shards import convert

    _refuse_uncounted(dataset)
    tars = _tars(dataset) if columns is None else None
    if tars is not None:
        files = [Upload(_shard_name(name, at, len(tars), ".tar"), path) for at, path in enumerate(tars)]
        origin = {"format": "webdataset", "fingerprint": dataset.fingerprint}
        return StagedSplit(name, files, dataset, dataset.schema, "webdataset", origin)
    dataset = dataset if columns is None else dataset.select_columns(list(columns))
    place = _place(repo, name, dataset, shard_bytes)
    if not (place / _NOTE).is_file():
        convert(dataset, place, to="parquet", shard_bytes=shard_bytes)
    made = json.loads((place / _NOTE).read_text(encoding="utf-8"))
    shards = made["shards"]
    files = [
        Upload(_shard_name(name, at, len(shards), ".parquet"), place / shard["name"], shard["num_rows"])
        for at, shard in enumerate(shards)
    ]
    origin = {"format": "parquet", "fingerprint": dataset.fingerprint, "order": made["order"]}
    origin["recipe"] = recipe_of(dataset)
    return StagedSplit(name, files, dataset, _schema(place / shards[0]["name"]), "parquet", origin)


def _refuse_uncounted(dataset: Dataset) -> None:
    plan = dataset._plan
    if plan.pipeline.is_laned or plan.pipeline.batch is not None or plan.num_epochs is not None:
        raise SchemaMismatchError(
            "push takes rows whose number is known: a dataset without .batch, .repeat, .filter, .pack and batched "
            ".map; push a folder that holds what you want"
        )


def _tars(dataset: Dataset) -> list[Path] | None:
    """The tar files, where all rows of them are meant in the order in which they lie."""
    from rowmill.describe import shard_facts

    plan = dataset._plan
    facts = shard_facts(plan.source.rust)
    is_whole = not plan.pipeline.row_stages and plan.order.mode == "none" and len(dataset) == plan.source.rust.num_rows
    is_whole = is_whole and dataset.column_names == list(plan.source.rust.column_names)
    if is_whole and facts and all(shard["format"] == "WebDataset tar" for shard in facts):
        return [Path(str(shard["path"])) for shard in facts]
    return None


def _place(repo: str, split: str, dataset: Dataset, shard_bytes: int) -> Path:
    return _made_folder() / _digest([repo, split, dataset.fingerprint, recipe_of(dataset), shard_bytes])


def recipe_of(dataset: Dataset) -> str:
    """128 bits, in hex, of what is taken of the data that the fingerprint names: rows, order, columns, functions."""
    plan = dataset._plan
    taken = [dataset.column_names, plan.order.as_dict(), list(plan.pipeline.description), dataset.epoch, plan.rank]
    return _digest([*taken, len(dataset)])


def _digest(parts: list[Any]) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _made_folder() -> Path:
    return cache_folder() / "push"


def forget(splits: Sequence[StagedSplit]) -> None:
    """Removes the shards that were made for a push; those of the user stay."""
    for one in splits:
        for file in one.files:
            if isinstance(file.source, Path) and file.source.parent.parent == _made_folder():
                shutil.rmtree(file.source.parent, ignore_errors=True)


def _shard_name(split: str, at: int, number: int, suffix: str) -> str:
    return f"{split}-{at:05d}-of-{number:05d}{suffix}"


def _schema(path: Path) -> pa.Schema:
    import pyarrow.parquet as pq

    return pq.read_schema(path)
