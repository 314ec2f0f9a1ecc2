"""Whole files of other places in the cache: what fsspec reads, and text, which is converted from a file.

Rust's threads never call Python, so what only Python can read is copied once and read here from then on.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rowmill import _rust
from rowmill.conversion.kinds import FORMATS, promise
from rowmill.exceptions import MissingShardError, RowmillError, UnreachableError
from rowmill.remote.credentials import apply, default_places
from rowmill.remote.urls import bare, is_elsewhere, is_remote

__all__ = ["localized"]


def localized(
    paths: Iterable[str | os.PathLike[str]], format: str | None, folder: Path, *, whole: bool = False
) -> list[str | os.PathLike[str]]:
    """Paths with those replaced that are read from files only; the others as they are, unless ``whole`` is True."""
    found: list[str | os.PathLike[str]] = []
    for path in paths:
        if isinstance(path, str) and is_elsewhere(path):
            found += _by_fsspec(path, folder)
        elif isinstance(path, str) and is_remote(path) and (whole or _is_text(path, format)):
            found.append(_by_http(path, folder))
        else:
            found.append(path)
    return found


def _is_text(url: str, format: str | None) -> bool:
    return (format in FORMATS) if format is not None else promise(url.split("?")[0])[0] in FORMATS.values()


def _by_http(url: str, folder: Path) -> str:
    (plain,) = bare([url])
    apply(default_places([plain]), [plain])
    version = _rust.version_of(plain)
    target = _target(folder, f"{plain} {version}", plain)
    with locked(target) as is_there:
        if not is_there:
            _rust.download(plain, str(target))
    return str(target)


def _by_fsspec(url: str, folder: Path) -> list[str]:
    scheme = url.partition("::")[0].partition("://")[0]
    try:
        import fsspec
    except ImportError:
        raise ImportError(f"{scheme}:// is read through fsspec: pip install fsspec, and what it needs for it") from None
    missing = MissingShardError(f"{url} is not there, or holds no files", url)
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        names = filesystem.glob(path) if any(letter in path for letter in "*?[") else _files_of(filesystem, path)
        if not names:
            raise missing
        return [_fetch(filesystem, name, folder) for name in sorted(names)]
    except RowmillError:
        raise
    except FileNotFoundError:
        raise missing from None
    except OSError as error:
        raise UnreachableError(f"{scheme}:// cannot be read by fsspec: {type(error).__name__}", url) from None
    except ValueError as error:
        raise MissingShardError(f"{scheme}:// is no place that fsspec knows: {error}", url) from None


def _files_of(filesystem: Any, path: str) -> list[str]:
    return filesystem.find(path) if filesystem.isdir(path) else [path]


def _fetch(filesystem: Any, name: str, folder: Path) -> str:
    info = filesystem.info(name)
    target = _target(folder, f"{filesystem.ukey(name)} {info.get('size')}", name)
    with locked(target) as is_there:
        if not is_there:
            part = target.with_name(f"{target.name}.{os.getpid()}.part")
            try:
                with filesystem.open(name, "rb") as source, open(part, "wb") as copy:
                    shutil.copyfileobj(source, copy, 8 << 20)
                    copy.flush()
                    os.fsync(copy.fileno())
                if info.get("size") is not None and part.stat().st_size != info["size"]:
                    raise UnreachableError(f"{name} came with another length than its list promises; try again", name)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
    return str(target)


@contextlib.contextmanager
def locked(target: Path) -> Iterator[bool]:
    """Whether the file is there already, while no other process makes it."""
    from filelock import FileLock

    if target.exists():
        yield True
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # The system's lock, which dies with its holder.
    with FileLock(f"{target}.lock"):
        # Of processes that were killed: nobody else writes while the lock is held.
        for left in target.parent.glob(f"{glob.escape(target.name)}.*.part"):
            left.unlink(missing_ok=True)
        yield target.exists()


def _target(folder: Path, key: str, name: str) -> Path:
    """A place of its own for each version; the name stays, as formats are told by it."""
    base = name.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in base).lstrip(".")[-100:]
    return folder / "fetched" / hashlib.blake2b(key.encode(), digest_size=12).hexdigest() / (safe or "file")
