"""What a file name, and where it says nothing the first bytes, promise of a text file."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rowmill.exceptions import CorruptShardError

__all__ = ["FORMATS", "TextFile", "promise", "sniff"]

# What `format=` of rowmill.open may say of text.
FORMATS = {"jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl", "csv": "csv", "tsv": "tsv"}
_CODECS = {"gz": "gzip", "gzip": "gzip", "zst": "zstd", "zstd": "zstd", "bz2": "bz2"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
# Names that Rust reads, or that it knows to say something better about.
_OTHERS = {"arrow", "arrows", "ipc", "feather", "parquet", "pq", "tar", "tgz", "zip", "xz", "npy", "bin", "mds"}
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class TextFile:
    """One text file: where it is, "jsonl", "csv" or "tsv", and the codec around it."""

    path: str
    kind: str
    codec: str | None


def promise(name: str) -> tuple[str | None, str | None]:
    """What ``name`` says: a kind of text (or "other", or None), and the codec around it."""
    stem, _, last = os.path.basename(name).lower().rpartition(".")
    codec = _CODECS.get(last)
    if codec is not None:
        stem, _, last = stem.rpartition(".")
    if not stem:
        return None, codec
    if last in _OTHERS:
        return "other", codec
    return FORMATS.get(last), codec


def sniff(path: str, kind: str | None = None) -> TextFile | None:
    """The text file at ``path``; None where it is something else, or nothing that can be read here.

    Args:
        path: A file.
        kind: What it is, where the caller knows; the name and the first bytes say it otherwise.
    """
    promised, _ = promise(path)
    kind = kind or promised
    if kind == "other":
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    codec = next((codec for magic, codec in _MAGIC.items() if head.startswith(magic)), None)
    if kind is None:
        # A name without a word: only an object at the very beginning is taken for JSON lines.
        text = _unpacked(path, codec) if codec else head
        kind = "jsonl" if text.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{" else None
    return None if kind is None else TextFile(path, kind, codec)


def _unpacked(path: str, codec: str) -> bytes:
    from rowmill.conversion.chunks import open_text

    try:
        with open_text(TextFile(path, "jsonl", codec)) as text:
            head = bytearray(_HEAD)
            return bytes(head[: text.readinto(memoryview(head))])
    except CorruptShardError:
        return b""
