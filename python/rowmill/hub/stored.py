"""Data sets of the Hub: the commit, the layout at that commit, and the files, from the caches or fetched."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rowmill.exceptions import MissingShardError
from rowmill.hub.cached import arrow_files
from rowmill.hub.card import default_config, read_configs, read_metadata
from rowmill.hub.converted import chosen_columns, convert_files, own_format
from rowmill.hub.formats import is_data_file
from rowmill.hub.layout import Layout, Tree, find_layout
from rowmill.hub.listing import write_whole
from rowmill.hub.patterns import has_magic
from rowmill.hub.places import Place, Question
from rowmill.hub.records import read_record, record_path
from rowmill.hub.repository import Repository, open_repository
from rowmill.hub.settings import Settings
from rowmill.hub.slices import Part, parse_split
from rowmill.hub.streaming import is_streamed, streamed
from rowmill.hub.urls import inside, is_url, parse_url

__all__ = ["find_layout_of", "find_stored"]

_log = logging.getLogger("rowmill.hub")
# Of the records below; another number makes every one of them anew.
_VERSION = 1


def find_stored(question: Question, settings: Settings) -> Place:
    """The files of a repository's splits, at the commit of the revision, here."""
    repo, revision = question.path, question.revision
    if is_url(repo):
        asked = parse_url(repo)
        repo, revision = asked.repo, revision or asked.revision
        if asked.path:
            is_file = has_magic(asked.path) or is_data_file(asked.path)
            question = replace(question, data_files=asked.path) if is_file else replace(question, data_dir=asked.path)
    repository = open_repository(repo, revision, settings)
    question = replace(question, data_files=inside(question.data_files, repository, revision))
    record = _record(repository, question)
    if (place := _remembered(record, question, repository)) is not None:
        return place
    layout = _made_without_listing(question, repository) or find_layout_of(
        repository, question.name, data_files=question.data_files, data_dir=question.data_dir
    )
    parts = parse_split(question.split, layout.splits)
    wanted = list(dict.fromkeys(part.split for part in parts))
    made = _made(layout, wanted, question, repository)
    if made:
        place = Place(parts, made, "arrow", origin=repository.place)
    else:
        place = _fetched(layout, parts, question, repository)
    _log.info("%s: split %s is %d files", repository.place, question.split, sum(map(len, place.files.values())))
    if place.known:
        # Nothing is here that a record could tell of; the list of files is.
        return place
    facts = {"version": _VERSION, "format": place.format, "columns": place.columns}
    write_whole(record, {**facts, "files": place.files, "sizes": _sizes(place.files)})
    return place


def _sizes(files: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    return {split: [os.path.getsize(path) for path in paths] for split, paths in files.items()}


def _record(repository: Repository, question: Question) -> Path:
    """Where the files are noted that a question was answered with, so that later ones read the same."""
    settings = repository.settings
    asked = [question.name, question.split, question.data_files, question.data_dir]
    caches = [str(settings.hub_cache), str(settings.datasets_cache)]
    return record_path(settings.records / "files", repository.repo, repository.sha, asked, caches)


def _remembered(record: Path, question: Question, repository: Repository) -> Place | None:
    """The answer that this question had before, if all its files are still here, and whole."""
    kept = read_record(record)
    if kept is None or kept.get("version") != _VERSION:
        return None
    files = kept["files"]
    try:
        is_whole = _sizes(files) == kept["sizes"]
    except OSError:
        is_whole = False
    if not is_whole:
        return None
    return Place(parse_split(question.split, files), files, kept["format"], kept["columns"], repository.place)


def find_layout_of(
    repository: Repository, name: str | None = None, *, data_files: Any = None, data_dir: str | None = None
) -> Layout:
    """The layout of a repository at its commit; its list of files and its README are fetched where they are missing."""
    listing = repository.listing
    tree = Tree(
        repository.place,
        list(listing),
        repository.read_text("README.md"),
        repository.read_text(".huggingface.yaml"),
    )
    return find_layout(tree, name, data_files=data_files, data_dir=data_dir)


def _made_without_listing(question: Question, repository: Repository) -> Layout | None:
    """Offline, where only ``datasets`` has been: its Arrow files of the configuration, all of them or none."""
    if not repository.settings.is_offline or repository.known_listing is not None or _is_chosen(question):
        return None
    config = question.name or _default_of_snapshot(repository)
    layout = Layout(config, "arrow", {part.split: [] for part in parse_split(question.split)})
    return layout if _made(layout, list(layout.splits), question, repository) else None


def _default_of_snapshot(repository: Repository) -> str:
    texts = []
    for name in ("README.md", ".huggingface.yaml"):
        path = repository.local(name)
        texts.append(path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None)
    configs = read_configs(read_metadata(texts[0], texts[1], repository.place), repository.place)
    return default_config(configs, repository.place) or "default"


def _is_chosen(question: Question) -> bool:
    return question.data_files is not None or question.data_dir is not None


def _made(
    layout: Layout, wanted: Sequence[str], question: Question, repository: Repository
) -> dict[str, list[str]] | None:
    """The Arrow files of the splits, where ``datasets`` has made them all at this commit."""
    if _is_chosen(question):
        return None
    made = {
        split: arrow_files(repository.repo, layout.config, repository.sha, split, repository.settings)
        for split in wanted
    }
    found = {split: files for split, files in made.items() if files is not None}
    return found if len(found) == len(made) else None


def _fetched(layout: Layout, parts: Sequence[Part], question: Question, repository: Repository) -> Place:
    files = {part.split: layout.splits[part.split] for part in parts}
    every = [path for paths in files.values() for path in paths]
    if not every:
        raise MissingShardError(f"{repository.place} has no files for split {question.split!r}", repository.repo)
    missing = [path for path in every if not repository.is_here(path)]
    if is_streamed(question, layout, repository, missing):
        return streamed(layout, parts, repository, set(missing))
    here = repository.fetch(every)
    format_ = own_format(layout.format, here, layout.parameters)
    local = {split: [str(repository.local(path)) for path in paths] for split, paths in files.items()}
    if format_ is not None:
        return Place(parts, local, format_, chosen_columns(layout.parameters), repository.place)
    made = {
        split: convert_files(layout.format, paths, layout.parameters, repository.settings, question.num_proc)
        for split, paths in local.items()
    }
    return Place(parts, made, "arrow", origin=repository.place)
