"""Text files to convert, and conversions that cut where no test's data would be cut otherwise."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import rowmill
from rowmill.conversion import chunks, csv_files, json_lines

PACKERS = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
    ".bz2": bz2.compress,
}


@contextlib.contextmanager
def small_pieces(size: int = 64, early: int = 128) -> Iterator[None]:
    """Cuts where no test's data would be cut otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_BYTES", size)
        patch.setattr(json_lines, "_EARLY_BYTES", early)
        patch.setattr(csv_files, "_BLOCK_BYTES", size)
        yield


def rows_of(*paths: Path, **options: Any) -> list[dict[str, Any]]:
    ds = rowmill.open(list(paths), **options)
    return ds.fetch(range(ds.num_rows))


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines_of(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
