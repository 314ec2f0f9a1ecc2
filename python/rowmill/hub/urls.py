"""``hf://datasets/owner/name@revision/path``: files of the Hub by a path, for ``rowmill.open`` and ``data_files``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from rowmill.exceptions import MissingShardError
from rowmill.hub.patterns import has_magic, match
from rowmill.hub.repository import Repository, open_repository
from rowmill.hub.settings import Settings, find_settings
from rowmill.hub.streaming import KnownFile, addresses, is_streamable

__all__ = ["HubPath", "is_url", "localize", "of_hub", "parse_url"]

_SCHEME = "hf://"


def is_url(path: str) -> bool:
    """Whether a path names files of the Hub."""
    return path.startswith(_SCHEME)


@dataclass(frozen=True)
class HubPath:
    """A path's parts: of a dataset's repository, the revision or None, and a file, folder or pattern in it."""

    repo: str
    revision: str | None
    path: str


def parse_url(url: str) -> HubPath:
    """The parts of an ``hf://`` path.

    Raises:
        ValueError: It names no data set.
    """
    kind, _, rest = url.removeprefix(_SCHEME).partition("/")
    if kind != "datasets" or not rest:
        raise ValueError(f"{url}: rowmill reads hf://datasets/OWNER/NAME[@REVISION]/PATH")
    owner, _, rest = rest.partition("/")
    name, _, path = rest.partition("/")
    name, is_at, revision = name.partition("@")
    if is_at and revision == "refs":
        # refs/pr/1 and refs/convert/parquet may be written without quotes.
        more, _, path = path.partition("/")
        last, _, path = path.partition("/")
        revision = f"refs/{more}/{last}"
    return HubPath(f"{owner}/{name}", unquote(revision) if is_at else None, path)


def of_hub(paths: Any, cache_dir: str | os.PathLike[str] | None) -> tuple[Any, str | None, list[KnownFile]]:
    """Paths with those of the Hub replaced by files here, or by addresses where they would fill the disk.

    Returns:
        The paths, the commit that they are of if all are of one, and what is known of the addresses.
    """
    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not any(isinstance(path, str) and is_url(path) for path in listed):
        return paths if isinstance(paths, str | os.PathLike) else listed, None, []
    settings = find_settings(cache_dir=cache_dir)
    local: list[str | os.PathLike[str]] = []
    known: list[KnownFile] = []
    places: set[str | None] = set()
    for path in listed:
        if isinstance(path, str) and is_url(path):
            repository, found = _find(path, settings)
            there = addresses(found, repository) if is_streamable(found, repository) else {}
            local += [there[name][0] if name in there else str(repository.local(name)) for name in found]
            known += there.values()
            repository.fetch([name for name in found if name not in there])
            places.add(repository.place)
        else:
            local.append(path)
            places.add(None)
    return local, places.pop() if len(places) == 1 else None, known


def localize(url: str, settings: Settings) -> list[str]:
    """The files here that a path of the Hub means, fetched where they are missing."""
    repository, found = _find(url, settings)
    return repository.fetch(found)


def _find(url: str, settings: Settings) -> tuple[Repository, list[str]]:
    """The repository, and its files that a path means; those of a folder or a pattern come sorted by name."""
    asked = parse_url(url)
    repository = open_repository(asked.repo, asked.revision, settings)
    paths, path = list(repository.listing), asked.path.strip("/")
    if path in repository.listing:
        found = [path]
    elif has_magic(path):
        found = match(path, paths)
    else:
        found = match("**", paths, base=path, data_only=True)
    if not found:
        raise MissingShardError(f"{repository.place} has no file {asked.path or 'of data'}", url)
    return repository, found
