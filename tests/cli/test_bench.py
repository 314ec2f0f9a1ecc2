"""bench: every way of reading is measured, over all rows, in every format that is there."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shards import batch_of, write_shards
from typer.testing import Result

import rowmill
from rowmill.cli import speed

Run = Callable[..., Result]
RunJson = Callable[..., Any]


def test_bench_measures_each_way(run_json: RunJson, run: Run, sample: Path) -> None:
    facts = run_json("bench", sample, "--seconds", 0.05, "--batch-size", 16)
    assert facts["num_rows"] == rowmill.open(sample).num_rows
    assert [way["reader"] for way in facts["ways"]] == ["rowmill", "rowmill", "pyarrow", "pyarrow"]
    for way in facts["ways"]:
        assert way["rows_per_second"] > 0
        assert 0 < way["first_seconds"] <= way["seconds"]
        assert way["rows_per_second"] == pytest.approx(way["num_rows"] / way["seconds"])
        expected = way["rows_per_second"] * facts["num_bytes"] / facts["num_rows"]
        assert way["bytes_per_second"] == pytest.approx(expected)
    told = run("bench", sample, "--seconds", 0.05, "-c", "tokens").stdout
    assert all(word in told for word in ("rowmill", "pyarrow", "rows/s", "MB/s", "first after"))


@pytest.mark.parametrize("container", ["stream", "file"])
def test_every_way_sees_all_rows_of_a_pass(tmp_path: Path, container: str) -> None:
    write_shards(tmp_path / "data", [23, 0, 40], container=container)
    ds = rowmill.open(tmp_path / "data").shard(1, 0)
    ways = speed.ways_of(ds, columns=["id"], batch_size=4, seed=1, lanes=None, threads=0, compare=())
    assert [sum(map(way.rows_of, way.make())) for way in ways] == [63] * len(ways)


def test_plain_reads_of_other_formats_see_all_rows(tmp_path: Path) -> None:
    table = pa.Table.from_batches([batch_of(0, 50)])
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=20)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("0.txt", "0.json", "1.txt", "1.json"):
            tar.addfile(tarfile.TarInfo(name))
    numbers = {}
    for path in (tmp_path / "a.parquet", tmp_path / "a.tar"):
        batches = list(speed._record_batches([str(path)], ["id", "a partition"]))
        numbers[path.suffix] = sum(batch.num_rows for batch in batches)
    assert numbers == {".parquet": 50, ".tar": 2}


def test_bench_beside_datasets(run_json: RunJson, sample: Path) -> None:
    pytest.importorskip("datasets")
    facts = run_json("bench", sample, "--seconds", 0.05, "--compare", "datasets")
    assert [way["reader"] for way in facts["ways"]][-1] == "datasets"
    assert facts["ways"][-1]["num_rows"] > 0


def test_a_loader_that_is_not_installed_is_named(run: Run, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("bench", sample, "--compare", "datasets")
    assert result.exit_code == 1
    assert "pip install datasets" in result.stderr


def test_bench_draws_its_speeds(run: Run, sample: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = run("bench", sample, "--seconds", 0.05, "--plot", tmp_path / "speed.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_is_refused_before_measuring(run: Run, sample: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    told = run("bench", sample, "--seconds", 100, "--plot", tmp_path / "none" / "a.png")
    assert told.exit_code == 2
    assert "there is no folder" in told.stderr


def test_nulls_in_numbers_are_measured_and_told_of(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, None] * 50, "b": [[1], None] * 50}), tmp_path / "a.parquet")
    facts = run_json("bench", tmp_path / "a.parquet", "--seconds", 0.05, "--batch-size", 8)
    assert facts["fill_null"] == 0
    assert all(way["num_rows"] >= 100 for way in facts["ways"])
    assert "nulls in numeric columns are 0" in run("bench", tmp_path / "a.parquet", "--seconds", 0.05).stdout
