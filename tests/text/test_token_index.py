"""The token-count index: counted once, kept by what it depends on, whole after any kill, doubted when read."""

from __future__ import annotations

import itertools
import json
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes.launch import GENEROUS, finish, start
from text.tokenizer_shapes import gpt2_prefixed

import rowmill
from rowmill.token_index import find_index, lane_samples

TEXTS = ["mill", "", "the quick brown fox " * 9, "é", None, "雪" * 30] * 20


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    ids = [list((text or "").encode()) if text != "é" else None for text in TEXTS]
    table = pa.table({"text": TEXTS, "title": [f"t{at}" for at in range(len(TEXTS))], "ids": ids})
    pq.write_table(table.slice(0, 70), folder / "a.parquet", row_group_size=9)
    pq.write_table(table.slice(70), folder / "b.parquet", row_group_size=9)
    return folder


def opened(data: Path, **options: Any) -> rowmill.Dataset:
    return rowmill.open(data, index_dir=data.parent / "index", **options)


def test_counts_are_those_of_the_tokenizer_and_known_the_second_time(data: Path) -> None:
    seen: list[tuple[int, int]] = []
    ds = opened(data).tokenize("bytes")
    totals = ds.count_tokens(progress=lambda done, total: seen.append((done, total)))
    expected = sum(len(row["input_ids"]) for row in ds)
    assert (totals.num_rows, totals.num_tokens, totals.num_counted) == (120, expected, 120)
    assert Path(totals.path).stat().st_size == totals.num_bytes
    assert all(total == 120 and 0 <= done <= 120 for done, total in seen)
    assert opened(data).tokenize("bytes").count_tokens().num_counted == 0
    assert opened(data).tokenize("bytes").num_tokens == expected
    assert opened(data).tokenize("bytes").count_tokens(force=True).num_counted == 120
    assert opened(data).skip(7).take(30).tokenize("bytes").num_tokens == sum(
        len(row["input_ids"]) for row in opened(data).skip(7).take(30).tokenize("bytes")
    )


def test_what_changes_counts_has_counts_of_its_own(data: Path) -> None:
    ds = opened(data)
    ways = [
        ds.tokenize("bytes"),
        ds.tokenize("bytes", append_eos=False),
        ds.tokenize("bytes", column="title"),
        ds.tokenize("bytes", column=["title", "text"]),
        ds.pack(4, column="ids"),
        opened(data / "a.parquet").tokenize("bytes"),
    ]
    paths = [way.count_tokens().path for way in ways]
    assert len(set(paths)) == len(ways)
    same = [
        ds.rename_columns({"text": "words"}).tokenize("bytes", column="words"),
        ds.tokenize("bytes", keep_columns="title").take(3),
        ds.shuffle(3).tokenize("bytes").pack(9, mode="best_fit").batch(2),
    ]
    assert {one.count_tokens().path for one in same} == {paths[0]}
    assert ways[4].num_tokens == sum(len(row["ids"] or []) for row in ds)


def test_what_is_no_document_is_told(data: Path) -> None:
    with pytest.raises(rowmill.SchemaMismatchError, match="no tokens to count"):
        opened(data).count_tokens()
    with pytest.raises(rowmill.SchemaMismatchError, match="not token ids"):
        opened(data).pack(4, column="title").count_tokens()


def test_a_damaged_index_is_told_or_made_again(data: Path) -> None:
    ds = opened(data).shuffle(0, num_lanes=4).tokenize("bytes").pack(16).batch(2)
    totals = ds.count_tokens()
    path = Path(totals.path)
    content = bytearray(path.read_bytes())
    content[90] ^= 1
    path.write_bytes(content)
    with pytest.raises(rowmill.CorruptShardError, match="count again"):
        len(opened(data).shuffle(0, num_lanes=4, mode="row").tokenize("bytes").pack(16).batch(2))
    path.write_bytes(content[:40])
    with pytest.raises(rowmill.CorruptShardError, match=r"\.tokens.*count again"):
        len(opened(data).tokenize("bytes").pack(16))
    again = opened(data).tokenize("bytes").count_tokens()
    assert (again.num_counted, again.num_tokens) == (120, totals.num_tokens)


