"""From what the user named to text files, before Rust is asked: it knows no text."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence

from rowmill.conversion.kinds import FORMATS, TextFile, promise, sniff
from rowmill.exceptions import MissingShardError, SchemaMismatchError

__all__ = ["text_files"]

# Folders of `datasets`, which Rust knows how to read.
_NOTES = ("state.json", "dataset_info.json", "dataset_dict.json")
# The same, and of ours: what lies there is a data set of its own.
_OWN = {*_NOTES, "dataset.json", "conversion.json"}
_DIGITS = re.compile(r"(\d+)")
# As Rust does for files that it reads: folders that are named, and entries that are looked at.
_NAMED, _MOST_ENTRIES = 3, 10_000


def text_files(paths: Sequence[str], format: str | None = None) -> list[TextFile] | None:
    """The text files behind ``paths``, in order, all of one kind; None where the paths are for Rust to read.

    Files of a folder or glob come in natural order; a folder's ``.json`` files are notes, unless ``format`` says so.

    Raises:
        SchemaMismatchError: There are files of several kinds.
        MissingShardError: ``format`` asks for text, and there is none.
    """
    if format is not None and format not in FORMATS:
        return None
    kind = None if format is None else FORMATS[format]
    if kind is None and paths and promise(paths[0])[0] == "other":
        # Ten thousand named shards are not looked at one by one here.
        return None
    found: list[TextFile | None] = []
    for path in paths:
        found += [sniff(name, kind) for name in _names(path, kind)]
    files = [file for file in found if file is not None]
    if not files:
        if kind is not None:
            raise MissingShardError(f"{paths[0] if paths else paths}: no {format} file is there")
        return None
    if len(files) < len(found) or len({file.kind for file in files}) > 1:
        other = next((file.path for file in files if file.kind != files[0].kind), "a file of another kind")
        raise SchemaMismatchError(
            f"{files[0].path} stands beside {other}: mixed formats; name the files of one format, "
            f"such as *.{files[0].kind}",
            files[0].path,
        )
    for path in paths:
        if os.path.isdir(path):
            _warn_of_folders(path, files)
    return files


def _names(path: str, kind: str | None) -> list[str]:
    """The files that ``path`` means as far as text goes: none where Rust has to look."""
    if os.path.isfile(path):
        return [path]
    if os.path.isdir(path):
        return _of_folder(path, kind)
    if glob.has_magic(path) and promise(path)[0] != "other":
        return _of_one_kind((name for name in glob.iglob(path, recursive=True) if os.path.isfile(name)), kind)
    return []


def _of_folder(folder: str, kind: str | None) -> list[str]:
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            # The first shard of another format, or note of `datasets`, decides: what it means is Rust's to say.
            if kind is None and (promise(entry.name)[0] == "other" or entry.name in _NOTES):
                return []
            if not entry.is_dir(follow_symlinks=False):
                names.append(os.path.join(folder, entry.name))
    return _of_one_kind(names, kind)


def _of_one_kind(paths: Iterable[str], kind: str | None) -> list[str]:
    """Text files in natural order; none where one is of another format."""
    texts = []
    for path in paths:
        name = os.path.basename(path)
        promised, _ = promise(name)
        if promised == "other" and kind is None:
            return []
        is_note = kind is None and name.lower().endswith(".json")
        if promised not in (None, "other") and not is_note and not name.startswith("."):
            texts.append(path)
    return sorted(texts, key=_natural)


def _warn_of_folders(folder: str, files: Sequence[TextFile]) -> None:
    """Folders in a folder are not read: of files in them that nothing else names, the caller hears."""
    read = {file.path for file in files}
    left_out: Counter[str] = Counter()
    num_entries = 0
    for parent, folders, names in os.walk(folder):
        inner = os.path.relpath(parent, folder)
        num_entries += len(folders) + len(names)
        if num_entries > _MOST_ENTRIES:
            break
        if inner != "." and not _OWN.isdisjoint(names):
            folders.clear()
            continue
        folders[:] = sorted((name for name in folders if not _is_unfinished(name)), key=_natural)
        if inner != ".":
            alike = (name for name in names if not name.startswith(".") and promise(name)[0] == files[0].kind)
            count = sum(os.path.join(parent, name) not in read for name in alike if not name.endswith(".json"))
            left_out.update({inner: count} if count else {})
    if left_out:
        told = ", ".join(f"{left_out[inner]} in {inner}" for inner in [*left_out][:_NAMED])
        rest = [*left_out.values()][_NAMED:]
        told += f", {sum(rest)} in {len(rest)} more" if rest else ""
        pattern = os.path.join(folder, "**", "*" + os.path.splitext(files[0].path)[1])
        warnings.warn(
            f"{folder} holds text files that are not read, in folders in it: {told}; name these folders too, or take "
            f"all files by {pattern}",
            stacklevel=2,
        )


def _is_unfinished(name: str) -> bool:
    """Hidden, and what writers are not done with."""
    return name.startswith((".", "_")) or name.endswith(".part")


def _natural(path: str) -> list[tuple[int, int, str]]:
    """As Rust sorts shards: runs of digits by value, separators before everything."""
    key: list[tuple[int, int, str]] = []
    for part in _DIGITS.split(path):
        if part.isdecimal():
            key.append((ord("0"), len(part.lstrip("0")), part.lstrip("0")))
        else:
            key += [(-1 if letter in (os.sep, os.altsep) else ord(letter), 0, "") for letter in part]
    return [*key, (-2, 0, path)]
