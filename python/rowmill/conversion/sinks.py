"""One shard to a file: Arrow IPC, Parquet or tar."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.conversion.layout import Layout
from rowmill.conversion.outflow import Outflow
from rowmill.conversion.progress import Bar
from rowmill.conversion.webdataset import write_tar
from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SUFFIXES", "Sink"]

SUFFIXES = {"arrow": ".arrow", "parquet": ".parquet", "webdataset": ".tar"}


class Sink:
    """Writes shards of one format; each block is a block of its own."""

    def __init__(self, to: str, schema: pa.Schema, layout: Layout | None = None) -> None:
        self.to, self.schema, self.layout = to, schema, layout
        self.title, self.is_parquet = f"writing {to}", to == "parquet"
        self.suffixes: tuple[str, ...] = (SUFFIXES[to],)

    def go_on(self, shards: list[dict[str, Any]]) -> None:
        """Each shard stands for itself."""

    def tell(self, bar: Bar, block: pa.Table) -> None:
        """Counts a block's rows."""
        bar.add(block.num_rows, rows=block.num_rows)

    def write(self, first_row: int, is_last: bool, blocks: Iterable[pa.Table], *paths: Path) -> dict[str, Any] | None:
        """Writes ``blocks`` as one file; ``first_row`` is the number of its first row, where keys come of it."""
        del is_last
        (path,) = paths
        import pyarrow as pa

        try:
            if self.layout is not None:
                write_tar(path, blocks, self.layout, first_row)
            elif self.to == "arrow":
                return {"files": [self._write_arrow(path, blocks)]}
            else:
                self._write_parquet(path, blocks)
        except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as problem:
            raise SchemaMismatchError(
                f"{self.to} has no place for a column: {problem}; leave it out by columns, or choose another format"
            ) from problem
        return None

    def _write_arrow(self, path: Path, blocks: Iterable[pa.Table]) -> Outflow:
        import pyarrow as pa

        # A stream, as `datasets` writes: the file format takes one dictionary a column only.
        with Outflow(path) as file, pa.ipc.new_stream(pa.PythonFile(file, "w"), self.schema) as writer:
            for block in blocks:
                writer.write_table(block)
        return file

    def _write_parquet(self, path: Path, blocks: Iterable[pa.Table]) -> None:
        import pyarrow.parquet as pq

        # Pages that end where the content says so: a changed row changes one page, and the Hub stores only that anew.
        chunking = {"use_content_defined_chunking": True} if _has_chunking() else {}
        with pq.ParquetWriter(str(path), self.schema, compression="zstd", write_page_index=True, **chunking) as writer:
            for block in blocks:
                writer.write_table(block, row_group_size=max(block.num_rows, 1))


def _has_chunking() -> bool:
    """Whether pyarrow knows content-defined chunking: since 21."""
    import pyarrow as pa

    return int(pa.__version__.split(".")[0]) >= 21
