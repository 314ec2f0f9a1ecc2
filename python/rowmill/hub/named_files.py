"""``load_dataset("parquet", data_files=...)``: files of a format that are named, here, on the Hub or by their URLs."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rowmill.exceptions import MissingShardError, OfflineError
from rowmill.folders import cache_folder
from rowmill.hub.card import given_patterns
from rowmill.hub.converted import convert_files, own_format
from rowmill.hub.layout import Layout
from rowmill.hub.places import Place, Question
from rowmill.hub.repository import Repository
from rowmill.hub.settings import Settings
from rowmill.hub.slices import parse_split
from rowmill.hub.streaming import STREAMED, addresses, is_streamed
from rowmill.hub.urls import find_files, is_url
from rowmill.remote.urls import Known, bare, expanded, is_elsewhere, is_remote, without_file_scheme

__all__ = ["find_named"]


@dataclass(frozen=True)
class _Named:
    """Files of one pattern: names in a repository, or else paths and URLs, with what lists tell of these."""

    names: Sequence[str]
    repository: Repository | None = None
    known: Sequence[Known] = ()


def find_named(question: Question, root: Path, settings: Settings) -> Place:
    """The files that ``data_files`` names, of the format that is the question's path.

    Those of the Hub are read as those of a repository by its name: over the network or downloaded, at one commit.
    """
    patterns = given_patterns(question.data_files)
    parts = parse_split(question.split, patterns)
    named = {
        part.split: [_named(pattern, root, question, settings) for pattern in patterns[part.split]] for part in parts
    }
    every = [one for found in named.values() for one in found]
    there = _streamed(question, every)
    files = {split: [path for one in found for path in _places(one, there)] for split, found in named.items()}
    origins = {None if one.repository is None else one.repository.place for one in every}
    origin = origins.pop() if len(origins) == 1 else None
    here = [path for paths in files.values() for path in paths if not is_remote(path)]
    format_ = own_format(question.path, here, {})
    if format_ is None:
        made = {
            split: convert_files(question.path, paths, {}, settings, question.num_proc)
            for split, paths in files.items()
        }
        return Place(parts, made, "arrow", origin=origin)
    known = [*there.values(), *(fact for one in every for fact in one.known)]
    return Place(parts, files, format_, origin=origin, known=tuple(dict.fromkeys(known)))


def _named(pattern: str, root: Path, question: Question, settings: Settings) -> _Named:
    if is_url(pattern):
        repository, found = find_files(pattern, settings)
        return _Named(found, repository)
    if is_remote(pattern) or is_elsewhere(pattern):
        return _by_url(pattern, question, settings)
    full = os.path.join(root, os.path.expanduser(without_file_scheme(pattern)))
    found = [full] if os.path.isfile(full) else sorted(filter(os.path.isfile, glob.iglob(full, recursive=True)))
    if not found:
        raise MissingShardError(f"{full}: no file is called so", full)
    return _Named(found)


def _by_url(url: str, question: Question, settings: Settings) -> _Named:
    from rowmill.remote.fetched import localized

    if settings.is_offline:
        shown = url.split("?")[0]
        raise OfflineError(f"{shown} is read over the network, which is off; give a path of files that are here", shown)
    found = expanded([url])
    is_whole = question.streaming is False or question.path not in STREAMED
    format_ = "jsonl" if question.path == "json" else question.path
    paths = [os.fspath(path) for path in localized(found.paths, format_, cache_folder(), whole=is_whole)]
    left = [path for path in paths if is_remote(path)]
    plain = dict(zip(left, bare(left), strict=True))
    return _Named([plain.get(path, path) for path in paths], known=found.known if left else ())


def _streamed(question: Question, every: Sequence[_Named]) -> dict[tuple[str, str], Known]:
    """Addresses of the Hub's files that are read over the network, by repository and name; the others are fetched."""
    names: dict[str, list[str]] = {}
    repositories: dict[str, Repository] = {}
    for one in every:
        if one.repository is not None:
            repositories.setdefault(one.repository.place, one.repository)
            names.setdefault(one.repository.place, []).extend(one.names)
    found: dict[tuple[str, str], Known] = {}
    for place, repository in repositories.items():
        wanted = list(dict.fromkeys(names[place]))
        missing = [name for name in wanted if not repository.is_here(name)]
        if is_streamed(question, Layout("default", question.path, {}), repository, missing):
            found |= {(place, name): known for name, known in addresses(missing, repository).items()}
        repository.fetch([name for name in wanted if (place, name) not in found])
    return found


def _places(one: _Named, there: dict[tuple[str, str], Known]) -> list[str]:
    if one.repository is None:
        return list(one.names)
    keys = [(one.repository.place, name) for name in one.names]
    return [there[key][0] if key in there else str(one.repository.local(key[1])) for key in keys]
