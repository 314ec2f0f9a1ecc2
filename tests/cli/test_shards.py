"""index, inspect, head, rows and bench over shards."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import rowmill

Run = Callable[..., Result]
RunJson = Callable[..., Any]


def test_index_walks_once_then_reuses(run_json: RunJson, run: Run, tmp_path: Path) -> None:
    files = rowmill.demo.write_shards(tmp_path / "data", num_shards=3)
    long_ago = time.time() - 3600
    for file in files:
        # A file written a moment ago might still change unseen; such a one is walked again.
        os.utime(file, (long_ago, long_ago))
    walked = [run_json("index", *files, *extra)["num_walked"] for extra in ([], [], ["--force"])]
    assert walked == [3, 0, 3]
    assert "0 walked, 3 known from the index" in run("index", *files).stdout


def test_inspect_says_what_describe_knows(run_json: RunJson, run: Run, sample: Path) -> None:
    assert run_json("inspect", sample) == rowmill.open(sample).describe()
    listed = run_json("inspect", sample, "--shards")["shards"]
    assert [Path(shard["path"]).name for shard in listed] == sorted(path.name for path in sample.glob("*.arrow"))
    assert sum(shard["num_rows"] for shard in listed) == rowmill.open(sample).num_rows
    told = run("inspect", sample, "--shards").stdout
    assert all(
        word in told for word in ("tokens", "list<item: int32>", "fingerprint", "rust-book-00002-of-00003.arrow")
    )


def test_inspect_names_a_file_that_is_not_what_the_others_are(run: Run, tmp_path: Path) -> None:
    rowmill.demo.write_shards(tmp_path / "data", num_shards=2)
    (tmp_path / "data" / "stray.arrow").write_bytes(b"PAR1 or something else")
    result = run("inspect", tmp_path / "data")
    assert result.exit_code == 1
    assert "stray.arrow" in result.stderr


def test_head_prints_the_first_rows(run_json: RunJson, run: Run, sample: Path) -> None:
    rows = run_json("head", sample, "-n", 3)
    assert rows == rowmill.open(sample).fetch([0, 1, 2])
    assert run_json("head", sample, "-n", 1, "-c", "id") == [{"id": "ch00-00-introduction.md#0"}]
    assert "129 values: 35, 32" in run("head", sample, "-n", 1).stdout


def test_head_of_more_rows_than_there_are_prints_all(run_json: RunJson, sample: Path) -> None:
    assert len(run_json("head", sample, "-n", 10**6, "-c", "id")) == rowmill.open(sample).num_rows


def test_head_is_the_same_inside_of_a_job(run_json: RunJson, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run_json("head", sample)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run_json("head", sample) == expected


def test_rows_are_those_that_each_rank_is_handed(run_json: RunJson, sample: Path) -> None:
    told = run_json("rows", sample, "--step", 2, "--ranks", 2, "--batch-size", 4, "--seed", 9, "--epoch", 1)
    opened = rowmill.open(sample)
    ids = [row["id"] for row in opened.fetch(range(opened.num_rows))]
    for rank in range(2):
        ds = opened.shuffle(9).shard(2, rank).batch(4)
        ds.set_epoch(1)
        batches = iter(ds)
        handed = [next(batches)["id"] for _ in range(3)][2]
        assert handed == [ids[row_id] for row_id in told["by_rank"][rank]]


def test_rows_of_a_step_are_the_same_for_every_number_of_ranks(run_json: RunJson, run: Run, sample: Path) -> None:
    steps = [
        run_json("rows", sample, "--step", 5, "--ranks", ranks, "--batch-size", 12 // ranks)["row_ids"]
        for ranks in (1, 2, 3)
    ]
    assert steps[0] == steps[1] == steps[2]
    assert str(steps[0][0]) in run("rows", sample, "--step", 5, "--batch-size", 12).stdout


def test_rows_of_a_step_after_the_last_is_wrong_use(run: Run, sample: Path) -> None:
    result = run("rows", sample, "--step", 10**6, "--batch-size", 8)
    assert result.exit_code == 2
    assert "step 1000000 is out of range: a pass has 413 steps, 0 to 412 of 8 rows" in result.stderr


def test_bench_tells_the_modes_apart(run_json: RunJson, run: Run, sample: Path) -> None:
    modes = run_json("bench", sample, "--shuffle", "--batch-size", 32)["modes"]
    assert set(modes) == {"window", "shard", "row", "none"}
    entropy = {name: values["entropy_normalised"] for name, values in modes.items()}
    assert entropy["none"] < entropy["shard"] < entropy["window"]
    assert modes["row"]["batch_pairs_again"] < 0.1 < modes["none"]["batch_pairs_again"]
    assert "blocks a batch" in run("bench", sample, "--shuffle", "--mode", "row").stdout


def test_bench_of_one_mode_over_the_first_rows(run_json: RunJson, sample: Path) -> None:
    measured = run_json("bench", sample, "--shuffle", "--mode", "row", "--max-rows", 100)
    assert measured["num_rows"] == 100
    assert list(measured["modes"]) == ["row"]


def test_bench_draws_a_plot(run: Run, sample: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = run("bench", sample, "--shuffle", "--plot", tmp_path / "order.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "order.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_without_matplotlib_names_the_remedy(run: Run, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("bench", sample, "--shuffle", "--plot", "order.png")
    assert result.exit_code == 1
    assert "rowmill[plot]" in result.stderr


def test_rows_of_a_packed_step_are_the_documents_in_it(run_json: RunJson, run: Run, sample: Path) -> None:
    command = ["rows", sample, "--seq-len", 64, "--tokens", "bytes", "--step", 3, "--ranks", 2, "--batch-size", 2]
    told = run_json(*command, "--seed", 7, "--repeat")
    ds = rowmill.open(sample).shuffle(7).tokenize("bytes").pack(64, document_ids=True).repeat()
    for rank in range(2):
        batches = iter(ds.shard(2, rank).batch(2))
        ids = [next(batches)["document_ids"].tolist() for _ in range(4)][3]
        rows = [row["documents"] for row in told["rows"] if row["rank"] == rank]
        spread = [[one["row_id"] for one in row for _ in range(one["first_token"], one["end_token"])] for row in rows]
        assert spread == ids
    assert all(one["shard"].endswith(".arrow") for row in told["rows"] for one in row["documents"])
    assert "rust-book" in run(*command, "--repeat").stdout
    wrong = run("rows", sample, "--step", 3, "--tokens", "bytes")
    assert (wrong.exit_code, "--seq-len" in wrong.stderr) == (2, True)
