"""The sample's shards, and the demo: a kill, a resume on other ranks, the same stream."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import rowmill


def test_shards_are_hf_style_streams(tmp_path: Path) -> None:
    files = rowmill.demo.write_shards(tmp_path, num_shards=3, rows_per_batch=50)
    assert [Path(file).parent for file in files] == [tmp_path] * 3
    tables = []
    for file in files:
        with pa.OSFile(file) as source, pa.ipc.open_stream(source) as reader:
            features = json.loads(reader.schema.metadata[b"huggingface"])["info"]["features"]
            assert list(features) == reader.schema.names == ["id", "text", "tokens"]
            batches = list(reader)
            assert all(batch.num_rows == 50 for batch in batches[:-1])
            tables.append(pa.Table.from_batches(batches))
    lengths = [table.num_rows for table in tables]
    assert max(lengths) - min(lengths) <= 1
    rows = pa.concat_tables(tables).to_pylist()
    assert len({row["id"] for row in rows}) == len(rows) > 3000
    assert all(len(row["tokens"]) == 129 for row in rows)
    assert all(bytes(row["tokens"][:-1]).decode(errors="replace") == row["text"] for row in rows)


def test_the_same_rows_stand_in_any_number_of_shards(tmp_path: Path) -> None:
    ids = [
        [row["id"] for row in rowmill.open(rowmill.demo.write_shards(tmp_path / str(number), num_shards=number))]
        for number in (1, 5)
    ]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("arguments", [{"num_shards": 0}, {"rows_per_batch": 0}])
def test_no_shards_and_empty_batches_are_refused(tmp_path: Path, arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        rowmill.demo.write_shards(tmp_path, **arguments)


def test_the_sample_is_small_and_names_its_licence() -> None:
    folder = Path(rowmill.__file__).parent / "data"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
    assert "Apache License, Version 2.0" in (folder / "NOTICE").read_text()


def demo(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    package = str(Path(rowmill.__file__).parents[1])
    # The demo is a job of its own, whatever job starts it.
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": package, "RANK": "1", "WORLD_SIZE": "4"}
    command = [sys.executable, "-m", "rowmill.cli.main", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=170, check=False)


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_a_killed_job_goes_on_as_if_nothing_had_been(tmp_path: Path, ranks: int) -> None:
    # 110 steps pass the end of the smaller source's first epoch.
    done = demo(tmp_path, "--steps", "110", "--kill-at", "47", "--ranks", str(ranks), "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["is_identical"]
    assert told["num_steps"] == 110
    assert told["resumed_at_step"] == 40
    assert told["steps_done_again"] == told["killed_after_step"] - 39
    assert told["last_loss"] < 0.8 * told["first_loss"]
    assert list(tmp_path.iterdir()) == [], "the demo leaves its folder behind"


@pytest.mark.processes
def test_ranks_that_do_not_fit_are_told_in_one_paragraph(tmp_path: Path) -> None:
    done = demo(tmp_path, "--steps", "20", "--kill-at", "12", "--ranks", "5")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_another_stream_is_noticed() -> None:
    pytest.importorskip("torch")
    from rowmill.demo.run import Outcome

    steps = {step: str(step) for step in range(20)}
    losses = {step: 5.0 - step / 10 for step in steps}
    first, rest = {step: steps[step] for step in range(12)}, {step: steps[step] for step in range(10, 20)}
    receipt = {"digest": "1"}
    same, other = (receipt, dict(receipt)), (receipt, {"digest": "2"})
    assert Outcome(steps, first, rest, losses, same).is_good
    assert not Outcome(steps, first, {**rest, 11: "other"}, losses, same).is_good
    assert not Outcome(steps, first, {step: rest[step] for step in range(13, 20)}, losses, same).is_good
    assert not Outcome(steps, first, rest, {step: -loss for step, loss in losses.items()}, same).is_good
    assert not Outcome(steps, first, rest, losses, other).is_good


def test_a_failing_rank_is_told_of(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from rowmill.demo.jobs import run_job
    from rowmill.demo.train import Settings

    settings = Settings(str(tmp_path / "nosuch"), str(tmp_path), str(tmp_path / "checkpoint.pt"), 5, 8)
    with pytest.raises(rowmill.RowmillError, match=r"rank 0 ended with status 1 .*MissingShardError"):
        run_job(settings, lambda entry: None)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_teller_speaks_to_terminals_and_files(is_terminal: bool) -> None:
    from rich.console import Console

    from rowmill.demo.teller import Teller

    heard = io.StringIO()
    teller = Teller(Console(file=heard, force_terminal=is_terminal, width=120))
    with teller.phase("training", 16) as told:
        for step in range(16):
            told(step, 5.0 - step / 10)
    assert "training" in heard.getvalue()
    assert "3.500" in heard.getvalue()
    assert ("\x1b[" in heard.getvalue()) == is_terminal
