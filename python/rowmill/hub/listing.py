"""The files of a repository at a commit, kept as ``huggingface_hub`` 2 keeps them: ``trees/<sha>.json``.

A commit's tree never changes, so that what one of the clients has written down serves the other without a request.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["HubFile", "Listing", "hash_of", "read_listing", "write_listing"]

_VERSION = 1
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class HubFile:
    """What a tree says of a file: its size, git's name of it, and the SHA-256 of what lies in LFS."""

    size: int
    blob_id: str
    sha256: str | None = None
    xet_hash: str | None = None


Listing = dict[str, HubFile]


def read_listing(folder: Path, sha: str) -> Listing | None:
    """The tree of a commit as a repository's cache folder has it; None where it has none, or a strange one."""
    try:
        kept = json.loads((folder / "trees" / f"{sha}.json").read_bytes())
        if kept["format_version"] != _VERSION:
            return None
        return {path: _file(info) for path, info in kept["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _file(info: Mapping[str, Any]) -> HubFile:
    size, blob_id, sha256 = info["size"], info["blob_id"], info.get("lfs_sha256")
    if type(size) is not int or not isinstance(blob_id, str) or not isinstance(sha256, str | None):
        raise TypeError("no tree of ours")
    return HubFile(size, blob_id, sha256, info.get("xet_hash"))


def write_listing(folder: Path, sha: str, listing: Listing) -> None:
    """Keeps a tree, whole or not at all; a cache that cannot be written is left as it is."""
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(listing):
        file = listing[path]
        files[path] = {"size": file.size, "blob_id": file.blob_id}
        if file.sha256 is not None:
            files[path] |= {"lfs_sha256": file.sha256, "lfs_size": file.size}
        if file.xet_hash is not None:
            files[path]["xet_hash"] = file.xet_hash
    write_whole(folder / "trees" / f"{sha}.json", {"format_version": _VERSION, "files": files})


def write_whole(path: Path, value: Any) -> None:
    """Writes bytes, or a value as JSON, beside ``path`` and puts it there; best effort."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            content = value if isinstance(value, bytes) else json.dumps(value, indent=1).encode()
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError:
        return


def hash_of(path: str | os.PathLike[str], like: HubFile) -> str:
    """The hash of a file here of the kind that its entry has: SHA-256, or git's SHA-1 of a blob."""
    if like.sha256 is not None:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % os.path.getsize(path), usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
