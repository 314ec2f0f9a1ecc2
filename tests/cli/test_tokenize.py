"""rowmill tokenize on the terminal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import Result

import rowmill

Run = Callable[..., Result]
RunJson = Callable[..., Any]


def test_tokenize_writes_sequences_that_open(run_json: RunJson, run: Run, sample: Path, tmp_path: Path) -> None:
    made = run_json("tokenize", sample, tmp_path / "ids", "-t", "bytes", "--seq-len", 64, "--num-shards", 2)
    assert made == json.loads((tmp_path / "ids" / "dataset.json").read_text())
    ds = rowmill.open(tmp_path / "ids")
    assert (ds.num_rows, ds.column_names) == (made["num_rows"], ["input_ids"])
    expected = [int(token) for row in rowmill.open(sample).tokenize("bytes") for token in row["input_ids"]]
    assert [int(token) for row in ds for token in row["input_ids"]][: made["num_tokens"]] == expected
    told = run("tokenize", sample, tmp_path / "lines", "--tokenizer", "bytes", "--column", r"{id}\n{text}", "--no-eos")
    assert told.exit_code == 0, told.output
    assert "num_tokens" in told.stdout
    first, row = rowmill.open(tmp_path / "lines").fetch([0])[0], rowmill.open(sample).fetch([0])[0]
    assert bytes(first["input_ids"]).decode() == f"{row['id']}\n{row['text']}"


def test_tokenize_refuses_in_one_paragraph(run: Run, sample: Path, tmp_path: Path) -> None:
    for options, status, text in [
        (["-t", str(tmp_path / "nothing.json")], 1, "no tokenizer at"),
        (["-t", "bytes", "--column", "words"], 1, "words"),
        (["-t", "bytes", "--format", "nanogpt", "--seq-len", "8"], 2, "seq_len is for Arrow shards"),
        (["-t", "bytes", "--format", "csv"], 2, "csv"),
    ]:
        refused = run("tokenize", sample, tmp_path / "out", *options)
        assert refused.exit_code == status, refused.output
        assert text in refused.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_convert_writes_stored_ids_for_other_trainers(run_json: RunJson, sample: Path, tmp_path: Path) -> None:
    made = run_json("convert", sample, tmp_path / "out", "--to", "megatron", "--ids-column", "tokens")
    assert made["num_tokens"] == sum(len(row["tokens"]) for row in rowmill.open(sample))
    assert sorted(path.suffix for path in (tmp_path / "out").glob("shard-*")) == [".bin", ".idx"]
