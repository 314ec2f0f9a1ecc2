"""Data sets that are here under the name that was given: files, globs, folders, and formats with their files."""

from __future__ import annotations

import glob
import json
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from rowmill.exceptions import DatasetNotFoundError, MissingShardError
from rowmill.hub.converted import chosen_columns, convert_files, own_format
from rowmill.hub.formats import FORMATS
from rowmill.hub.layout import Layout, Tree, find_layout
from rowmill.hub.named_files import find_named
from rowmill.hub.patterns import has_magic
from rowmill.hub.places import Place, Question
from rowmill.hub.settings import Settings
from rowmill.hub.slices import parse_split
from rowmill.hub.urls import is_url
from rowmill.remote.urls import is_elsewhere, is_remote, without_file_scheme

__all__ = ["find_local"]

# A folder of `save_to_disk`, of a dict of splits, or of the datasets cache.
_NOTES = ("state.json", "dataset_dict.json", "dataset_info.json")


def find_local(question: Question, settings: Settings) -> Place | None:
    """What the question's path means here; None where it can only be a repository."""
    path = os.path.expanduser(without_file_scheme(question.path))
    if path in FORMATS and not os.path.exists(path) and (question.data_files is not None or question.data_dir):
        return _of_format(question, settings)
    if is_remote(path) or is_elsewhere(path):
        raise DatasetNotFoundError(
            f"{path.split('?')[0]} is a URL, which rowmill.open reads; load_dataset takes it as data_files of a "
            "format, as in load_dataset('parquet', data_files=URL)",
            path.split("?")[0],
        )
    if os.path.isdir(path):
        return _of_folder(Path(path).absolute(), question, settings)
    if os.path.isfile(path) or (has_magic(path) and not is_url(path)):
        files = [path] if os.path.isfile(path) else sorted(filter(os.path.isfile, glob.iglob(path, recursive=True)))
        if not files:
            raise MissingShardError(f"{question.path}: no file is called so", question.path)
        names = [os.path.abspath(file) for file in files]
        return _opened(question, find_layout(_tree("/", names), data_files=_relative(names)), "/", settings)
    if os.path.isabs(path) or path.startswith((f".{os.sep}", f"..{os.sep}", "./", "../")):
        raise DatasetNotFoundError(f"{question.path}: there is no such file or folder", question.path)
    return None


def _relative(names: Sequence[str]) -> list[str]:
    # A file's own name may have brackets, which are no pattern.
    return [glob.escape(Path(name).as_posix().lstrip("/")) for name in names]


def _of_folder(folder: Path, question: Question, settings: Settings) -> Place:
    is_chosen = question.name is not None or question.data_files is not None or question.data_dir is not None
    if not is_chosen and any((folder / note).is_file() for note in _NOTES):
        return _of_saved(folder, question)
    paths = []
    for at, below, names in os.walk(folder):
        # A clone's objects are no data.
        below[:] = [name for name in below if name != ".git"]
        paths += [Path(at, name).relative_to(folder).as_posix() for name in names]
    tree = Tree(str(folder), paths, _text(folder / "README.md"), _text(folder / ".huggingface.yaml"))
    layout = find_layout(tree, question.name, data_files=question.data_files, data_dir=question.data_dir)
    return _opened(question, layout, str(folder), settings)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _of_saved(folder: Path, question: Question) -> Place:
    """A folder that knows its own splits, of which one is read."""
    parts, is_plain = parse_split(question.split), (folder / "state.json").is_file()
    if len(parts) != 1 or (question.split == "all" and not is_plain):
        raise ValueError(f"{folder} is opened one split at a time, not {question.split!r}; rowmill.mix joins several")
    split: str | None = parts[0].split
    if is_plain:
        # Saved without a dict of splits: it has no split to name, or tells of the one that it was.
        try:
            own = json.loads((folder / "state.json").read_bytes()).get("_split")
        except (OSError, ValueError, AttributeError, RecursionError):
            own = None
        split = None if own is None or split in ("train", "all") else split
    return Place(parts, folder=str(folder), folder_split=split)


def _of_format(question: Question, settings: Settings) -> Place:
    """``load_dataset("json", data_files=...)``: named files of a named format."""
    root = Path(without_file_scheme(question.data_dir or "")).expanduser().absolute()
    if question.data_files is not None:
        return find_named(question, root, settings)
    return _of_folder(root, Question(str(root), None, question.split, None, None, None, "auto", None), settings)


def _tree(root: str, names: Sequence[str]) -> Tree:
    return Tree(root, [Path(name).as_posix().lstrip("/") for name in names])


def _opened(question: Question, layout: Layout, root: str, settings: Settings) -> Place:
    parts = parse_split(question.split, layout.splits)
    files = {
        part.split: [
            posixpath.join(Path(root).as_posix(), path) if root else path for path in layout.splits[part.split]
        ]
        for part in parts
    }
    every = [path for paths in files.values() for path in paths]
    if not every:
        raise MissingShardError(f"{root or question.path} has no files for split {question.split!r}", root)
    format_ = own_format(layout.format, every, layout.parameters)
    if format_ is None:
        made = {
            split: convert_files(layout.format, paths, layout.parameters, settings, question.num_proc)
            for split, paths in files.items()
        }
        return Place(parts, made, "arrow")
    return Place(parts, files, format_, chosen_columns(layout.parameters))
