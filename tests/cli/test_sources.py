"""What commands are pointed at: folders of several splits, and text files behind converted shards."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
RunJson = Callable[..., Any]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved DatasetDict: 30 rows to train with, 7 to test."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    folder = tmp_path_factory.mktemp("splits") / "saved"
    made = {
        split: datasets.Dataset.from_list([{"id": index, "split": split} for index in range(number)])
        for split, number in {"train": 30, "test": 7}.items()
    }
    datasets.DatasetDict(made).save_to_disk(folder)
    return folder


def test_every_command_takes_a_split(run_json: RunJson, splits: Path, tmp_path: Path) -> None:
    chosen = (splits, "--split", "test")
    assert run_json("inspect", *chosen)["num_rows"] == 7
    assert run_json("index", *chosen)["num_rows"] == 7
    assert run_json("verify", *chosen)["num_rows"] == 7
    assert [row["split"] for row in run_json("head", *chosen, "-n", 2)] == ["test"] * 2
    assert sorted(run_json("rows", *chosen, "--step", 0, "--batch-size", 7)["row_ids"]) == list(range(7))
    assert run_json("bench", *chosen, "--seconds", 0.01)["num_rows"] == 7
    assert run_json("bench", *chosen, "--shuffle", "--mode", "row")["num_rows"] == 7
    assert run_json("convert", *chosen, tmp_path / "out", "--to", "parquet")["num_rows"] == 7


@pytest.mark.parametrize("command", [["inspect"], ["head"], ["verify"], ["rows", "--step", 0], ["bench"], ["index"]])
def test_a_folder_of_splits_asks_for_one_as_it_is_said_here(run: Run, splits: Path, command: list[Any]) -> None:
    result = run(*command, splits)
    assert result.exit_code == 2
    assert "choose one, as in --split train" in result.stderr
    result = run(*command, splits, "--split", "dev")
    assert result.exit_code == 1
    assert 'no split "dev"' in result.stderr


def test_a_split_of_plain_files_is_wrong_use(run: Run, sample: Path) -> None:
    result = run("inspect", sample, "--split", "train")
    assert result.exit_code == 2
    assert '--split "train" chooses among' in result.stderr
    assert "split=" not in result.stderr


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    lines = "".join(json.dumps({"id": index, "text": f"line {index}"}) + "\n" for index in range(50)).encode()
    (folder / "a.jsonl").write_bytes(lines)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    return folder


def test_inspect_names_the_text_files(run: Run, run_json: RunJson, texts: Path) -> None:
    facts = run_json("inspect", texts)
    sizes = [(texts / name).stat().st_size for name in ("a.jsonl", "b.jsonl.gz")]
    assert facts["sources"] == [
        {"path": str(texts / "a.jsonl"), "format": "jsonl", "codec": None, "num_bytes": sizes[0]},
        {"path": str(texts / "b.jsonl.gz"), "format": "jsonl", "codec": "gzip", "num_bytes": sizes[1]},
    ]
    assert facts["num_rows"] == 100
    told = run("inspect", texts, "--shards").stdout
    assert "jsonl, gzip (1)" in told
    assert f"2, of {sum(sizes):,} bytes" in told
    assert told.count("a.jsonl") == 2
    assert "converted to  Arrow IPC file" in told


def test_inspect_of_many_text_files_names_the_ends(run: Run, texts: Path) -> None:
    for index in range(10, 30):
        (texts / f"c{index}.jsonl").write_text('{"id": 1, "text": "x"}\n')
    told = run("inspect", texts).stdout
    assert "22, of" in told
    assert "c29.jsonl" in told
    assert "c20.jsonl" not in told


def test_inspect_of_shards_has_no_sources(run_json: RunJson, sample: Path) -> None:
    assert run_json("inspect", sample)["sources"] == []
