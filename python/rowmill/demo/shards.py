"""Arrow shards as HF's cache writes them, of the text that ships with the package."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SEQUENCE_LENGTH", "chapters", "write_shards"]

SEQUENCE_LENGTH = 128
_SAMPLE = "rust-book.jsonl.gz"


def write_shards(folder: str | os.PathLike[str], num_shards: int = 4, rows_per_batch: int = 64) -> list[str]:
    """Writes the sample text as Arrow stream files, with the schema metadata of HF's cache files.

    A row is a piece of a chapter of the Rust book: ``id``, ``text``, and ``tokens``, the piece's bytes and the one
    that follows them (129 int32, so that a model can be asked for each next one).

    Args:
        folder: Where the files go; made where it is not there.
        num_shards: Files; rows are dealt evenly, the first ones having one more.
        rows_per_batch: Rows of a record batch.

    Returns:
        Paths of the files, in order.

    Example:
        >>> import rowmill, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = rowmill.demo.write_shards(folder, num_shards=2)
        ...     ds = rowmill.open(files, index_dir=folder)
        >>> ds.column_names
        ['id', 'text', 'tokens']
    """
    if num_shards < 1 or rows_per_batch < 1:
        raise ValueError(f"num_shards and rows_per_batch must be positive, not {num_shards} and {rows_per_batch}")
    os.makedirs(folder, exist_ok=True)
    rows = list(_rows())
    files = []
    for shard in range(num_shards):
        first, last = (-(-len(rows) * index // num_shards) for index in (shard, shard + 1))
        path = os.path.join(folder, f"rust-book-{shard:05d}-of-{num_shards:05d}.arrow")
        _write(path, rows[first:last], rows_per_batch)
        files.append(path)
    return files


def chapters() -> Iterator[dict[str, str]]:
    """The chapters of the sample: ``id`` and ``text``, Markdown."""
    packed = resources.files("rowmill").joinpath("data", _SAMPLE).read_bytes()
    yield from map(json.loads, gzip.decompress(packed).splitlines())


def _rows() -> Iterator[dict[str, Any]]:
    for document in chapters():
        content = document["text"].encode()
        # A last piece that is too short has no next byte for each of its own: it stays out.
        for number, first in enumerate(range(0, len(content) - SEQUENCE_LENGTH, SEQUENCE_LENGTH)):
            piece = content[first : first + SEQUENCE_LENGTH + 1]
            yield {
                "id": f"{document['id']}#{number}",
                "text": piece[:-1].decode(errors="replace"),
                "tokens": list(piece),
            }


def _write(path: str, rows: list[dict[str, Any]], rows_per_batch: int) -> None:
    import pyarrow as pa

    schema = _schema()
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for first in range(0, len(rows), rows_per_batch):
            writer.write_batch(pa.RecordBatch.from_pylist(rows[first : first + rows_per_batch], schema))


def _schema() -> pa.Schema:
    import pyarrow as pa

    text = {"dtype": "string", "_type": "Value"}
    tokens = {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"}
    features = {"id": text, "text": text, "tokens": tokens}
    return pa.schema(
        {"id": pa.string(), "text": pa.string(), "tokens": pa.list_(pa.int32())},
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
