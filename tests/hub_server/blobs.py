"""Contents of files, under the names that git and git LFS give them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# What a fresh data set repository's .gitattributes keeps in LFS, about.
LFS_SUFFIXES = (
    ".7z", ".arrow", ".bin", ".bz2", ".gz", ".h5", ".jpg", ".mp3", ".msgpack", ".npy", ".npz", ".parquet", ".pickle",
    ".png", ".safetensors", ".tar", ".tgz", ".wav", ".xz", ".zip", ".zst",
)  # fmt: skip
LFS_BYTES = 10 << 20


@dataclass(frozen=True)
class Blob:
    """A file's bytes, in memory or on disk."""

    content: bytes | Path

    @cached_property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        if isinstance(self.content, bytes):
            return self.content[start:stop]
        with self.content.open("rb") as file:
            file.seek(start)
            return file.read(-1 if stop is None else stop - start)

    @cached_property
    def sha256(self) -> str:
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        with self.content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def git_oid(content: bytes, kind: str = "blob") -> str:
    """The SHA-1 that git gives an object."""
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A file of a commit: plain, or a pointer to an LFS object."""

    blob: Blob
    is_lfs: bool

    @cached_property
    def pointer(self) -> bytes:
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.blob.sha256}\nsize {self.blob.size}\n"
        return text.encode()

    @cached_property
    def oid(self) -> str:
        return git_oid(self.pointer if self.is_lfs else self.blob.read())

    @property
    def etag(self) -> str:
        return self.blob.sha256 if self.is_lfs else self.oid

    def describe(self, path: str) -> dict[str, object]:
        """As it stands in a tree listing."""
        item: dict[str, object] = {"type": "file", "path": path, "size": self.blob.size, "oid": self.oid}
        if self.is_lfs:
            pointer = {"oid": self.blob.sha256, "size": self.blob.size, "pointerSize": len(self.pointer)}
            item["lfs"] = pointer
        return item


def make_entry(path: str, content: bytes | str | Path, is_lfs: bool | None = None) -> Entry:
    blob = Blob(content.encode() if isinstance(content, str) else content)
    if is_lfs is None:
        is_lfs = blob.size > 0 and (path.lower().endswith(LFS_SUFFIXES) or blob.size > LFS_BYTES)
    return Entry(blob, is_lfs)
