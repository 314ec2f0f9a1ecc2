"""One shard to a file: Arrow IPC, Parquet or tar."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rowmill.conversion.layout import Layout
from rowmill.conversion.webdataset import write_tar
from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SUFFIXES", "Sink"]

SUFFIXES = {"arrow": ".arrow", "parquet": ".parquet", "webdataset": ".tar"}


class Sink:
    """Writes shards of one format; ``first_row`` is the number of a shard's first row, where keys come of it."""

    def __init__(self, to: str, schema: pa.Schema, layout: Layout | None, first_row: int) -> None:
        self.to, self.schema, self.layout, self.first_row = to, schema, layout, first_row

    def write(self, path: Path, blocks: Iterable[pa.Table]) -> None:
        """Writes ``blocks`` as one file, each as a block of its own."""
        import pyarrow as pa

        try:
            if self.layout is not None:
                write_tar(path, blocks, self.layout, self.first_row)
            elif self.to == "arrow":
                self._write_arrow(path, blocks)
            else:
                self._write_parquet(path, blocks)
        except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as problem:
            raise SchemaMismatchError(
                f"{self.to} has no place for a column: {problem}; leave it out by columns, or choose another format"
            ) from problem

    def _write_arrow(self, path: Path, blocks: Iterable[pa.Table]) -> None:
        import pyarrow as pa

        # A stream, as `datasets` writes: the file format takes one dictionary a column only.
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, self.schema) as writer:
            for block in blocks:
                writer.write_table(block)

    def _write_parquet(self, path: Path, blocks: Iterable[pa.Table]) -> None:
        import pyarrow.parquet as pq

        with pq.ParquetWriter(str(path), self.schema, compression="zstd", write_page_index=True) as writer:
            for block in blocks:
                writer.write_table(block, row_group_size=max(block.num_rows, 1))
