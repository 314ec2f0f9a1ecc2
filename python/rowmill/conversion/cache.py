"""Where converted text is kept: a folder for each set of files as they are, whole or not there at all.

The key holds each file's path, size, modification time and inode, as the index of shards does, and samples of its
bytes, so that a file rewritten in place under its old time is seen as well. A file that was copied, moved or touched
is converted again; its rows, and with them fingerprint and cursors, stay what they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rowmill.conversion.disk_errors import explained
from rowmill.conversion.kinds import TextFile
from rowmill.conversion.listing import text_files
from rowmill.conversion.progress import Bar
from rowmill.conversion.shard_writer import sync_folder
from rowmill.conversion.text_files import convert_text
from rowmill.exceptions import AccessDeniedError, CorruptShardError, MissingShardError
from rowmill.folders import cache_folder

__all__ = ["as_shards"]

# What is written for the same text; a change here converts everything again.
_VERSION = 2
_NOTE = "conversion.json"
_SAMPLES, _SAMPLE_BYTES = 8, 4096


def as_shards(paths: Sequence[str], format: str | None = None, cache_dir: str | None = None) -> list[str] | None:
    """Arrow shards of the text files behind ``paths``; None where they are no text.

    The first call converts them, once on this machine: other processes wait and take what it made.

    Raises:
        CorruptShardError: A file is damaged; the line is named.
        SchemaMismatchError: Values of one field, or files, do not go together.
        AccessDeniedError: The cache folder cannot be written.
    """
    files = text_files(paths, format)
    if files is None:
        return None
    folder = cache_folder(cache_dir) / "converted"
    before = [_identity(file) for file in files]
    final = folder / _key(files, before)
    shards = _shards(final)
    if shards is None:
        with explained(
            folder,
            closed="text files are converted once, so name another folder by cache_dir or ROWMILL_CACHE",
            full="the converted text files need some, so name another folder by cache_dir or ROWMILL_CACHE",
        ):
            shards = _convert_once(files, before, final)
    return shards


def _identity(file: TextFile) -> list[Any]:
    try:
        status = os.stat(file.path)
    except FileNotFoundError:
        raise MissingShardError(f"{file.path}: no such file", file.path) from None
    return [file.path, file.kind, file.codec, status.st_size, status.st_mtime_ns, status.st_ino]


def _key(files: Sequence[TextFile], identities: list[list[Any]]) -> str:
    digest = hashlib.blake2b(json.dumps([_VERSION, identities]).encode(), digest_size=16)
    for file, identity in zip(files, identities, strict=True):
        size = identity[3]
        try:
            with open(file.path, "rb", buffering=0) as source:
                for index in range(_SAMPLES):
                    source.seek(max(size - _SAMPLE_BYTES, 0) * index // (_SAMPLES - 1))
                    digest.update(source.read(_SAMPLE_BYTES))
        except PermissionError as error:
            raise AccessDeniedError(f"{file.path} cannot be read: {error.strerror}", file.path) from error
    return digest.hexdigest()


def _shards(final: Path) -> list[str] | None:
    """The shards of a conversion that is there, whole."""
    try:
        note = json.loads((final / _NOTE).read_text(encoding="utf-8"))
        shards = [(str(final / shard["name"]), shard["num_bytes"]) for shard in note["shards"]]
        is_whole = all(os.path.getsize(path) == size for path, size in shards)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return [path for path, _ in shards] if is_whole else None


def _convert_once(files: Sequence[TextFile], before: list[list[Any]], final: Path) -> list[str]:
    from filelock import FileLock

    final.parent.mkdir(parents=True, exist_ok=True)
    # The system's lock, which dies with its holder.
    with FileLock(f"{final}.lock"):
        if (shards := _shards(final)) is not None:
            return shards
        part = _part(final)
        shutil.rmtree(part, ignore_errors=True)
        _sweep(final.parent)
        part.mkdir()
        try:
            _convert(files, before, part)
            shutil.rmtree(final, ignore_errors=True)
            part.rename(final)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        sync_folder(final.parent)
    shards = _shards(final)
    if shards is None:
        raise CorruptShardError(f"{final} was removed while it was made; open the files again", str(final))
    return shards


def _convert(files: Sequence[TextFile], before: list[list[Any]], part: Path) -> None:
    total = sum(identity[3] for identity in before)
    name = os.path.basename(files[0].path) if len(files) == 1 else f"{len(files)} files"
    with Bar(f"converting {name}", total) as bar:
        shards = convert_text(files, part, bar.add)
    for file, identity in zip(files, before, strict=True):
        if _identity(file) != identity:
            raise CorruptShardError(
                f"{file.path} changed while it was converted; open it again when its writer is done", file.path
            )
    note = {"version": _VERSION, "sources": [identity[0] for identity in before], "shards": shards}
    with open(part / _NOTE, "w", encoding="utf-8") as written:
        json.dump(note, written, indent=1)
        written.flush()
        os.fsync(written.fileno())
    sync_folder(part)


def _part(final: Path) -> Path:
    return final.with_name(f"{final.name}.part")


def _sweep(folder: Path) -> None:
    """Removes what conversions that were killed have left; those that go on hold their locks."""
    from filelock import FileLock, Timeout

    for part in folder.glob("*.part"):
        lock = FileLock(str(part.with_suffix(".lock")), timeout=0)
        try:
            with lock:
                shutil.rmtree(part, ignore_errors=True)
        except Timeout:
            continue
