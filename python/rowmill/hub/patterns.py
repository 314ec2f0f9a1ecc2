"""Which files of a tree a pattern means, and which splits the names of files and folders tell of.

The rules are those of ``datasets`` 5 (documented under "Structure your repository"), over a list of paths instead of
a file system: ``*`` stays inside a folder, ``**`` is a whole part of a path, hidden files and ``__folders__`` must be
asked for.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from rowmill.hub.formats import is_data_file

__all__ = ["Patterns", "check_split", "conventional_patterns", "has_magic", "match"]

Patterns = dict[str, list[str]]

_IGNORED = {
    "README.md", "config.json", "dataset_info.json", "dataset_infos.json", "dummy_data.zip", "dataset_dict.json"
}  # fmt: skip
_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_BETWEEN = "[-._ 0-9]"
_IN_FOLDERS = ("**/{0}/**", "**/{0}{1}*/**", "**/*{1}{0}/**", "**/*{1}{0}{1}*/**")
_IN_NAMES = ("**/{0}{1}*", "**/*{1}{0}{1}*")
_FIVE = "[0-9]" * 5
_SHARDED = f"data/{{}}-{_FIVE}-of-{_FIVE}*.*"
_SPLIT_NAME = re.compile(r"\w+(\.\w+)*")


def _by_keyword(forms: Sequence[str]) -> Patterns:
    return {
        split: [form.format(word, _BETWEEN) for word in words for form in forms] for split, words in _KEYWORDS.items()
    }


# In the order in which they are tried; the first that finds anything is it.
_CONVENTIONS: tuple[Patterns, ...] = (
    {"logs": ["**/*.eval"]},
    {"test": ["**/task.toml", "**/instruction.md"]},
    _by_keyword(_IN_FOLDERS),
    _by_keyword(_IN_NAMES),
    {"train": ["**"]},
)


def check_split(name: str) -> str:
    """A split's name.

    Raises:
        ValueError: No reader would take it for one.
    """
    if not _SPLIT_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a split, which has only letters, digits, _ and dots")
    return name


def has_magic(pattern: str) -> bool:
    """Whether it is more than a name."""
    return any(letter in pattern for letter in "*?[")


def match(pattern: str, paths: Iterable[str], *, base: str = "", data_only: bool = False) -> list[str]:
    """The paths that a pattern below ``base`` means, sorted.

    Args:
        pattern: Relative to ``base``; a name without magic is itself.
        paths: Files of the tree, from its root.
        base: A folder of the tree.
        data_only: Leave out what has no suffix of any data format.
    """
    full = posixpath.normpath(posixpath.join(base, pattern)) if pattern else base
    accepts = _translate(full)
    ignored = _IGNORED - {posixpath.basename(full)}
    hidden, special = _num_hidden(full), _num_special(full)
    return sorted(
        path
        for path in paths
        if accepts.fullmatch(path)
        and posixpath.basename(path) not in ignored
        and _num_hidden(path) == hidden
        and _num_special(path) == special
        and (not data_only or is_data_file(path))
    )


def _num_hidden(path: str) -> int:
    return sum(part.startswith(".") and bool(part.strip(".")) for part in path.split("/"))


def _num_special(path: str) -> int:
    return sum(part.startswith("__") for part in path.split("/")[:-1])


@lru_cache(maxsize=512)
def _translate(pattern: str) -> re.Pattern[str]:
    if not has_magic(pattern):
        return re.compile(re.escape(pattern))
    parts, out = pattern.split("/"), []
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        if part == "**":
            out.append(".*" if is_last else "(?:.+/)?")
            continue
        if "**" in part:
            raise ValueError(f"{pattern!r}: ** must be a whole part of a path, as in data/**/*.parquet")
        out.append(("[^/]+" if part == "*" else _translate_part(part)) + ("" if is_last else "/"))
    return re.compile("".join(out), re.DOTALL)


def _translate_part(part: str) -> str:
    out, at = [], 0
    while at < len(part):
        letter, at = part[at], at + 1
        if letter == "*":
            out.append("[^/]*")
        elif letter == "?":
            out.append("[^/]")
        elif letter == "[":
            # A bracket right after the opening one, or its negation, is a member.
            end = part.find("]", at + 1 + (part[at : at + 1] == "!"))
            if end < 0:
                out.append(r"\[")
                continue
            members, at = part[at:end], end + 1
            negated = members.startswith("!")
            members = members[negated:].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
            out.append(f"(?!/)[{'^' if negated else ''}{members.replace(']', chr(92) + ']')}]")
        else:
            out.append(re.escape(letter))
    return "".join(out)


def conventional_patterns(paths: Iterable[str], base: str = "") -> Patterns | None:
    """Splits and their patterns by where files lie and what they are called; None where there is no file."""
    below = [path for path in paths if not base or path.startswith(f"{base}/")]
    if sharded := match(_SHARDED.format("*"), below, base=base):
        found = {re.sub(r"-\d{5}-of-\d{5}.*", "", posixpath.basename(path)) for path in sharded}
        splits = [split for split in _KEYWORDS if split in found] + sorted(found - _KEYWORDS.keys())
        return {check_split(split): [_SHARDED.format(split)] for split in splits}
    for convention in _CONVENTIONS:
        found_splits = {
            split: patterns
            for split, patterns in convention.items()
            if any(match(pattern, below, base=base) for pattern in patterns)
        }
        if found_splits:
            return found_splits
    return None
