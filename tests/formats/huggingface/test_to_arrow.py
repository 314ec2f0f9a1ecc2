"""A dataset as Arrow streams: for pyarrow, polars and DuckDB."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hf_rows import ids

import rowmill

pytest.importorskip("datasets")


def test_arrow_streams_hold_the_rows_in_this_order(shuffled: rowmill.Dataset) -> None:
    expected = ids(shuffled.shard(1, 0))
    reader = shuffled.to_reader(batch_size=300)
    assert reader.schema.equals(shuffled.schema)
    sizes, found = [], []
    for batch in reader:
        sizes.append(batch.num_rows)
        found += batch.column("id").to_pylist()
    assert found == expected
    assert set(sizes[:-1]) == {300}
    assert pa.table(shuffled).column("id").to_pylist() == expected
    made = shuffled.map(lambda row: {"n": row["id"] * 2}, remove_columns=["tokens"]).to_reader()
    assert made.read_all().column("n").to_pylist() == [number * 2 for number in expected]
    with pytest.raises(ValueError, match="batches of 5 rows already"):
        shuffled.batch(5).to_reader(batch_size=3)
    assert {batch.num_rows for batch in shuffled.batch(5, remainder="drop").to_reader()} == {5}


def test_arrow_streams_of_ranks_hold_what_the_ranks_yield(shuffled: rowmill.Dataset) -> None:
    for rank in range(3):
        part = shuffled.shard(3, rank)
        assert pa.table(part).column("id").to_pylist() == ids(part)


def test_an_endless_stream_is_read_as_far_as_it_is_asked_for(shuffled: rowmill.Dataset) -> None:
    reader = shuffled.repeat().to_reader(batch_size=1000)
    found = [number for _ in range(5) for number in reader.read_next_batch().column("id").to_pylist()]
    assert found[: len(shuffled)] == ids(shuffled.shard(1, 0))
    assert len(found) == 5000


def test_an_error_in_a_stream_keeps_its_type(train: Any, tmp_path: Path) -> None:
    train.select(range(1500)).save_to_disk(tmp_path)
    ours = rowmill.open(tmp_path)
    reader = ours.to_reader(batch_size=1000)
    shard = next(tmp_path.glob("*.arrow"))
    os.truncate(shard, shard.stat().st_size // 3)
    with pytest.raises(rowmill.CorruptShardError):
        reader.read_all()


def test_polars_and_duckdb_read_the_streams(shuffled: rowmill.Dataset) -> None:
    expected = ids(shuffled.shard(1, 0))
    polars = pytest.importorskip("polars")
    assert polars.DataFrame(shuffled)["id"].to_list() == expected
    assert polars.from_arrow(shuffled.to_reader())["text"].to_list() == [f"row {number} é" for number in expected]
    duckdb = pytest.importorskip("duckdb")
    reader = shuffled.to_reader()
    for source in ("reader", "shuffled"):
        counted = duckdb.sql(f"select count(*), sum(id), max(text) from {source}").fetchall()
        assert counted == [(len(expected), sum(expected), max(f"row {number} é" for number in expected))]
    assert reader is not None
