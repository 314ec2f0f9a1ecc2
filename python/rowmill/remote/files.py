"""Objects that a caller knows already, as a dataset: nobody is asked for their sizes and versions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rowmill.exceptions import MissingShardError
from rowmill.remote.credentials import Places, default_places
from rowmill.remote.urls import as_url, bare

if TYPE_CHECKING:
    from rowmill.dataset import Dataset

__all__ = ["RemoteFile", "open_files"]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """An object, and what is known of it.

    Attributes:
        url: Its URL.
        size: Its length in bytes.
        tag: What its server calls this version (its ETag), or a hash of its content; None where that is not known.
    """

    url: str
    size: int
    tag: str | None = None


def open_files(
    files: Iterable[RemoteFile],
    *,
    immutable: bool = False,
    credentials: Places = (),
    columns: Sequence[str] | None = None,
    features: str | None = None,
    origin: str | None = None,
    index_dir: str | os.PathLike[str] | None = None,
    force_reindex: bool = False,
    num_threads: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    lanes_over: Literal["files"] | None = None,
) -> Dataset:
    """Opens objects whose sizes and versions are known, as a list of a bucket or of a repository tells them.

    What stands in the stored index is taken from it without a request; of others the footers are read, many at a time.

    Args:
        files: The objects, in the order of their rows.
        immutable: The URLs never mean other bytes, as those with a commit in them: of answers only the size is
            compared, and tags only tell versions apart in the index and the cache.
        credentials: Where tokens are found, by origin: ``(("https://host", "env:NAME"),)``, "file:PATH", or "hub" for
            the token of the Hub's client. A token itself is given by :func:`rowmill.remote.set_token`.
        columns: Columns to read; all when None.
        features: HF's features by stored column, as JSON.
        origin: What the files are of, for the fingerprint: a repository and its commit.
        index_dir: Folder of the index, as for ``rowmill.open``.
        force_reindex: Read all footers, whatever the index knows.
        num_threads: Threads of the walk; requests go out in larger numbers.
        on_error: "skip" leaves damaged objects and blocks out.
        lanes_over: "files" reads no footer before a file's turn comes, as for ``rowmill.open``.

    Raises:
        MissingShardError: No file is given, or one is not there.
        UnreachableError: A server does not answer.
        AccessDeniedError: A server refuses.
    """
    from rowmill.hub.settings import check_online
    from rowmill.opening import opened
    from rowmill.source import OpenOptions

    listed = list(files)
    if not listed:
        raise MissingShardError("no files were given; name at least one object")
    urls = bare([as_url(file.url) for file in listed])
    check_online(urls)
    options = OpenOptions(
        paths=tuple(urls),
        features=features,
        index_dir=None if index_dir is None else os.path.abspath(os.path.expanduser(index_dir)),
        num_threads=num_threads,
        on_error=on_error,
        origin=origin,
        known=tuple((url, file.size, file.tag, immutable) for url, file in zip(urls, listed, strict=True)),
        credentials=(*default_places(urls), *credentials),
    )
    dataset = opened(options, lanes_over, force_reindex=force_reindex)
    return dataset if columns is None else dataset.select_columns(columns)
