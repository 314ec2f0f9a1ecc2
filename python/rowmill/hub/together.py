"""``rowmill.hub.load_together``: what rank 0 found out is handed to the ranks of other machines, which ask for nothing.

Handed over are the commit, the list of its files, its notes and the manifest: a few bytes a block, never rows.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill import exceptions
from rowmill.exceptions import CorruptShardError, RowmillError, TopologyError
from rowmill.folders import cache_folder
from rowmill.hub.cached import repo_folder
from rowmill.hub.listing import write_whole
from rowmill.hub.names import check_file_name, check_repo_name, is_full_sha
from rowmill.hub.records import record_path
from rowmill.hub.settings import Settings, find_settings
from rowmill.placement import find_rank
from rowmill.torch import broadcast_bytes

if TYPE_CHECKING:
    from rowmill.dataset import Dataset

__all__ = ["load_together"]

# Read with any data set of a repository.
_NOTES = ("README.md", ".huggingface.yaml")


def load_together(
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    index_dir: str | os.PathLike[str] | None = None,
    **how: Any,
) -> Dataset:
    """``rowmill.load_dataset`` for all ranks of an initialised ``torch.distributed`` at once, on any machines.

    Every rank must call it. Rank 0 resolves the revision, lists the files and reads the headers; the others read that
    very commit and begin with what it found. Files that are downloaded, and rows, each machine fetches itself.

    Args:
        path: As for ``rowmill.load_dataset``, and so all others.
        name: The configuration.
        index_dir: Folder of the index, on each machine its own; one below rowmill's cache folder when None.
        how: The other arguments of ``rowmill.load_dataset``.

    Raises:
        Exception: Whatever it ended in on rank 0, on every rank.
    """
    from rowmill.hub.load import load_dataset

    asked = [os.fspath(path), name, {key: value for key, value in how.items() if key not in ("token", "cache_dir")}]
    folder = index_dir or record_path(cache_folder() / "hub" / "together", asked).with_suffix("")
    index = Path(folder).expanduser().absolute()
    settings = find_settings(**{key: how.get(key) for key in ("token", "offline", "cache_dir")})

    def load(**more: Any) -> Dataset:
        return load_dataset(path, name, **{**how, **more}, index_dir=index)

    if find_rank(None)[1] == 0:
        return _first(load, index, settings)
    return load(**_taken(broadcast_bytes(b""), index, settings))


def _first(load: Callable[[], Dataset], index: Path, settings: Settings) -> Dataset:
    """Loads, and tells the others how: also that it failed, or they would wait for ever."""
    try:
        dataset = load()
        told = _told(dataset, index, settings)
    except BaseException as error:
        kind = type(error).__name__ if isinstance(error, RowmillError | ValueError) else "RowmillError"
        broadcast_bytes(json.dumps({"error": [kind, str(error)]}).encode())
        raise
    broadcast_bytes(json.dumps(told).encode())
    return dataset


def _told(dataset: Dataset, index: Path, settings: Settings) -> dict[str, Any]:
    origin = dataset._plan.source.options.origin
    if origin is None:
        # Files here: every machine has its own.
        return {}
    repo, _, sha = origin.partition("@")
    folder = repo_folder(repo, settings)
    files = {f"trees/{sha}.json": folder / "trees" / f"{sha}.json"}
    files |= {f"snapshots/{sha}/{note}": folder / "snapshots" / sha / note for note in _NOTES}
    indexes = {path.relative_to(index).as_posix(): path for path in index.rglob("*.index")}
    return {"repo": repo, "sha": sha, "cache": _contents(files), "index": _contents(indexes)}


def _contents(files: dict[str, Path]) -> dict[str, str]:
    return {name: base64.b85encode(path.read_bytes()).decode() for name, path in files.items() if path.is_file()}


def _taken(message: bytes | None, index: Path, settings: Settings) -> dict[str, Any]:
    """Puts what rank 0 found where loading looks for it; the arguments that it takes besides."""
    if message is None:
        raise TopologyError("load_together hands over by torch.distributed, which is not initialised; do that first")
    told = json.loads(message)
    if "error" in told:
        kind, text = told["error"]
        raise getattr(exceptions, kind, ValueError)(f"on rank 0: {text}")
    if "sha" not in told:
        return {}
    if not is_full_sha(told["sha"]):
        raise CorruptShardError("what rank 0 has handed over is damaged: it names no commit")
    _place(told["cache"], repo_folder(check_repo_name(told["repo"]), settings))
    _place(told["index"], index)
    return {"revision": told["sha"]}


def _place(contents: dict[str, str], folder: Path) -> None:
    for name, text in contents.items():
        path = folder / check_file_name(name, "rank 0")
        if not path.exists():
            write_whole(path, base64.b85decode(text))
