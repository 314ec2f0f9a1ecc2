"""What a ``datasets`` object holds in no file of its own, written to the cache folder once: tables and row numbers.

Everything is written under a name of its own and renamed when it is whole and on the disk: a file that is there is
complete, and two processes that write the same one at once both succeed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.conversion.shard_writer import sync_folder
from rowmill.exceptions import AccessDeniedError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["keep_indices", "keep_table"]

# As large as what `datasets` writes, and small enough that a block of large rows is no burden.
_BLOCK_ROWS = 1000
_BLOCK_BYTES = 4 << 20
_SHARD_BYTES = 256 << 20

_ABANDONED_SECONDS = 24 * 3600


def keep_table(table: pa.Table, fingerprint: str, folder: Path) -> tuple[str, ...]:
    """Arrow shards with the rows of ``table``, which ``datasets`` knows by ``fingerprint``; written only once."""
    key = hashlib.blake2b(digest_size=16)
    for part in (b"table 1", fingerprint.encode(), str(table.num_rows).encode(), table.schema.serialize()):
        key.update(len(part).to_bytes(8, "little") + part)
    final = folder / "tables" / key.hexdigest()
    if not final.is_dir():
        with _new_folder(final) as part_folder:
            _write_shards(table, part_folder)
    return tuple(sorted(str(path) for path in final.glob("*.arrow")))


def keep_indices(indices: Any, folder: Path) -> str:
    """An indices file of these row numbers (a chunked array of uint64), named by what it holds."""
    import pyarrow as pa

    key = hashlib.blake2b(b"indices 1", digest_size=16)
    for chunk in indices.chunks:
        key.update(chunk.to_numpy(zero_copy_only=False).astype("<u8", copy=False))
    final = folder / "indices" / key.hexdigest()
    if not final.is_dir():
        with _new_folder(final) as part_folder:
            _write_stream(pa.table({"indices": indices}), part_folder / "indices.arrow", 1 << 16)
    return str(final / "indices.arrow")


def _write_shards(table: pa.Table, folder: Path) -> None:
    num_shards = max(-(-table.nbytes // _SHARD_BYTES), 1)
    row_bytes = max(table.nbytes // max(table.num_rows, 1), 1)
    block_rows = min(max(_BLOCK_BYTES // row_bytes, 1), _BLOCK_ROWS)
    for index in range(num_shards):
        first, last = (table.num_rows * at // num_shards for at in (index, index + 1))
        path = folder / f"data-{index:05d}-of-{num_shards:05d}.arrow"
        _write_stream(table.slice(first, last - first), path, block_rows)


def _write_stream(table: pa.Table, path: Path, block_rows: int) -> None:
    import pyarrow as pa

    with path.open("wb") as file:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=block_rows)
        file.flush()
        os.fsync(file.fileno())


def _sweep(folder: Path) -> None:
    """Removes what writers that were killed have left; none that lives writes for so long without a new file."""
    for part in folder.glob(".part-*"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _new_folder(final: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``final`` when the block ends well, and is gone when it does not."""
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=final.parent))
    except PermissionError as error:
        raise AccessDeniedError(
            f"rows that lie in no file are written to the cache folder once, but {final.parent} cannot be written; "
            "name another folder by cache_dir or ROWMILL_CACHE",
            str(final.parent),
        ) from error
    try:
        yield part
        sync_folder(part)
        try:
            part.rename(final)
        except OSError:
            # Another process was faster; what it wrote is the same.
            if not final.is_dir():
                raise
        sync_folder(final.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
