"""rowmill.tokenize: every document's ids once, in order, in files that others read, whatever was killed on the way."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from processes.launch import GENEROUS, start
from shards import write, write_shards
from text.token_files import read_llmc, read_megatron, read_nanogpt

import rowmill

EOS = 256
LOCK = ".rowmill-convert.lock"


def documents_of(ds: rowmill.Dataset, **options: Any) -> list[list[int]]:
    ids = ds.shard(1, 0).tokenize("bytes", **options)
    return [[int(token) for token in row["input_ids"]] for row in ids]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK}


def stored(folder: Path) -> pa.Table:
    return pa.concat_tables(pa.ipc.open_stream(path).read_all() for path in sorted(folder.glob("*.arrow")))


@pytest.fixture
def source(tmp_path: Path) -> rowmill.Dataset:
    return rowmill.open(write_shards(tmp_path / "source", [150, 0, 121], columns=["id", "text"]))


def test_rows_are_those_of_tokenize_in_the_narrowest_type(tmp_path: Path, source: rowmill.Dataset) -> None:
    made = rowmill.tokenize(source, tmp_path / "ids", tokenizer="bytes", keep_columns="id", num_shards=3)
    table = stored(tmp_path / "ids")
    assert table.schema.field("input_ids").type.value_type == pa.uint16()
    expected = documents_of(source)
    assert table["input_ids"].to_pylist() == expected
    assert table["id"].to_pylist() == [row["id"] for row in source]
    assert made == json.loads((tmp_path / "ids" / "dataset.json").read_text())
    assert (made["num_rows"], made["num_tokens"]) == (271, sum(map(len, expected)))
    assert made["tokenizer"]["eos"] == EOS
    for shard in made["shards"]:
        assert hashlib.sha256((tmp_path / "ids" / shard["name"]).read_bytes()).hexdigest() == shard["sha256"]
    assert [list(row["input_ids"]) for row in rowmill.open(tmp_path / "ids")] == expected


@pytest.mark.parametrize("seq_len", [1, 7, 64, 5000])
def test_sequences_hold_every_token_once(tmp_path: Path, source: rowmill.Dataset, seq_len: int) -> None:
    made = rowmill.tokenize(source, tmp_path / "ids", tokenizer="bytes", seq_len=seq_len, num_shards=4, pad_token_id=9)
    rows = [list(row["input_ids"]) for row in rowmill.open(tmp_path / "ids")]
    flat = [token for document in documents_of(source) for token in document]
    assert {len(row) for row in rows} == {seq_len}
    assert [token for row in rows for token in row] == flat + [9] * (-len(flat) % seq_len)
    assert (made["num_rows"], made["num_padding"]) == (len(rows), -len(flat) % seq_len)
    assert made["num_tokens"] == len(flat)


def test_other_readers_find_the_documents(tmp_path: Path, source: rowmill.Dataset) -> None:
    expected = documents_of(source)
    flat = [token for document in expected for token in document]
    made = rowmill.tokenize(source, tmp_path / "m", tokenizer="bytes", format="megatron", num_shards=2)
    prefixes = [(tmp_path / "m" / shard["name"]).with_suffix("") for shard in made["shards"]]
    assert [document for prefix in prefixes for document in read_megatron(prefix)] == expected
    assert made["shards"][0]["beside"][0]["name"] == "shard-000000.idx"
    rowmill.tokenize(source, tmp_path / "n", tokenizer="bytes", format="nanogpt")
    assert read_nanogpt(tmp_path / "n" / "shard-000000.bin") == flat
    rowmill.tokenize(source, tmp_path / "l", tokenizer="bytes", format="llmc")
    assert read_llmc(tmp_path / "l" / "shard-000000.bin") == flat


def test_convert_writes_stored_ids_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    documents = [[1, 70_000, 3], [], [4]]
    batch = pa.record_batch({"ids": pa.array(documents, pa.list_(pa.int64())), "n": [1, 2, 3]})
    ds = rowmill.open(write(tmp_path / "wide.arrow", [batch], batch.schema, "stream", None))
    rowmill.convert(ds, tmp_path / "m", to="megatron", column="ids")
    assert read_megatron(tmp_path / "m" / "shard-000000") == documents
    rowmill.convert(ds, tmp_path / "l", to="llmc", column="ids")
    assert read_llmc(tmp_path / "l" / "shard-000000.bin") == [1, 70_000, 3, 4]
    with pytest.raises(rowmill.SchemaMismatchError, match="id 70000 has no place in nanogpt"):
        rowmill.convert(ds, tmp_path / "n", to="nanogpt", column="ids")
    with pytest.raises(rowmill.SchemaMismatchError, match="column 'n' is int64, not lists of token ids"):
        rowmill.convert(ds, tmp_path / "x", to="megatron", column="n")
    with pytest.raises(rowmill.SchemaMismatchError, match="no column 'input_ids'"):
        rowmill.convert(ds, tmp_path / "x", to="megatron")


def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, source: rowmill.Dataset) -> None:
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="format must be one of"):
        rowmill.tokenize(source, out, tokenizer="bytes", format="csv")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seq_len is for Arrow shards"):
        rowmill.tokenize(source, out, tokenizer="bytes", format="nanogpt", seq_len=8)
    with pytest.raises(ValueError, match="parts of several documents"):
        rowmill.tokenize(source, out, tokenizer="bytes", seq_len=8, keep_columns="id")
    with pytest.raises(rowmill.SchemaMismatchError, match=r"without .batch"):
        rowmill.tokenize(source.filter(len), out, tokenizer="bytes")
    assert not out.exists()
    rowmill.tokenize(source, out, tokenizer="bytes")
    with pytest.raises(FileExistsError, match="finished data set"):
        rowmill.tokenize(source, out, tokenizer="bytes")


SHAPES: list[dict[str, Any]] = [{"seq_len": 33}, {"format": "megatron"}]


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_kill_9_at_random_moments_loses_and_doubles_nothing(tmp_path: Path, shape: dict[str, Any]) -> None:
    write_shards(tmp_path / "source", [2000, 1511], block_rows=100, columns=["id", "text"])
    ds = rowmill.open(tmp_path / "source")

    def go(out: Path) -> None:
        rowmill.tokenize(ds, out, tokenizer="bytes", shuffle=7, num_shards=30, **shape)

    go(tmp_path / "straight")
    out, chooser, deaths = tmp_path / "out", random.Random(str(shape)), 0
    for _ in range(2):
        done = len(list(out.glob("shard-*")))
        process = start(Path(__file__).parent / "tokenizing.py", tmp_path / "source", out, json.dumps(shape))
        until = time.monotonic() + GENEROUS
        while len(list(out.glob("shard-*"))) == done and process.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(chooser.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=GENEROUS)
        deaths += process.returncode == -signal.SIGKILL
    assert deaths
    if not (out / "dataset.json").exists():
        with pytest.raises(rowmill.StateMismatchError, match="unfinished conversion whose"):
            rowmill.tokenize(ds, out, tokenizer="bytes", shuffle=8, num_shards=30, **shape)
        go(out)
    assert contents(out) == contents(tmp_path / "straight")


def test_an_interrupted_run_goes_on_behind_what_is_finished(tmp_path: Path, source: rowmill.Dataset) -> None:
    def go(out: Path, **options: Any) -> None:
        rowmill.tokenize(source, out, tokenizer="bytes", seq_len=50, num_shards=9, **options)

    go(tmp_path / "straight")
    from rowmill.conversion.token_sinks import SequenceSink

    whole, calls = SequenceSink.write, 0

    def fails(self: SequenceSink, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SequenceSink, "write", fails)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "out")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("shard-*")}
    assert len(before) == 4
    go(tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in before} == before


def test_ids_are_never_cut_down_silently() -> None:
    from rowmill.conversion.token_blocks import narrowed

    assert narrowed(np.array([0, 65535]), np.dtype("uint16"), "x").tolist() == [0, 65535]
    for bad in (-1, 65536):
        with pytest.raises(rowmill.SchemaMismatchError, match=f"id {bad} has no place in x"):
            narrowed(np.array([bad]), np.dtype("uint16"), "x")
    # A type of the same width holds it, and it is no id all the same.
    with pytest.raises(rowmill.SchemaMismatchError, match=r"id -7 has no place in megatron.*name another column"):
        narrowed(np.array([1, -7], np.int32), np.dtype("int32"), "megatron")
