"""Which paths are URLs, and which objects a URL means."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from rowmill import _rust
from rowmill.exceptions import MissingShardError

__all__ = ["Known", "bare", "expanded", "is_elsewhere", "is_remote", "origin_of"]

# What Rust reads by ranges.
_SCHEMES = ("https", "http", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss")
_STORES = _SCHEMES[2:]
_URL = re.compile(r"^([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_DATA = (".parquet", ".pq", ".arrow", ".arrows", ".ipc", ".feather", ".tar")

# URL, bytes, tag, and whether the URL never means other bytes.
Known = tuple[str, int, str | None, bool]


def _scheme(path: Any) -> str | None:
    found = _URL.match(path) if isinstance(path, str) else None
    return found[1].lower() if found else None


def is_remote(path: Any) -> bool:
    """Whether a path names an object that Rust reads by ranges."""
    return _scheme(path) in _SCHEMES


def is_elsewhere(path: Any) -> bool:
    """Whether a path is a URL of another kind, for fsspec."""
    scheme = _scheme(path)
    return scheme is not None and scheme not in (*_SCHEMES, "hf", "file")


def bare(urls: Sequence[str]) -> list[str]:
    """URLs as they may be written down: a signature or a token in one stays in this process's memory."""
    return list(_rust.bare_urls(list(urls)))


def origin_of(url: str) -> str | None:
    """Scheme, host and port of a URL of plain HTTP; None for others."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" if parts.port in (None, usual) else f"{parts.scheme}://{host}:{parts.port}"


def expanded(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[str | os.PathLike[str]], list[Known]]:
    """Paths with folders and patterns of object stores replaced by what they hold, and what their lists tell.

    Raises:
        MissingShardError: A folder or pattern holds no data.
    """
    found: list[str | os.PathLike[str]] = []
    known: list[Known] = []
    for path in paths:
        text = path if isinstance(path, str) else ""
        is_pattern = any(letter in text for letter in "*?[")
        if _scheme(path) not in _STORES or not (text.endswith("/") or is_pattern):
            found.append(path)
            continue
        listed = _listed(text, is_pattern)
        found += [url for url, *_ in listed]
        known += listed
    return found, known


def _listed(url: str, is_pattern: bool) -> list[Known]:
    prefix = re.split(r"[*?\[]", url, maxsplit=1)[0].rsplit("/", 1)[0] + "/" if is_pattern else url
    listed = [(name, size, tag, False) for name, size, tag in _rust.list_store(prefix)]
    wanted = (
        [item for item in listed if fnmatch.fnmatchcase(item[0], url)]
        if is_pattern
        else [item for item in listed if item[0].lower().endswith(_DATA)]
    )
    if not wanted:
        names = ", ".join(name.removeprefix(prefix) for name, *_ in listed[:3])
        raise MissingShardError(f"{url} holds no data files; below {prefix} are {names or 'no objects'}", url)
    return sorted(wanted, key=lambda item: _natural(item[0]))


def _natural(name: str) -> list[Any]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", name)]
