"""Files that lanes are over: their names and sizes, and the columns of the first one."""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urlsplit

from rowmill import _rust
from rowmill.conversion.listing import text_files
from rowmill.exceptions import SchemaMismatchError, TopologyError
from rowmill.remote.credentials import apply, handed_over, receive
from rowmill.remote.urls import is_remote
from rowmill.source import OpenedSource, OpenOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rowmill.plan import OrderSettings

__all__ = ["FileSource", "Unread"]

# More bytes than any disk has: stands for files of which nobody knows how many they are.
_UNKNOWN = 1 << 62
_MODES = {"window": "window", "shard": "none", "none": "none"}


class FileSource:
    """What is known of files before one is opened. It takes the place of an ``OpenedSource`` in a plan."""

    def __init__(self, options: OpenOptions) -> None:
        if options.on_error != "raise":
            raise ValueError(
                'on_error="skip" counts the rows that it leaves out, and of a damaged file that lanes over files come '
                "to nobody knows how many they are; leave one of the two out"
            )
        self.options = options
        self.files = _listed(options)
        self._first: OpenedSource | None = None

    @property
    def rust(self) -> Any:
        """What the first file tells; all else is refused (see ``Unread``)."""
        return Unread(self)

    @property
    def first(self) -> OpenedSource:
        """The first file that has rows, opened: its columns are those of all."""
        if self._first is None:
            for path, _ in self.files:
                self._first = OpenedSource(replace(self.options, paths=(path,), split=None))
                if self._first.rust.num_rows:
                    # What has no rows may have any columns: an empty tar has none.
                    break
        assert self._first is not None, "no files are no data set"
        return self._first

    @property
    def is_looked_into(self) -> bool:
        """Whether the columns are known already."""
        return self._first is not None

    @property
    def fingerprint(self) -> str:
        """128 bits, in hex, of the files' names and sizes, as far as these are known, and of the commit they are of."""
        told = [f"{_base_name(path)} {'-' if size is None else size}" for path, size in self.files]
        content = "\n".join(["lanes over files", self.options.origin or "", *told])
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()

    def num_lanes(self, mode: str, asked: int | None, usual: int) -> int:
        """The lanes of a shuffle: as many as are asked for, else the usual number or as many as there are files for.

        Raises:
            TopologyError: Some would have no file.
            ValueError: The mode is one over all rows.
        """
        if mode not in _MODES:
            raise ValueError(
                f'mode="{mode}" permutes all rows at once, of which lanes_over="files" knows no number; '
                'mode="window" permutes files, and the rows inside of each'
            )
        number = len(self.files)
        if asked is None:
            # A power of two, so that ranks and workers divide it.
            return min(usual, 1 << (number.bit_length() - 1))
        if asked > number:
            raise TopologyError(
                f"{number} files cannot fill {asked} lanes, each of which needs one; take num_lanes={number} or fewer, "
                "or open without lanes_over, where lanes are over rows"
            )
        return asked

    def order(self, order: OrderSettings) -> _rust.Order:
        """Which file comes when: a file's number stands where a row's id does in other orders."""
        return _rust.Order.of_files(
            len(self.files),
            is_shuffled=order.mode != "none",
            seed=order.seed,
            num_lanes=order.num_lanes,
            reshuffle_each_epoch=order.reshuffle_each_epoch,
        )

    def engine_files(
        self, columns: Sequence[tuple[str, str]], order: OrderSettings, io: str, num_lanes: int
    ) -> _rust.Files:
        """The files as the engine opens them; ``num_lanes`` are read by this process."""
        paths = [path for path, _ in self.files]
        if urls := [path for path in paths if is_remote(path)]:
            apply(self.options.credentials, urls)
        sizes = [size for _, size in self.files]
        return _rust.Files(
            paths,
            sizes=sizes,
            known=list(self.options.known),
            columns=list(columns),
            mode=_MODES[order.mode],
            seed=order.seed,
            window_bytes=order.window_bytes,
            reshuffle_each_epoch=order.reshuffle_each_epoch,
            io=io,
            total_bytes=_UNKNOWN if None in sizes else sum(size or 0 for size in sizes),
            num_lanes=num_lanes,
        )

    def __getstate__(self) -> dict[str, Any]:
        said = handed_over(path for path, _ in self.files if is_remote(path))
        return {"options": self.options, "files": self.files, **({"said": said} if said else {})}

    def __setstate__(self, state: dict[str, Any]) -> None:
        receive(state.get("said", {}))
        self.options, self.files, self._first = state["options"], state["files"], None


class Unread:
    """The first file in the place of all of them; what it cannot tell for the others is an error that says so."""

    def __init__(self, source: FileSource) -> None:
        self._source = source

    @property
    def column_names(self) -> list[str]:
        """The columns of the first file, and so of all."""
        return self._source.first.rust.column_names

    @property
    def schema(self) -> Any:
        """Their types."""
        return self._source.first.rust.schema

    def table(self, columns: Sequence[tuple[str, str]], io: str, *, of_objects: bool = False) -> _rust.Table:
        """What rows are made into; of the rows themselves only those of the first file are in it."""
        return self._source.first.rust.table(list(columns), io, of_objects=of_objects)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse(name)


def refuse(what: str) -> NoReturn:
    """Raises SchemaMismatchError for what only the footers of all files would tell."""
    raise SchemaMismatchError(
        f'with lanes_over="files" no file is looked at before its turn comes, and so nobody knows {what}; open them '
        "without lanes_over, which reads the footers of all of them first"
    )


def _listed(options: OpenOptions) -> tuple[tuple[str, int | None], ...]:
    """The files in their order, and how many bytes they have where that is known without asking anybody."""
    local = [path for path in options.paths if not is_remote(path)]
    if local and text_files(local, options.format) is not None:
        raise SchemaMismatchError(
            f'{local[0]} is text, which is converted as a whole before its rows are known; lanes_over="files" is for '
            "Parquet, Arrow and tars: leave it out, or convert the files with `rowmill convert`"
        )
    if options.ranges or options.indices:
        refuse("which of their rows are chosen")
    found, remarks, has_indices = _rust.list_files(list(options.paths), split=options.split)
    if has_indices:
        refuse("which rows the indices that were saved with them mean")
    for text in remarks:
        warnings.warn(text, stacklevel=2)
    known = {url: size for url, size, *_ in options.known}
    return tuple((os.fspath(path), known.get(os.fspath(path), size)) for path, size in found)


def _base_name(path: str) -> str:
    """A file's name without its folders: a copy elsewhere, or the same file at a URL, is the same."""
    return unquote(urlsplit(path).path.rsplit("/", 1)[-1]) if is_remote(path) else os.path.basename(path)