def test_rows_left_out_for_damage_are_no_documents(data: Path) -> None:
    for path in data.iterdir():
        path.unlink()
    schema = pa.schema([("text", pa.string())])
    with pa.OSFile(str(data / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.table({"text": TEXTS}, schema), max_chunksize=9)
    file = data / "a.arrow"
    file.write_bytes(file.read_bytes().replace("雪".encode() * 30, b"\xff" * 90, 1))
    with pytest.raises(rowmill.CorruptShardError, match="UTF-8"):
        opened(data).tokenize("bytes").count_tokens()
    ds = opened(data, on_error="skip").shuffle(0, num_lanes=2).tokenize("bytes")
    assert ds.count_tokens().num_left_out == 1
    for mode in ("concat", "best_fit"):
        job = ds.pack(8, mode=mode).batch(1)
        assert [len(list(job.shard(2, rank))) for rank in range(2)] == [len(job.shard(2, 0))] * 2


def test_counts_that_are_not_those_of_the_data_end_with_an_error_and_not_apart(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = opened(data).shuffle(0, num_lanes=2).tokenize("bytes").pack(4).batch(1)
    ds.count_tokens()
    right = lane_samples(ds._plan, 0) or []
    monkeypatch.setattr("rowmill.equal_steps.lane_samples", lambda plan, epoch: [max(right) + 10**6] * 2)
    for rank in range(2):
        stream = iter(ds.shard(2, rank))
        assert len(list(itertools.islice(stream, right[rank]))) == right[rank]
        with pytest.raises(rowmill.StateMismatchError, match="count again"):
            list(stream)


def test_windows_are_packed_by_counts_or_say_what_is_missing(data: Path) -> None:
    ds = opened(data).shuffle(3, num_lanes=2).tokenize("bytes").pack(40, mode="best_fit_windows", document_ids=True)
    with pytest.raises(rowmill.SchemaMismatchError, match=r"have not been counted; do it once: `rowmill index"):
        next(iter(ds))
    made = opened(data).map(lambda row: row).tokenize("bytes").pack(40, mode="best_fit_windows")
    with pytest.raises(rowmill.SchemaMismatchError, match="Python functions"):
        next(iter(made))
    mixed = rowmill.mix({"a": opened(data), "b": opened(data)}, weights={"a": 1, "b": 1})
    with pytest.raises(rowmill.SchemaMismatchError, match="mix"):
        next(iter(mixed.tokenize("bytes").pack(40, mode="best_fit_windows")))
    ds.count_tokens()
    samples = list(ds.with_format("numpy"))
    assert len(samples) == len(ds)
    whole = list(opened(data).shuffle(3, num_lanes=2).tokenize("bytes").pack(40, mode="best_fit"))
    assert len(samples) <= len(whole)


def test_windows_are_not_packed_by_the_counts_of_other_data(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = opened(data).shuffle(3, num_lanes=2).tokenize("bytes").pack(40, mode="best_fit_windows").batch(2)
    ds.count_tokens()
    other = opened(data).tokenize("bytes", append_eos=False)
    other.count_tokens()
    monkeypatch.setattr("rowmill.mixing.sequences.window_counts", lambda plan: find_index(other._plan))
    with pytest.raises(rowmill.StateMismatchError, match=r"row \d+ has \d+ tokens and was counted with"):
        list(ds)


def test_several_processes_count_once(data: Path) -> None:
    code = (
        "import rowmill, sys; "
        f"print(rowmill.open({str(data)!r}, index_dir={str(data.parent / 'shared')!r})"
        ".tokenize('bytes').count_tokens().num_counted)"
    )
    processes = [start("-c", code) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        counted = sorted(int(output) for output in pool.map(finish, processes))
    assert counted == [0, 0, 120]


@pytest.mark.processes
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_count_that_is_killed_goes_on_by_the_same_command(tmp_path: Path) -> None:
    # A shape that the slow engine serves.
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(gpt2_prefixed().to_str())
    data, index = tmp_path / "data", tmp_path / "index"
    data.mkdir()
    text = "a small mill grinds slowly " * 400
    schema = pa.schema([("text", pa.string())])
    with pa.OSFile(str(data / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for _ in range(400):
            writer.write_batch(pa.record_batch({"text": [text] * 4}, schema))
    command = ["index", data, "--tokens", tokenizer, "--no-append-eos", "--index-dir", index, "--json"]
    process = start("-m", "rowmill", *command)
    deadline = time.monotonic() + GENEROUS
    while process.poll() is None and time.monotonic() < deadline:
        part = next(iter(index.glob("*.tokens.part")), None)
        if part is not None and part.stat().st_size > 100:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    process.communicate(timeout=GENEROUS)
    assert process.returncode == -signal.SIGKILL
    assert not list(index.glob("*.tokens"))
    tokens = json.loads(finish(start("-m", "rowmill", *command)))["tokens"]
    assert 0 < tokens["num_counted"] < tokens["num_rows"] == 1600
    again = json.loads(finish(start("-m", "rowmill", *command, "--force")))["tokens"]
    assert (again["num_tokens"], again["num_counted"]) == (tokens["num_tokens"], 1600)
    assert not list(index.glob("*.part"))


def test_ctrl_c_stops_a_count(data: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(data).tokenize("bytes").count_tokens(num_threads=1, progress=interrupt)
    assert opened(data).tokenize("bytes").count_tokens().num_rows == 120


def test_an_endless_stream_with_a_rank_without_documents_is_refused_everywhere(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b", "c"]}), tmp_path / "a.parquet")
    ds = rowmill.open(tmp_path).shuffle(0, num_lanes=8).tokenize("bytes").pack(2).batch(1).repeat()
    for rank in range(4):
        with pytest.raises(rowmill.TopologyError, match="3 documents are not enough for 4 ranks"):
            next(iter(ds.shard(4, rank)))
    for rank in range(2):
        stream = iter(ds.shard(2, rank))
        assert [len(next(stream)["input_ids"]) for _ in range(50)] == [1] * 50


def test_an_endless_rank_whose_documents_hold_no_token_says_so(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["", "", "", ""]}), tmp_path / "a.parquet")
    ds = rowmill.open(tmp_path).shuffle(0, num_lanes=4).tokenize("bytes", append_eos=False).pack(2).batch(1)
    for rank in range(2):
        with pytest.raises(rowmill.SchemaMismatchError, match="hold no token"):
            next(iter(ds.repeat().shard(2, rank)))
    ds.count_tokens()
    with pytest.warns(UserWarning, match="no rank yields anything"):
        assert [list(ds.shard(2, rank)) for rank in range(2)] == [[], []]
