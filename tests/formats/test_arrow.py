"""Arrow files by other writers, read back equal."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import rowmill

pl = pytest.importorskip("polars")


@pytest.mark.parametrize("codec", ["uncompressed", "lz4", "zstd"])
@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("level", ["newest", "oldest"])
def test_what_polars_writes(tmp_path: Path, codec: str, is_stream: bool, level: str) -> None:
    # Its files have no prefix before the schema, which pyarrow's have.
    frame = pl.DataFrame(
        {
            "id": [1, 2, None],
            "text": ["a", "", None],
            "list": [[1], [], [2, 3]],
            "struct": [{"x": 1.5}] * 3,
            "time": [dt.datetime(2020, 1, 1)] * 3,
            "bytes": [b"x", None, b""],
        }
    ).with_columns(pl.col("text").cast(pl.Categorical).alias("word"))
    write = frame.write_ipc_stream if is_stream else frame.write_ipc
    write(tmp_path / "x.arrow", compression=codec, compat_level=getattr(pl.CompatLevel, level)())
    assert list(rowmill.open(tmp_path)) == frame.to_dicts()


def test_an_empty_frame(tmp_path: Path) -> None:
    pl.DataFrame({"id": []}, schema={"id": pl.Int64}).write_ipc(tmp_path / "x.arrow")
    ds = rowmill.open(tmp_path)
    assert list(ds) == []
    assert ds.schema.names == ["id"]
