"""One conversion: text files to Arrow shards in a folder, under one schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.conversion.csv_files import CsvFiles
from rowmill.conversion.json_lines import JsonLines
from rowmill.conversion.kinds import TextFile
from rowmill.conversion.shard_writer import ShardWriter
from rowmill.exceptions import CorruptShardError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["convert_text"]


def convert_text(files: Sequence[TextFile], folder: Path, tell: Callable[[int], None]) -> list[dict[str, Any]]:
    """Writes the rows of ``files``, which are of one kind, in order; returns what is said of each shard.

    Types are found on the way. Where a later row needs others than those before, what was written goes and everything
    is read once more.

    Raises:
        CorruptShardError: A line is not what the format promises, or a compressed stream is damaged.
        SchemaMismatchError: No one type holds a field's values, or the files' columns differ.
    """
    make = JsonLines if files[0].kind == "jsonl" else CsvFiles
    reader: JsonLines | CsvFiles = make(files, tell)
    while (shards := _pass(reader, folder)) is None:
        reader = reader.again()
    if not shards:
        raise CorruptShardError(f"{files[0].path} holds no rows, so nothing says what its columns are", files[0].path)
    return shards


def _pass(reader: JsonLines | CsvFiles, folder: Path) -> list[dict[str, Any]] | None:
    """One reading to the end; writes as long as the schema holds."""
    writer = ShardWriter(folder)
    written: Future[None] | None = None
    # Writing goes on while pyarrow parses; one table at most waits, so memory stays bounded.
    with ThreadPoolExecutor(1, thread_name_prefix="rowmill-write") as pool:
        try:
            for table in reader.tables():
                if written is not None:
                    written.result()
                written = None if reader.needs_restart else pool.submit(_write, writer, table)
            if written is not None:
                written.result()
        except BaseException:
            pool.shutdown(wait=True)
            writer.discard()
            raise
    if reader.needs_restart:
        writer.discard()
        return None
    return writer.close(reader.schema)


def _write(writer: ShardWriter, table: pa.Table) -> None:
    writer.write(table)
