"""What was opened: the caller's paths and options, and Rust's view of them, opened on first use.

A pickle carries the paths and the fingerprint only; the copy opens the stored index again, which takes
milliseconds, and refuses data that is not the same any more.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rowmill import _rust
from rowmill.conversion import as_shards
from rowmill.exceptions import MissingShardError, StateMismatchError
from rowmill.remote.credentials import Places, apply, handed_over, receive
from rowmill.remote.urls import Known, bare, is_remote

__all__ = ["OpenOptions", "OpenedSource", "as_paths"]

# What `save_to_disk` writes beside the data files.
_STATE = "state.json"


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """How a dataset is opened; the arguments of :func:`rowmill.open`.

    Attributes:
        ranges: The rows that are read, as ranges over the files' rows; all when empty.
        indices: Files that say which of these rows are read, in which order; none for all of them.
        features: HF's features by stored column, as JSON, where they are others than the files tell of.
        origin: The repository and commit of the Hub that the files are of; None for other files.
        known: What is known of objects on a network: URL, bytes, tag, and whether the URL never means other bytes.
        roots: Folders of object stores whose folders named ``key=value`` make columns.
        credentials: Where the tokens of such objects are found, by origin; never the tokens.
    """

    paths: tuple[str, ...]
    format: str | None = None
    split: str | None = None
    ranges: tuple[tuple[int, int], ...] = ()
    indices: tuple[str, ...] = ()
    features: str | None = None
    index_dir: str | None = None
    num_threads: int | None = None
    on_error: str = "raise"
    cache_dir: str | None = None
    origin: str | None = None
    known: tuple[Known, ...] = ()
    roots: tuple[str, ...] = ()
    credentials: Places = ()


def as_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Absolute paths: a worker that is started in another folder opens the same files."""
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise MissingShardError("no paths were given; name a file, a folder or a glob")
    texts = [os.fspath(path) for path in given]
    plain = dict(zip(urls, bare(urls), strict=True)) if (urls := [text for text in texts if is_remote(text)]) else {}
    return tuple(plain.get(text) or os.path.join(Path.cwd(), os.path.expanduser(text)) for text in texts)


class OpenedSource:
    """Rust's view of a dataset, shared by every Dataset made from it."""

    def __init__(self, options: OpenOptions, *, force_reindex: bool = False) -> None:
        self.options = options
        self._rust: _rust.Source | None = None
        self._fingerprint: str | None = None
        self._open(force_reindex)

    @property
    def rust(self) -> _rust.Source:
        """The opened source; in a copy it opens here, on first use."""
        return self._open(False) if self._rust is None else self._rust

    @property
    def fingerprint(self) -> str:
        """128 bits, in hex, of the files and of the commit that they are of."""
        of_files, origin = self.rust.fingerprint, self.options.origin
        if origin is None:
            return of_files
        return hashlib.blake2b(f"{of_files} {origin}".encode(), digest_size=16).hexdigest()

    def _open(self, force_reindex: bool) -> _rust.Source:
        options = self.options
        # Text is converted before Rust is asked, in a worker's copy as well: there it finds what is made.
        urls = [path for path in options.paths if is_remote(path)]
        if urls:
            apply(options.credentials, urls)
        shards = None if urls else as_shards(options.paths, options.format, options.cache_dir)
        _refuse_saved_without_rows(options.paths, options.split)
        opened = _rust.Source.open(
            list(options.paths) if shards is None else shards,
            format=options.format if shards is None else "arrow",
            split=options.split,
            ranges=list(options.ranges),
            indices=list(options.indices),
            index_dir=options.index_dir,
            force_reindex=force_reindex,
            num_threads=options.num_threads,
            on_error=options.on_error,
            known=list(options.known),
            roots=list(options.roots),
        )
        if self._fingerprint not in (None, opened.fingerprint):
            raise StateMismatchError(
                f"the files under {options.paths[0]} are not those that were opened before: the fingerprint is "
                f"{opened.fingerprint}, it was {self._fingerprint}; open the dataset again"
            )
        for text in opened.warnings:
            warnings.warn(text, stacklevel=2)
        if opened.column_names == ["indices"]:
            _warn_of_indices(options.paths[0])
        self._rust, self._fingerprint = opened, opened.fingerprint
        return opened

    def __getstate__(self) -> dict[str, Any]:
        said = handed_over(path for path in self.options.paths if is_remote(path))
        return {"options": self.options, "fingerprint": self._fingerprint, **({"said": said} if said else {})}

    def __setstate__(self, state: dict[str, Any]) -> None:
        receive(state.get("said", {}))
        self.options, self._fingerprint, self._rust = state["options"], state["fingerprint"], None


def _refuse_saved_without_rows(paths: tuple[str, ...], split: str | None) -> None:
    """Raises MissingShardError for a folder that ``save_to_disk`` was given a dataset without rows for."""
    # Plain texts of paths: there may be ten thousand, nearly all of them files.
    for folder in paths:
        if split is not None and not os.path.isfile(os.path.join(folder, _STATE)):
            folder = os.path.join(folder, split)
        try:
            with open(os.path.join(folder, _STATE), "rb") as note:
                state = json.load(note)
        except (OSError, ValueError, RecursionError):
            # None is there, or one that Rust has a word for.
            continue
        if isinstance(state, dict) and state.get("_data_files") == []:
            raise MissingShardError(
                f"{folder} has no data files: its {_STATE} tells of a dataset without rows, of which save_to_disk "
                "writes none; save one that has rows, or leave the folder out",
                folder,
            )


def _warn_of_indices(path: str) -> None:
    if os.path.basename(path).startswith("cache-"):
        warnings.warn(
            f"{path} holds row numbers, which datasets keeps for a filter, a shuffle or a sort, not the rows "
            "themselves; rowmill.from_dataset(ds) reads the rows",
            stacklevel=2,
        )
