"""rowmill convert on the terminal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import Result

import rowmill

Run = Callable[..., Result]
RunJson = Callable[..., Any]


def test_convert_writes_shards_and_says_what_they_hold(
    run_json: RunJson, run: Run, sample: Path, tmp_path: Path
) -> None:
    made = run_json("convert", sample, "--to", "arrow", tmp_path / "out", "--num-shards", 5, "-c", "id,text")
    assert made == json.loads((tmp_path / "out" / "dataset.json").read_text())
    written, source = rowmill.open(tmp_path / "out"), rowmill.open(sample).select_columns(["id", "text"])
    assert written.fetch(range(made["num_rows"])) == source.fetch(range(source.num_rows))
    told = run("convert", *sorted(sample.glob("*.arrow")), tmp_path / "tar", "--to", "webdataset", "--shuffle", 3)
    assert told.exit_code == 0, told.output
    assert "num_workers  5" in told.stdout
    assert len(list((tmp_path / "tar").glob("*.tar"))) == 100


def test_convert_takes_text(run_json: RunJson, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,x\n2,y\n")
    made = run_json("convert", tmp_path / "rows.csv", tmp_path / "out", "--to", "arrow")
    assert (made["num_rows"], made["schema"]) == (2, {"a": "int64", "b": "string"})


def test_convert_refuses_in_one_paragraph(run: Run, sample: Path, tmp_path: Path) -> None:
    run("convert", sample, tmp_path / "out", "--to", "arrow")
    again = run("convert", sample, tmp_path / "out", "--to", "arrow")
    assert again.exit_code == 1
    assert "holds a finished data set" in again.stderr.replace("\n", " ")
    assert "Traceback" not in again.stderr
    assert run("convert", sample, tmp_path / "new", "--to", "csv").exit_code == 2
    both = run("convert", sample, tmp_path / "new", "--to", "arrow", "--num-shards", 2, "--shard-bytes", 5)
    assert both.exit_code == 2
    assert not (tmp_path / "new").exists()
