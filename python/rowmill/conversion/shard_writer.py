"""Arrow shards in a folder: blocks of at most a thousand rows, files of about a quarter of a gigabyte, on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ShardWriter", "sync_folder"]

# As `datasets` cuts its record batches: what a shuffle moves as one stays small.
_BLOCK_ROWS = 1000
_SHARD_BYTES = 256 << 20


class ShardWriter:
    """Writes tables of one schema, in order, as ``part-00000.arrow`` and so on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards: list[dict[str, Any]] = []
        self._file: Any = None
        self._writer: Any = None
        self._num_rows = 0

    def write(self, table: pa.Table) -> None:
        """Adds the table's rows."""
        self._open(table.schema)
        self._writer.write_table(table, max_chunksize=_BLOCK_ROWS)
        self._num_rows += table.num_rows
        if self._file.tell() >= _SHARD_BYTES:
            self._finish()

    def _open(self, schema: pa.Schema) -> None:
        import pyarrow as pa

        if self._file is None:
            self._file = pa.OSFile(str(self.folder / f"part-{len(self.shards):05d}.arrow"), "wb")
            self._writer = pa.ipc.new_file(self._file, schema)

    def _finish(self) -> None:
        path = self.folder / f"part-{len(self.shards):05d}.arrow"
        self._writer.close()
        self._file.close()
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
        self.shards.append({"name": path.name, "num_rows": self._num_rows, "num_bytes": path.stat().st_size})
        self._file, self._writer, self._num_rows = None, None, 0

    def close(self, schema: pa.Schema | None) -> list[dict[str, Any]]:
        """Ends the last shard, one without rows where there are none, and says what is in each."""
        if self._file is None and not self.shards and schema is not None:
            self._open(schema)
        if self._file is not None:
            self._finish()
        return self.shards

    def discard(self) -> None:
        """Takes back all that was written."""
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None
        for path in self.folder.glob("part-*.arrow"):
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Makes renames in ``folder`` last, where the system has a way to."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
