"""Real shards for the tests, and what the tests say about what comes out of them."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch.utils.data._utils import worker as torch_worker

import rowmill

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("text", pa.string()),
        pa.field("tokens", pa.list_(pa.int32())),
        pa.field("ragged", pa.list_(pa.int16())),
        pa.field("score", pa.float32()),
        pa.field("flag", pa.bool_()),
        pa.field("maybe", pa.int32()),
        pa.field("nested", pa.struct([("name", pa.string()), ("parts", pa.list_(pa.int8()))])),
    ]
)

_HF_TYPES = {"id": "int64", "text": "string", "score": "float32", "flag": "bool", "maybe": "int32"}
# As `datasets` writes it into the schema of its cache files.
HF_METADATA = {
    "huggingface": json.dumps(
        {
            "info": {
                "features": {
                    **{name: {"dtype": kind, "_type": "Value"} for name, kind in _HF_TYPES.items()},
                    "tokens": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"},
                    "ragged": {"feature": {"dtype": "int16", "_type": "Value"}, "_type": "List"},
                    "nested": {
                        "name": {"dtype": "string", "_type": "Value"},
                        "parts": {"feature": {"dtype": "int8", "_type": "Value"}, "_type": "List"},
                    },
                }
            }
        }
    )
}

CONTAINERS = ("stream", "file")
# Whose values come as they were written; those of a tar come as bytes.
TYPED = (*CONTAINERS, "parquet")
ALL_CONTAINERS = (*TYPED, "tar")
CODECS = (None, "lz4", "zstd")


def row(index: int) -> dict[str, Any]:
    """Row ``index`` of every test dataset; all of it follows from its id."""
    return {
        "id": index,
        "text": f"row {index} " + "é" * (index % 5),
        "tokens": [index * 8 + offset for offset in range(8)],
        "ragged": list(range(index % 4)),
        "score": index / 4,
        "flag": index % 2 == 0,
        "maybe": None if index % 3 == 0 else index,
        "nested": None if index % 7 == 0 else {"name": f"n{index}", "parts": [index % 100] * (index % 3)},
    }


def batch_of(start: int, stop: int, schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([row(index) for index in range(start, stop)], schema=schema)


def write(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema, container: str, codec: str | None) -> Path:
    options = pa.ipc.IpcWriteOptions(compression=codec)
    make = pa.ipc.new_stream if container == "stream" else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as sink, make(sink, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return path


def write_shards(
    folder: Path,
    sizes: Sequence[int] = (23, 0, 40, 7),
    *,
    block_rows: int = 6,
    container: str = "stream",
    codec: str | None = None,
    columns: Sequence[str] | None = None,
) -> list[Path]:
    """Shards of ``sizes`` rows in blocks of ``block_rows``; those of Arrow have an empty block in their middle."""
    schema = SCHEMA if columns is None else pa.schema([SCHEMA.field(name) for name in columns])
    schema = schema.with_metadata(HF_METADATA) if columns is None else schema
    folder.mkdir(parents=True, exist_ok=True)
    paths, first = [], 0
    for index, size in enumerate(sizes):
        rows = range(first, first + size)
        first += size
        if container == "tar":
            paths.append(write_tar(folder / f"shard-{index}.tar", rows, schema.names))
            continue
        if container == "parquet":
            paths.append(folder / f"shard-{index}.parquet")
            table = pa.Table.from_pylist([row(at) for at in rows], schema=schema)
            # Parquet calls LZ4 and ZSTD by the same names.
            pq.write_table(table, paths[-1], row_group_size=block_rows, compression=codec or "none")
            continue
        bounds = [*rows[::block_rows], rows.stop]
        blocks = [
            pa.RecordBatch.from_pylist([row(at) for at in range(start, stop)], schema=schema)
            for start, stop in itertools.pairwise(bounds)
        ]
        blocks.insert(len(blocks) // 2, pa.RecordBatch.from_pylist([], schema=schema))
        paths.append(write(folder / f"shard-{index}.arrow", blocks, schema, container, codec))
    return paths


def write_tar(path: Path, rows: Iterable[int], columns: Iterable[str]) -> Path:
    """A WebDataset shard: a member for each value, as text."""
    with tarfile.open(path, "w") as archive:
        for index, name in itertools.product(rows, columns):
            value = str(row(index)[name]).encode()
            member = tarfile.TarInfo(f"{index:06}.{name}")
            member.size = len(value)
            archive.addfile(member, io.BytesIO(value))
    return path


def ids(item: Any) -> list[int]:
    """The row ids of a row or batch in any format."""
    values = item.column("id") if isinstance(item, pa.RecordBatch) else item["id"]
    values = values.to_pylist() if isinstance(values, pa.Array) else values
    values = values.tolist() if hasattr(values, "tolist") else values
    return [int(value) for value in (values if isinstance(values, list) else [values])]


def stream(items: Iterable[Any]) -> list[list[int]]:
    return [ids(item) for item in items]


def flat(items: Iterable[Iterable[Any]]) -> list[Any]:
    return [value for item in items for value in item]


def frozen(item: Any) -> bytes:
    """Every byte of an item, with its types and shapes."""
    if isinstance(item, dict):
        return b"".join(name.encode() + b"=" + frozen(value) + b";" for name, value in item.items())
    if isinstance(item, list):
        return b"[" + b",".join(frozen(value) for value in item) + b"]"
    if hasattr(item, "numpy"):
        item = item.numpy()
    if hasattr(item, "tobytes"):
        return f"{item.dtype}{item.shape}".encode() + item.tobytes()
    if isinstance(item, pa.RecordBatch):
        return repr((item.schema, item.to_pylist())).encode()
    return repr(item).encode()


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    """A cursor as it comes back from a checkpoint."""
    return json.loads(json.dumps(state))


def copy(ds: rowmill.Dataset) -> rowmill.Dataset:
    """The same dataset with no progress of its own, as a new process makes it."""
    return rowmill.Dataset(ds._plan)


@contextlib.contextmanager
def as_worker(num_workers: int, worker: int) -> Iterator[None]:
    """Makes this process look like a DataLoader worker, as far as torch tells; one worker is none."""
    before = torch_worker._worker_info
    if num_workers > 1:
        torch_worker._worker_info = torch_worker.WorkerInfo(id=worker, num_workers=num_workers, seed=0, dataset=None)
    try:
        yield
    finally:
        torch_worker._worker_info = before
