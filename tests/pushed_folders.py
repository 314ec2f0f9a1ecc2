"""Small folders to push, and what a repository holds of them afterwards."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import rowmill

REPO = "alice/demo"


def parquet(ids: Sequence[int]) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64()), "text": [f"row {one}" for one in ids]}), written)
    return written.getvalue()


def folder(path: Path, ids: Sequence[int], **notes: str) -> Path:
    path.mkdir()
    (path / "a.parquet").write_bytes(parquet(ids))
    for name, text in notes.items():
        (path / name).write_text(text)
    return path


def ids_of(config: str | None = None, split: str = "train") -> list[int]:
    return sorted(row["id"] for row in rowmill.load_dataset(REPO, config, split=split))
