"""``hf://datasets/owner/name@revision/path``: files of the Hub by a path, for ``rowmill.open`` and ``data_files``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from rowmill.exceptions import MissingShardError, RevisionNotFoundError
from rowmill.hub.patterns import has_magic, match
from rowmill.hub.repository import Repository, open_repository
from rowmill.hub.revisions import find_commit
from rowmill.hub.settings import Settings, find_settings
from rowmill.hub.streaming import KnownFile, addresses, is_streamable

__all__ = ["HubPath", "find_files", "inside", "is_url", "of_hub", "parse_url"]

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


def inside(data_files: Any, repository: Repository, revision: str | None) -> Any:
    """``data_files`` of a repository, with the ``hf://`` paths of this very commit made relative to it.

    Args:
        data_files: As ``load_dataset`` takes them.
        repository: The repository at the commit that is read.
        revision: What that commit was asked for as.

    Raises:
        RevisionNotFoundError: A path names another commit.
        ValueError: A path names another repository.
    """
    commits = {None: repository.sha, repository.sha: repository.sha, revision or "main": repository.sha}

    def relative(path: Any) -> Any:
        text = os.fspath(path) if isinstance(path, os.PathLike) else path
        return _inside(text, repository, commits) if isinstance(text, str) else text

    if isinstance(data_files, Mapping):
        return {split: _each(paths, relative) for split, paths in data_files.items()}
    return _each(data_files, relative)


def _each(paths: Any, change: Callable[[Any], Any]) -> Any:
    return [change(path) for path in paths] if isinstance(paths, list | tuple) else change(paths)


def _inside(path: str, repository: Repository, commits: dict[str | None, str]) -> str:
    if not is_url(path):
        return path
    asked = parse_url(path)
    if asked.repo != repository.repo:
        raise ValueError(
            f"{path} does not belong to {repository.place}; rowmill.open takes paths of several repositories"
        )
    if asked.revision not in commits:
        assert asked.revision is not None, "no revision is that of the repository"
        commits[asked.revision] = find_commit(repository.repo, asked.revision, repository.settings)
    commit = commits[asked.revision]
    if commit != repository.sha:
        raise RevisionNotFoundError(
            f"{path} is a file of commit {commit}, and {repository.repo} is read at {repository.sha}, never at two at "
            f"once; say revision={asked.revision!r}, or leave @{asked.revision} out",
            repository.repo,
        )
    return asked.path


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
            repository, found = find_files(path, settings)
            there = addresses(found, repository) if is_streamable(found, repository) else {}
            local += [there[name][0] if name in there else str(repository.local(name)) for name in found]
            known += there.values()
            repository.fetch([name for name in found if name not in there])
            places.add(repository.place)
        else:
            local.append(path)
            places.add(None)
    return local, places.pop() if len(places) == 1 else None, known


def find_files(url: str, settings: Settings) -> tuple[Repository, list[str]]:
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
