"""``.rowmill/<config>.json``: what a push writes down of the shards that it has sent, and of what they were made."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import CorruptShardError
from rowmill.hub.writing import Upload

if TYPE_CHECKING:
    from rowmill.hub.staging import StagedSplit

__all__ = ["Manifest", "SentFile", "SentSplit", "is_manifest", "make_manifest", "manifest_path", "read_manifest"]

_VERSION = 1
_PATH = re.compile(r"\.rowmill/[\w.-]+\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SentFile:
    """A shard as it was sent; ``num_rows`` is None where nobody has counted (tars)."""

    path: str
    size: int
    sha256: str
    num_rows: int | None


@dataclass(frozen=True)
class SentSplit:
    """A split as it was sent.

    Attributes:
        files: Its shards.
        fingerprint: Of the data that it was made of; None where it is not written down.
        recipe: Which rows of them, in which order, through which functions; None likewise.
    """

    files: list[SentFile]
    fingerprint: str | None
    recipe: str | None


Manifest = dict[str, SentSplit]


def manifest_path(config: str) -> str:
    """Where a push of a configuration writes down what it has put into the repository."""
    return f".rowmill/{config}.json"


def is_manifest(path: str) -> bool:
    """Whether a file is such a list."""
    return _PATH.fullmatch(path) is not None


def make_manifest(
    config: str,
    splits: Sequence[StagedSplit],
    column: str | None,
    previous: bytes | None,
    kept: Mapping[str, Sequence[str]],
) -> Upload:
    """The list of what is pushed, and of what an earlier push of the configuration has sent and this one keeps.

    Args:
        config: The configuration.
        splits: What is pushed.
        column: The column of text that is meant where there are several.
        previous: The list that is there.
        kept: The files of the splits that stay.
    """
    made = {
        one.name: {**one.origin, "num_rows": one.num_rows, "files": [_describe(file) for file in one.files]}
        for one in splits
    }
    listed = {"version": _VERSION, "column": column, "splits": {**made, **_kept(previous, manifest_path(config), kept)}}
    return Upload(manifest_path(config), (json.dumps(listed, indent=1) + "\n").encode())


def _kept(previous: bytes | None, path: str, kept: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What an earlier list says of the splits that stay, where it is of their very files."""
    if previous is None:
        return {}
    try:
        sent = read_manifest(previous, path)
    except CorruptShardError:
        # It is replaced by this one.
        return {}
    names = [name for name, split in sent.items() if {file.path for file in split.files} == {*kept.get(name, ())}]
    return {name: json.loads(previous)["splits"][name] for name in names}


def _describe(file: Upload) -> dict[str, Any]:
    assert isinstance(file.source, Path), "shards are files"
    with open(file.source, "rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return {"path": file.path, "size": file.size, "sha256": digest, "num_rows": file.num_rows}


def read_manifest(content: bytes, path: str) -> Manifest:
    """The splits of a list that came from the network.

    Raises:
        CorruptShardError: It is none.
    """
    try:
        splits = json.loads(content)["splits"]
        return {str(name): _split(split) for name, split in splits.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptShardError(f"{path} is no list of a push ({_brief(error)}); push again", path) from None


def _brief(error: Exception) -> str:
    return f"there is no {error}" if isinstance(error, KeyError) else str(error)[:100]


def _split(split: Mapping[str, Any]) -> SentSplit:
    return SentSplit([_file(file) for file in split["files"]], _text(split, "fingerprint"), _text(split, "recipe"))


def _text(split: Mapping[str, Any], name: str) -> str | None:
    value = split.get(name)
    return value if isinstance(value, str) else None


def _file(file: Mapping[str, Any]) -> SentFile:
    path, size, sha256, num_rows = file["path"], file["size"], file["sha256"], file.get("num_rows")
    if not isinstance(path, str):
        raise TypeError(f"a path is a text, not {path!r}")
    if type(size) is not int or size < 0:
        raise TypeError(f"the size of {path!r} is {size!r}")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise TypeError(f"the sha256 of {path!r} is {sha256!r}")
    if num_rows is not None and (type(num_rows) is not int or num_rows < 0):
        raise TypeError(f"the num_rows of {path!r} is {num_rows!r}")
    return SentFile(path, size, sha256, num_rows)
