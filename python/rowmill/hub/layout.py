"""From a tree of files to what is read: the configuration, its format, and the files of each split.

The outcome is that of ``datasets`` 5 on the same tree, with one difference: a file that several patterns of a split
mean is read once.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rowmill.exceptions import DatasetNotFoundError, MissingShardError
from rowmill.hub.card import Config, default_config, given_patterns, read_configs, read_metadata
from rowmill.hub.formats import keep_of_format, most_common_format, suffixes
from rowmill.hub.patterns import Patterns, conventional_patterns, has_magic, match

__all__ = ["Layout", "Tree", "find_layout", "find_layout_among"]

Files = dict[str, list[str]]


@dataclass(frozen=True)
class Tree:
    """Files below a root, and the texts of the two that say how they are meant.

    Attributes:
        place: What messages call it.
        paths: Every file, from the root, with slashes.
    """

    place: str
    paths: Sequence[str]
    readme: str | None = None
    standalone: str | None = None


@dataclass(frozen=True)
class Layout:
    """What a configuration of a tree is.

    Attributes:
        config: Its name.
        format: As ``datasets`` calls it: "parquet", "json", "imagefolder", ...
        parameters: What else the README says of it, such as the separator of a CSV file.
        splits: The files of each split, in the order in which they are read.
    """

    config: str
    format: str
    splits: Files
    parameters: Mapping[str, Any] = field(default_factory=dict)


def find_layout(tree: Tree, name: str | None = None, *, data_files: Any = None, data_dir: str | None = None) -> Layout:
    """The configuration ``name`` of a tree; the default one, or the only one, when None.

    Raises:
        DatasetNotFoundError: There is no data file, or no such configuration; the text names those there are.
        MissingShardError: A file that is named is not there.
        ValueError: Splits are of different formats, or a configuration must be chosen.
    """
    configs = read_configs(read_metadata(tree.readme, tree.standalone, tree.place), tree.place)
    return find_layout_among(configs, tree, name, data_files=data_files, data_dir=data_dir)


def find_layout_among(
    configs: Mapping[str, Config],
    tree: Tree,
    name: str | None = None,
    *,
    data_files: Any = None,
    data_dir: str | None = None,
) -> Layout:
    """The same, of the configurations that were read from the tree's notes."""
    base = _folder("", data_dir, tree)
    asked = None if data_files is None else given_patterns(data_files)
    first = next(iter(configs.values()), None)
    patterns = asked or (first.patterns if first is not None and not data_dir else None)
    seen = _files(tree, patterns or _conventional(tree, base), base, data_only=True)
    format_ = _common_format(tree, seen)
    parameters = {"sep": "\t"} if format_ == "csv" and _is_tabbed(seen) else {}
    chosen = _choose(tree, configs, name, is_given=asked is not None or data_dir is not None)
    if asked is not None and data_dir is None:
        files = _files(tree, asked, base, data_only=False)
    elif chosen is None or data_dir is not None:
        files = {split: keep_of_format(paths, format_) for split, paths in seen.items()}
    else:
        below = _folder(base, chosen.data_dir, tree)
        files = _files(tree, chosen.patterns or _conventional(tree, below), below, data_only=True)
    more = {} if chosen is None else chosen.parameters
    config = chosen.name if chosen is not None else name or "default"
    return Layout(config, format_, files, {**parameters, **more})


def _folder(base: str, folder: str | None, tree: Tree) -> str:
    """A folder inside the tree, in the form that paths have."""
    if not folder:
        return base
    joined = posixpath.normpath(posixpath.join(base, folder)).strip("/")
    if joined.startswith("..") or posixpath.isabs(folder) or "\\" in folder:
        raise ValueError(f"data_dir {folder!r} leads out of {tree.place}; name a folder inside it")
    return "" if joined == "." else joined


def _conventional(tree: Tree, base: str) -> Patterns:
    patterns = conventional_patterns(tree.paths, base)
    if patterns is None:
        where = f"{tree.place}/{base}" if base else tree.place
        raise DatasetNotFoundError(f"{where} has no data files; its files are {_some(tree.paths)}", where)
    return patterns


def _files(tree: Tree, patterns: Patterns, base: str, *, data_only: bool) -> Files:
    return {split: _split_files(tree, listed, base, data_only) for split, listed in patterns.items()}


def _split_files(tree: Tree, listed: Sequence[str], base: str, data_only: bool) -> list[str]:
    files: dict[str, None] = {}
    for pattern in listed:
        found = match(pattern, tree.paths, base=base, data_only=data_only)
        if not found and not has_magic(pattern):
            raise MissingShardError(f"{tree.place} has no file {pattern}; its files are {_some(tree.paths)}", pattern)
        files.update(dict.fromkeys(found))
    return list(files)


def _common_format(tree: Tree, files: Files) -> str:
    formats = {split: most_common_format(paths) for split, paths in files.items()}
    known = set(formats.values())
    if len(known) > 1:
        told = ", ".join(f"{split} is {name or 'nothing known'}" for split, name in formats.items())
        raise ValueError(f"the splits of {tree.place} are of different formats ({told}); choose by data_files")
    if known in (set(), {None}):
        raise DatasetNotFoundError(
            f"{tree.place} has no data files of a known format; its files are {_some(tree.paths)}", tree.place
        )
    return str(known.pop())


def _is_tabbed(files: Files) -> bool:
    listed = [suffix.lower() for paths in files.values() for path in paths for suffix in suffixes(path)]
    return listed.count("tsv") > listed.count("csv")


def _choose(tree: Tree, configs: Mapping[str, Config], name: str | None, *, is_given: bool) -> Config | None:
    """The configuration that is meant; None for the files themselves."""
    if not configs:
        if name not in (None, "default"):
            raise DatasetNotFoundError(f"{tree.place} has no config {name!r}; it has only one, without a name", name)
        return None
    chosen = name or default_config(configs, tree.place)
    if chosen is None and is_given:
        return None
    if chosen is None:
        first = next(iter(configs))
        raise ValueError(
            f"{tree.place} has several configs; choose one of {', '.join(configs)}, as in "
            f"load_dataset({tree.place!r}, {first!r})"
        )
    if chosen not in configs:
        raise DatasetNotFoundError(f"{tree.place} has no config {chosen!r}; it has {', '.join(configs)}", chosen)
    return configs[chosen]


def _some(paths: Sequence[str]) -> str:
    shown = ", ".join(sorted(paths)[:8])
    return f"{shown} and {len(paths) - 8} more" if len(paths) > 8 else shown or "none"
