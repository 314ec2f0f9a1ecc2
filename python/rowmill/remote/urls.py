"""Which paths are URLs, and which objects a URL means."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from rowmill import _rust
from rowmill.exceptions import MissingShardError

__all__ = [
    "Expanded",
    "Known",
    "as_url",
    "bare",
    "expanded",
    "is_elsewhere",
    "is_remote",
    "origin_of",
    "without_file_scheme",
]

# What Rust reads by ranges.
_SCHEMES = ("https", "http", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss")
_STORES = _SCHEMES[2:]
_URL = re.compile(r"^([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
# As fsspec chains file systems: "simplecache::https://..." and "zip://a.csv::s3://...".
_CHAIN = re.compile(r"^([a-z][a-z0-9+.-]+::(?=[a-z][a-z0-9+.-]+:)|[a-z][a-z0-9+.-]+://[^:]*::)", re.IGNORECASE)
_FILE = re.compile(r"^file://(?:localhost(?=/))?", re.IGNORECASE)
_DATA = (".parquet", ".pq", ".arrow", ".arrows", ".ipc", ".feather", ".tar")

# Letters of a key that a URL has as they are.
_KEPT = "/!$&'()*+,;=:@~"

# URL, bytes, tag, and whether the URL never means other bytes.
Known = tuple[str, int, str | None, bool]


def _scheme(path: Any) -> str | None:
    found = (_CHAIN.match(path) or _URL.match(path)) if isinstance(path, str) else None
    return found[1].lower() if found else None


def is_remote(path: Any) -> bool:
    """Whether a path names an object that Rust reads by ranges."""
    return _scheme(path) in _SCHEMES


def is_elsewhere(path: Any) -> bool:
    """Whether a path is a URL of another kind, for fsspec."""
    scheme = _scheme(path)
    return scheme is not None and scheme not in (*_SCHEMES, "hf", "file")


def without_file_scheme(path: str) -> str:
    """A ``file://`` URL as the path that it is; others as they are."""
    plain = path[found.end() :] if (found := _FILE.match(path)) else path
    # Of "file:///C:/data", as fsspec reads it.
    return plain[1:] if found and os.name == "nt" and re.match(r"/[A-Za-z]:", plain) else plain


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


def as_url(text: str) -> str:
    """What a caller wrote as a URL: the key of a store's object stands in it as it is, whatever letters it has."""
    if _scheme(text) not in _STORES:
        return text
    scheme, _, rest = text.partition("://")
    bucket, slash, key = rest.partition("/")
    return f"{scheme}://{bucket}{slash}{quote(key, safe=_KEPT)}"


@dataclass
class Expanded:
    """What paths hold.

    Attributes:
        paths: Objects in the place of folders and patterns of object stores; other paths as they are.
        known: What lists tell of objects.
        roots: The folders, and the prefixes of patterns.
    """

    paths: list[str | os.PathLike[str]] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)


def expanded(paths: Iterable[str | os.PathLike[str]]) -> Expanded:
    """Paths with folders and patterns of object stores replaced by what they hold, and what their lists tell.

    Raises:
        MissingShardError: A folder or pattern holds no data.
    """
    found = Expanded()
    for path in paths:
        text = path if isinstance(path, str) and _scheme(path) in _STORES else ""
        is_folder, is_pattern = text.endswith("/"), any(letter in text for letter in "*?[")
        if not is_folder and not is_pattern:
            found.paths.append(as_url(text) if text else path)
            continue
        prefix = text if is_folder else re.split(r"[*?\[]", text, maxsplit=1)[0].rsplit("/", 1)[0] + "/"
        listed = _listed(text, prefix)
        found.paths += [url for url, *_ in listed]
        found.known += listed
        if [url for url, *_ in listed] != [as_url(text)]:
            found.roots.append(as_url(prefix))
    return found


def _listed(text: str, prefix: str) -> list[Known]:
    """The objects that a folder, a pattern or a name with letters of patterns means; ``prefix`` is what is listed."""
    listed = {unquote(url): (size, tag) for url, size, tag in _rust.list_store(as_url(prefix))}
    if text == prefix:
        wanted = [name for name in listed if name.lower().endswith(_DATA)]
    elif text in listed:
        wanted = [text]
    else:
        wanted = [name for name in listed if fnmatch.fnmatchcase(name, text)]
    if not wanted:
        names = ", ".join(name.removeprefix(prefix) for name in list(listed)[:3])
        raise MissingShardError(f"{text} holds no data files; below {prefix} are {names or 'no objects'}", text)
    return [(as_url(name), *listed[name], False) for name in sorted(wanted, key=_natural)]


def _natural(name: str) -> list[Any]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", name)]
