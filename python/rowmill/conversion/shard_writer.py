"""Arrow shards in a folder: blocks of at most a thousand rows, files of about a quarter of a gigabyte, on disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.conversion.nulls import completed

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ShardWriter", "sync_folder"]

# As `datasets` cuts its record batches: what a shuffle moves as one stays small.
_BLOCK_ROWS = 1000
_SHARD_BYTES = 256 << 20
# So much waits to be brought to the disk at most.
_SYNC_BYTES = 16 << 20


class ShardWriter:
    """Writes tables, in order, as ``part-00000.arrow`` and so on.

    The schema may grow from table to table, as ``nulls.completed`` has it. What was written by then is completed in
    the end, from the files: that costs a copy, and not another reading of the text.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pieces: list[_Piece] = []
        self._open: _Piece | None = None

    def write(self, table: pa.Table) -> None:
        """Adds the table's rows."""
        if self._open is not None and not self._open.schema.equals(table.schema):
            self._end(is_full=False)
        if self._open is None:
            self._open = _Piece(self.folder / f"piece-{len(self.pieces):05d}.arrow", table.schema)
        self._open.write(table)
        if self._open.num_bytes >= _SHARD_BYTES:
            self._end(is_full=True)

    def _end(self, *, is_full: bool) -> None:
        if self._open is not None:
            self._open.close(is_full=is_full)
            self.pieces.append(self._open)
            self._open = None

    def close(self, schema: pa.Schema | None) -> list[dict[str, Any]]:
        """Ends the last shard, one without rows where there are none, and says what is in each."""
        if self._open is None and not self.pieces and schema is not None:
            self.write(schema.empty_table())
        self._end(is_full=False)
        if schema is not None and any(not piece.schema.equals(schema) for piece in self.pieces):
            self._complete(schema)
        return [piece.become(self.folder / f"part-{index:05d}.arrow") for index, piece in enumerate(self.pieces)]

    def _complete(self, schema: pa.Schema) -> None:
        """Writes again what is not of ``schema``, and what would be a small shard beside it."""
        import pyarrow as pa

        before, self.pieces = self.pieces, []
        for index, piece in enumerate(before):
            # Behind those of the first writing: a number is never used twice.
            piece.rename(self.folder / f"before-{index:05d}.arrow")
        for piece in before:
            if piece.is_full and piece.schema.equals(schema):
                self._end(is_full=False)
                piece.rename(self.folder / f"piece-{len(self.pieces):05d}.arrow")
                self.pieces.append(piece)
                continue
            for batch in piece.batches():
                self.write(completed(pa.Table.from_batches([batch]), schema))
            piece.path.unlink()
        self._end(is_full=False)

    def discard(self) -> None:
        """Takes back all that was written."""
        if self._open is not None:
            self._open.abandon()
        self._open, self.pieces = None, []
        for path in self.folder.glob("*.arrow"):
            path.unlink()


class _Piece:
    """A file of rows under one schema, on the way to be a shard."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        import pyarrow as pa

        self.path, self.schema, self.num_rows, self.is_full = path, schema, 0, False
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, schema)
        self._syncing = _Syncing(path)

    @property
    def num_bytes(self) -> int:
        return int(self._file.tell())

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table, max_chunksize=_BLOCK_ROWS)
        self.num_rows += table.num_rows
        self._syncing.reach(self.num_bytes)

    def close(self, *, is_full: bool) -> None:
        self._writer.close()
        self._file.close()
        self._syncing.wait()
        self.is_full = is_full

    def abandon(self) -> None:
        """Lets go of the file as it is; a full disk takes no end of it any more."""
        self._file.close()
        with contextlib.suppress(OSError):
            self._syncing.wait()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The blocks, as they were written."""
        import pyarrow as pa

        with pa.OSFile(str(self.path), "rb") as file, pa.ipc.open_file(file) as reader:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)

    def rename(self, path: Path) -> None:
        self.path = self.path.rename(path)

    def become(self, path: Path) -> dict[str, Any]:
        """Takes the name of a shard, once it is on disk; what is said of it."""
        self.rename(path)
        _sync(path)
        return {"name": path.name, "num_rows": self.num_rows, "num_bytes": path.stat().st_size}


class _Syncing:
    """Brings a file to the disk while it is written, so that its end does not wait for all of it."""

    def __init__(self, path: Path) -> None:
        self._path, self._reached = path, 0
        self._pool: ThreadPoolExecutor | None = None
        self._begun: Future[None] | None = None

    def reach(self, num_bytes: int) -> None:
        """The file has so many bytes now."""
        if num_bytes - self._reached >= _SYNC_BYTES and (self._begun is None or self._begun.done()):
            self._reached = num_bytes
            self.check()
            self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="rowmill-sync")
            self._begun = self._pool.submit(_sync, self._path)

    def check(self) -> None:
        """Says what the last one came to."""
        if self._begun is not None:
            self._begun.result()

    def wait(self) -> None:
        """Nobody has the file open any more."""
        if self._pool is not None:
            self._pool.shutdown()
        self.check()


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes renames in ``folder`` last, where the system has a way to."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
