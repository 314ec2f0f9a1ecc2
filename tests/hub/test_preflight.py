"""What preflight promises: rows as the card has them, and steps that are equal, known and enough."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from typer.testing import CliRunner

import rowmill
from rowmill.cli.main import app

pytest.importorskip("huggingface_hub")
REPO = "alice/demo"
EN = "- config_name: en\n  data_files: [{split: train, path: en/train-*}]\n"
FLAGGED = "- {config_name: de, data_files: de/*}\n- {config_name: en, data_files: en/*, default: true}\n"


def card(configs: str, promised: int, info: str = "config_name: en, ") -> str:
    head = f"configs:\n{configs}" if configs else ""
    return f"---\n{head}dataset_info:\n- {{{info}splits: [{{name: train, num_examples: {promised}}}]}}\n---\n"


def parquet(num_rows: int) -> bytes:
    sink = io.BytesIO()
    texts = [f"words of row {row} " * (row % 5 + 1) for row in range(num_rows)]
    pq.write_table(pa.table({"id": list(range(num_rows)), "text": texts}), sink, row_group_size=50)
    return sink.getvalue()


def run(*arguments: object, status: int = 0) -> Any:
    result = CliRunner().invoke(app, ["preflight", *map(str, arguments), "--json"], prog_name="rowmill")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else result.output


@pytest.mark.parametrize("configs", [EN, FLAGGED, ""], ids=["the only one", "marked", "none"])
def test_rows_of_the_configuration_that_is_read_are_compared(
    hub: HubServer, home: Path, tmp_path: Path, configs: str
) -> None:
    for promised, problems in ((10, []), (999, ["split train has 10 rows, and the card promises 999"])):
        files = {"README.md": card(configs, promised).encode(), "en/train-00000-of-00001.parquet": parquet(10)}
        if "de" in configs:
            files["de/x.parquet"] = parquet(3)
        name = f"alice/promises{promised}"
        hub.create_repo(name, files)
        rowmill.hub.download(name)
        assert rowmill.hub.preflight(name).problems == problems
        assert rowmill.hub.preflight(name, streaming=True).problems == problems
        folder = tmp_path / str(promised)
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        assert rowmill.hub.preflight(folder).problems == problems


def test_a_card_beside_the_files_counts_as_well(tmp_path: Path) -> None:
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(parquet(10))
    assert rowmill.hub.preflight(tmp_path).ok
    (tmp_path / "README.md").write_text(card("", 11, info=""))
    assert rowmill.hub.preflight(tmp_path).problems == ["split train has 10 rows, and the card promises 11"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # An index of its own: the same rows have the same counts.
    monkeypatch.setenv("ROWMILL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.parquet").write_bytes(parquet(640))
    return tmp_path / "data"


def test_fewer_steps_than_planned_are_a_problem_unless_the_job_repeats(folder: Path) -> None:
    told = run(folder, "--ranks", 2, "--batch-size", 32, "--steps", 100, status=1)
    assert "100 steps are 10.00 epochs of 10: the job needs .repeat()" in told["problems"][0]
    assert (told["steps_per_epoch"], told["equal_steps"]) == (10, True)
    assert run(folder, "--ranks", 2, "--batch-size", 32, "--steps", 100, "--repeat")["epochs"] == 10
    assert run(folder, "--ranks", 2, "--batch-size", 32, "--steps", 10)["ok"]


def test_steps_want_a_batch_size(folder: Path) -> None:
    assert "--batch-size" in run(folder, "--steps", 100, status=2)
    with pytest.raises(ValueError, match="batch_size="):
        rowmill.hub.preflight(folder, steps=100)


@pytest.mark.parametrize("ranks", [1, 4])
def test_steps_of_packed_samples_follow_from_counted_tokens(folder: Path, ranks: int) -> None:
    asked = {"ranks": ranks, "batch_size": 2, "seq_len": 32, "tokenizer": "bytes"}
    before = rowmill.hub.preflight(folder, **asked)
    assert "steps_per_epoch" not in before.facts
    (told,) = [one for one in before.warnings if "was not checked" in one]
    command = shlex.split(told.partition("`")[2].partition("`")[0])
    assert command[:2] == ["rowmill", "index"]
    assert CliRunner().invoke(app, command[1:]).exit_code == 0
    after = rowmill.hub.preflight(folder, **asked)
    ds = rowmill.open(folder).shuffle(0).tokenize("bytes", column="text").pack(32)
    steps = [sum(1 for _ in ds.shard(ranks, rank).batch(2)) for rank in range(ranks)]
    assert set(steps) == {after.facts["steps_per_epoch"]}
    assert after.facts["equal_steps"] is True
    assert after.facts["tokens_per_epoch"] > 0
    assert not [one for one in after.warnings if "not checked" in one]
    assert rowmill.hub.preflight(folder, steps=steps[0], **asked).ok
    assert not rowmill.hub.preflight(folder, steps=steps[0] + 1, **asked).ok


def test_the_tokens_of_a_repository_are_counted_by_its_name(hub: HubServer, home: Path) -> None:
    hub.create_repo(REPO, {"data/train-00000-of-00001.parquet": parquet(640)})
    rowmill.hub.download(REPO)
    asked = {"ranks": 2, "batch_size": 2, "seq_len": 32, "tokenizer": "bytes"}
    (told,) = [one for one in rowmill.hub.preflight(REPO, **asked).warnings if "was not checked" in one]
    command = told.partition("counts them once: ")[2].partition(". Without")[0]
    assert command.startswith(f"rowmill index {REPO} --revision ")
    assert CliRunner().invoke(app, shlex.split(command)[1:]).exit_code == 0
    assert rowmill.hub.preflight(REPO, **asked).facts["steps_per_epoch"] > 0


def test_ids_that_are_on_the_disk_are_packed_by_their_column(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"ids": [list(range(9))] * 400}), tmp_path / "data" / "a.parquet", row_group_size=40)
    ds = rowmill.open(tmp_path / "data").shuffle(0).pack(16, column="ids")
    ds.count_tokens()
    report = rowmill.hub.preflight(tmp_path / "data", ranks=2, batch_size=1, seq_len=16, columns=["ids"])
    assert report.ok, report.problems
    assert report.facts["steps_per_epoch"] == sum(1 for _ in ds.shard(2, 1).batch(1))
