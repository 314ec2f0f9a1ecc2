"""The laws of lanes over files: every row once, the same stream on any ranks and workers, exact resumes."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import ALL_CONTAINERS, as_worker, copy, flat, frozen, ids, stream, through_json, write_shards

import rowmill

COLUMNS = ["id", "text", "tokens", "score"]
NUM_LANES = 6
# Ranks and workers that divide the lanes.
TOPOLOGIES = [(1, 1), (2, 1), (3, 1), (6, 1), (1, 2), (1, 3), (2, 3), (3, 2)]


@st.composite
def datasets(draw: st.DrawFn, folder: Path, chain: bool = True, least: int = 0) -> rowmill.Dataset:
    """Files of any sizes, more than lanes, and perhaps what decides by their rows which come."""
    sizes = draw(st.lists(st.integers(least, 30), min_size=NUM_LANES, max_size=NUM_LANES + 5).filter(sum))
    container = draw(st.sampled_from(ALL_CONTAINERS))
    write_shards(folder, sizes, block_rows=draw(st.integers(1, 12)), container=container, columns=COLUMNS)
    ds = rowmill.open(folder, lanes_over="files").shuffle(
        seed=draw(st.integers(0, 2**32)),
        mode=draw(st.sampled_from(["window", "shard", "none"])),
        num_lanes=NUM_LANES,
        window_bytes=draw(st.sampled_from([1, 300, 1 << 24])),
        reshuffle_each_epoch=draw(st.booleans()),
    )
    if not chain:
        return ds
    stages = {
        "none": lambda ds: ds,
        "map": lambda ds: ds.map(lambda row: {"double": int(row["id"]) * 2}),
        "filter": lambda ds: ds.filter(lambda row: int(row["id"]) % 3 != 0),
        "batched": lambda ds: ds.map(doubled, batched=True, batch_size=5),
    }
    ds = stages[draw(st.sampled_from(sorted(stages)))](ds)
    return ds if container == "tar" else ds.with_format(draw(st.sampled_from([None, "python", "numpy", "arrow"])))


def doubled(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Each second row twice."""
    rows = [at for at, value in enumerate(columns["id"]) for _ in range(1 + int(value) % 2)]
    return {name: [values[at] for at in rows] for name, values in columns.items()}


def files_of(ds: rowmill.Dataset) -> list[list[int]]:
    """The ids of each file's rows."""
    paths = [path for path, _ in ds._plan.source.files]
    return [[int(row["id"]) for row in rowmill.open(path)] for path in paths]


@given(st.data())
def test_an_epoch_has_every_row_once_and_ranks_share_it(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(datasets(Path(folder), chain=False))
        everything = sorted(flat(files_of(ds)))
        for epoch in (0, 1):
            assert sorted(int(row["id"]) for row in copy(ds).set_epoch(epoch)) == everything
        ranks, workers = data.draw(st.sampled_from(TOPOLOGIES))
        parts = []
        for rank, worker in itertools.product(range(ranks), range(workers)):
            with as_worker(workers, worker):
                parts.append([int(row["id"]) for row in copy(ds).shard(ranks, rank, remainder="keep")])
        assert sorted(flat(parts)) == everything


@given(st.data())
def test_a_lane_is_its_files_after_each_other_and_each_file_stays_whole(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(datasets(Path(folder), chain=False))
        order, known = ds._plan.rust_order, files_of(ds)
        epoch = data.draw(st.integers(0, 2))
        for lane in range(NUM_LANES):
            numbers = range(lane, len(known), NUM_LANES)
            files = [known[order.row_ids(epoch, position, position + 1)[0]] for position in numbers]
            found = [int(row["id"]) for row in copy(ds).set_epoch(epoch).shard(NUM_LANES, lane, remainder="keep")]
            for file in files:
                part, found = found[: len(file)], found[len(file) :]
                assert sorted(part) == file
                assert ds._plan.order.mode == "window" or part == file
            assert found == []


@given(st.data())
def test_a_repeated_stream_is_the_same_on_every_number_of_ranks_and_workers(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(datasets(Path(folder))).repeat()
        if any(not any(int(at) % 3 for at in file) for file in files_of(ds)):
            return  # a lane of which a filter keeps nothing is an error of its own
        steps = data.draw(st.integers(1, 30))
        straight = [frozen(batch) for batch in itertools.islice(copy(ds).batch(NUM_LANES), steps)]
        rows = [frozen(row) for row in itertools.islice(copy(ds), steps * NUM_LANES)]
        for ranks in (2, 3, 6):
            jobs = [iter(copy(ds).shard(ranks, rank)) for rank in range(ranks)]
            dealt = [frozen(next(jobs[at % ranks])) for at in range(len(rows))]
            assert dealt == rows
        with_workers = []
        for worker in range(2):
            with as_worker(2, worker):
                with_workers.append(iter(copy(ds).batch(NUM_LANES // 2)))
        assert len(straight) == steps
        halves = [next(with_workers[at % 2]) for at in range(2 * steps)]
        assert len(halves) == 2 * steps


@given(st.data(), st.lists(st.integers(1, 40), max_size=5))
def test_a_killed_and_resumed_run_is_the_straight_one(data: st.DataObject, kills: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(datasets(Path(folder)))
        batch = data.draw(st.one_of(st.none(), st.integers(1, 7)))
        ds = ds if batch is None else ds.batch(batch)
        ds = ds.repeat(data.draw(st.integers(1, 2))) if data.draw(st.booleans()) else ds
        straight = []
        reader = copy(ds)
        for _ in range(2):
            straight += [frozen(item) for item in reader]
        items: list[bytes] = []
        state, passes = None, 0
        for kill in [*kills, 1 << 30]:
            reader, left = copy(ds), kill
            if state is not None:
                reader.load_state_dict(state)
            while passes < 2 and left:
                part = [frozen(item) for item in itertools.islice(iter(reader), left)]
                items, left = items + part, left - len(part)
                passes += left > 0
            state = through_json(reader.state_dict())
        assert items == straight


@given(st.data())
def test_a_merged_cursor_goes_on_with_other_ranks_and_workers(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Endless lanes want rows: of files without any nothing comes.
        ds = data.draw(datasets(Path(folder), chain=False, least=1)).repeat()
        whole = [int(row["id"]) for row in itertools.islice(copy(ds), 240)]
        done, state = 0, None
        for _ in range(3):
            ranks, workers = data.draw(st.sampled_from(TOPOLOGIES))
            consumers, states, found = ranks * workers, [], {}
            # Whole turns of the lanes: single rows of workers come as the workers are asked, from the first one on.
            steps = data.draw(st.integers(0, 10)) * (NUM_LANES // consumers)
            for rank, worker in itertools.product(range(ranks), range(workers)):
                with as_worker(workers, worker):
                    job = copy(ds).shard(ranks, rank)
                    if state is not None:
                        job.load_state_dict(state)
                    items = iter(job)
                    found[rank, worker] = [int(row["id"]) for row in itertools.islice(items, steps)]
                    states.append(through_json(items.state_dict()))
            for step, worker, rank in itertools.product(range(steps), range(workers), range(ranks)):
                assert found[rank, worker][step] == whole[done + (step * workers + worker) * ranks + rank]
            done += steps * consumers
            state = rowmill.merge_states(states)
            assert sum(state["lanes"]["samples"]) == done


@pytest.mark.parametrize("mode", ["concat", "best_fit"])
@given(st.data())
def test_packed_samples_have_every_token_and_resume(mode: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sizes = data.draw(st.lists(st.integers(0, 20), min_size=4, max_size=7).filter(sum))
        write_shards(Path(folder), sizes, block_rows=5, container="parquet", columns=["id", "text", "tokens"])
        ds = rowmill.open(folder, lanes_over="files").shuffle(data.draw(st.integers(0, 99)), num_lanes=4)
        is_text = data.draw(st.booleans())
        ds = ds.tokenize("bytes") if is_text else ds
        column = "input_ids" if is_text else "tokens"
        ds = ds.pack(11, mode=mode, document_ids=True, column=column).with_format("numpy")
        samples = list(copy(ds))
        found: dict[int, list[int]] = {}
        for sample in samples:
            for token, document in zip(sample["input_ids"], sample["document_ids"], strict=True):
                found.setdefault(int(document), []).append(int(token))
        found.pop(-1, None)
        # A document's id is its file's number and its row there.
        plain = rowmill.open(folder)
        plain = plain.tokenize("bytes", keep_columns=["id"]) if is_text else plain
        rows = {int(row["id"]): [int(token) for token in row[column]] for row in plain}
        firsts = [sum(sizes[:at]) for at in range(len(sizes))]
        assert {firsts[at >> 40] + at % (1 << 40): tokens for at, tokens in found.items()} == rows
        kill = data.draw(st.integers(0, len(samples)))
        reader = copy(ds)
        head = [frozen(sample) for sample in itertools.islice(iter(reader), kill)]
        again = copy(ds)
        again.load_state_dict(through_json(reader.state_dict()))
        if kill < len(samples):
            assert head + [frozen(sample) for sample in again] == [frozen(sample) for sample in samples]
        if all(sizes):
            endless = copy(ds).repeat()
            assert len(list(itertools.islice(endless, 2 * len(samples) + 3))) == 2 * len(samples) + 3


def test_receipts_of_ranks_are_that_of_one(tmp_path: Path) -> None:
    write_shards(tmp_path, [5] * 6, container="parquet", columns=COLUMNS)
    ds = rowmill.open(tmp_path, lanes_over="files").shuffle(1, num_lanes=6).tokenize("bytes")

    def receipt(ranks: int, rank: int) -> dict[str, Any]:
        loader = copy(ds).shard(ranks, rank, remainder="keep").loader()
        assert list(loader)
        return loader.stats()["receipt"]

    whole = receipt(1, 0)
    assert whole["samples"] == 30
    assert whole["tokens"] > 30
    assert rowmill.merge_receipts([receipt(3, rank) for rank in range(3)]) == whole
    other = copy(ds).set_epoch(1).loader()
    assert list(other)
    assert other.stats()["receipt"]["digest"] != whole["digest"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_shards(tmp_path / "data", [9, 4, 12, 1, 30, 2, 8, 0], container="parquet", columns=COLUMNS)
    return tmp_path / "data"


def test_unshuffled_files_come_as_they_lie(files: Path) -> None:
    ds = rowmill.open(files, lanes_over="files")
    assert stream(ds) == stream(rowmill.open(files))
    assert [row["id"] for row in ds.skip(3).take(20)] == list(range(3, 23))
    assert ds.column_names == COLUMNS
    assert ds.schema == rowmill.open(files).schema
    assert "num_files=8" in repr(ds)


def test_no_file_is_looked_at_before_its_turn(files: Path, tmp_path: Path) -> None:
    ds = rowmill.open(files, lanes_over="files").shuffle(4, num_lanes=2)
    order = [ds._plan.rust_order.row_ids(0, at, at + 1)[0] for at in range(8)]
    # The last one of a lane that is not the first in the list either.
    bad = files / f"shard-{order[6] or order[7]}.parquet"
    size = bad.stat().st_size
    bad.write_bytes(b"PAR1" + b"\0" * (size - 8) + b"PAR1")
    with pytest.raises(rowmill.CorruptShardError):
        rowmill.open(files)
    rows = iter(copy(ds))
    with pytest.raises(rowmill.CorruptShardError, match=bad.name):
        list(rows)
    # What came before is not lost, and goes on where the file is mended.
    done = rows.state_dict()
    assert done["position"] > 0
    write_shards(files, [9, 4, 12, 1, 30, 2, 8, 0], container="parquet", columns=COLUMNS)
    again = copy(ds)
    again.load_state_dict(done)
    assert done["position"] + len(list(again)) == 66


def test_a_file_of_other_columns_is_told(files: Path) -> None:
    table = pa.table(
        {"id": pa.array(["a"]), "text": ["b"], "tokens": pa.array([[1]], pa.list_(pa.int32())), "score": [1.0]}
    )
    pq.write_table(table, files / "shard-5.parquet")
    ds = rowmill.open(files, lanes_over="files")
    with pytest.raises(rowmill.SchemaMismatchError, match=r"shard-5.*'id'|shard-5.*\"id\""):
        list(ds)
    assert len(list(ds.select_columns(["text"]))) == 65
    pq.write_table(table.drop_columns(["text"]), files / "shard-5.parquet")
    ds = rowmill.open(files, lanes_over="files")
    with pytest.raises(rowmill.SchemaMismatchError, match=r"shard-5.*text"):
        list(ds.select_columns(["text"]))


def test_what_only_footers_tell_is_refused(files: Path) -> None:
    ds = rowmill.open(files, lanes_over="files").shuffle(num_lanes=4)
    asked: list[Any] = [
        lambda: len(ds), lambda: ds.num_rows, lambda: ds.row_ids(0, 1), lambda: ds.rows_at(0), lambda: ds.fetch([0]),
        ds.describe, ds.cache, ds.count_tokens, lambda: rowmill.mix({"a": ds, "b": ds}, {"a": 1, "b": 1}),
        lambda: rowmill.open(files, lanes_over="files", on_error="skip"),
        lambda: ds.shuffle(mode="row"), lambda: ds.batch(2, group_by_length=True).batch(3),
    ]  # fmt: skip
    for ask in asked:
        with pytest.raises((rowmill.SchemaMismatchError, ValueError), match=r"lanes|group_by_length"):
            ask()
    with pytest.raises(rowmill.TopologyError, match="8 files cannot fill 9 lanes"):
        ds.shuffle(num_lanes=9)
    with pytest.raises(rowmill.TopologyError, match="fit: 1, 2, 4"):
        next(iter(ds.shard(3, 0)))
    with pytest.raises(ValueError, match='"files"'):
        rowmill.open(files, lanes_over="rows")  # type: ignore[arg-type]
    (files.parent / "text.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(rowmill.SchemaMismatchError, match="convert"):
        rowmill.open(files.parent / "text.jsonl", lanes_over="files")


def test_a_finite_epoch_on_ranks_is_refused_with_the_ways_out(files: Path) -> None:
    ds = rowmill.open(files, lanes_over="files").shuffle(num_lanes=4).shard(2, 0).batch(2)
    with pytest.raises(rowmill.TopologyError, match=r"\.repeat\(\).*keep"):
        next(iter(ds))
    assert next(iter(ds.repeat()))["id"].shape == (2,)
    keeps = rowmill.open(files, lanes_over="files").shuffle(num_lanes=4).shard(2, 0).batch(2, remainder="keep")
    assert next(iter(keeps))["id"].shape == (2,)


def test_a_cursor_is_of_lanes_over_files_and_of_these(files: Path) -> None:
    ds = rowmill.open(files, lanes_over="files").shuffle(num_lanes=4)
    rows = iter(ds)
    next(rows)
    state = rows.state_dict()
    assert state["num_rows"] is None
    assert state["order"]["lanes_over"] == "files"
    with pytest.raises(rowmill.StateMismatchError, match="lanes are over rows, the cursor's over files"):
        rowmill.open(files).shuffle(num_lanes=4).load_state_dict(state)
    with pytest.raises(rowmill.StateMismatchError, match="lanes are over files, the cursor's over rows"):
        ds.load_state_dict(rowmill.open(files).shuffle(num_lanes=4).state_dict())
    # Files are known by their names and sizes.
    write_shards(files, [9, 4, 12, 2, 30, 2, 8, 0], container="parquet", columns=COLUMNS)
    with pytest.raises(rowmill.StateMismatchError, match="fingerprint"):
        rowmill.open(files, lanes_over="files").shuffle(num_lanes=4).load_state_dict(state)


def test_expressions_filter_and_lanes_default_to_what_files_can_fill(files: Path) -> None:
    ds = rowmill.open(files, lanes_over="files").shuffle(3)
    assert ds._plan.order.num_lanes == 8
    kept = sorted(flat(map(ids, ds.filter(pc.field("id") > 40))))
    assert kept == list(range(41, 66))
    some = rowmill.open(sorted(files.iterdir())[:7], lanes_over="files").shuffle(3)
    assert some._plan.order.num_lanes == 4


def test_rows_in_storage_order_are_not_cut_off_before_a_shuffle(tmp_path: Path) -> None:
    write_shards(tmp_path, [5] * 8, container="parquet", columns=["id"])
    ds = rowmill.open(tmp_path, lanes_over="files")
    for cut in (ds.take(10), ds.skip(10)):
        with pytest.raises(rowmill.SchemaMismatchError, match="before a shuffle mean"):
            cut.shuffle(3)
    whole = [row["id"] for row in ds.shuffle(3, num_lanes=4)]
    assert [row["id"] for row in ds.shuffle(3, num_lanes=4).take(10)] == whole[:10]


def test_a_local_file_of_another_size_is_told_when_its_turn_comes(tmp_path: Path) -> None:
    write_shards(tmp_path, [5] * 8, container="parquet", columns=["id", "text"])
    ds = rowmill.open(tmp_path, lanes_over="files").shuffle(1, num_lanes=2).repeat()
    items = iter(ds)
    first = [next(items)["id"] for _ in range(40)]
    assert len(set(first)) == 40
    changed = sorted(tmp_path.glob("*.parquet"))[3]
    pq.write_table(pa.concat_tables([pq.read_table(changed)] * 50), changed)
    with pytest.raises(rowmill.CorruptShardError, match="has changed since the data set was opened"):
        list(itertools.islice(items, 200))


@pytest.mark.parametrize("lanes_over", [None, "files"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_samples_that_a_batched_function_makes_of_one_row_resume(size: int, lanes_over: Any, tmp_path: Path) -> None:
    write_shards(tmp_path, [7, 6], container="parquet", columns=["id"])
    ds = rowmill.open(tmp_path, lanes_over=lanes_over).shuffle(3, num_lanes=2)
    ds = ds.map(lambda columns: {"id": [one for one in columns["id"] for _ in range(3)]}, batched=True, batch_size=size)
    straight = iter(copy(ds))
    whole = [row["id"] for row in straight]
    for taken in range(len(whole) + 1):
        head = iter(copy(ds))
        before = [next(head)["id"] for _ in range(taken)]
        resumed = copy(ds)
        resumed.load_state_dict(through_json(head.state_dict()))
        tail = iter(resumed)
        assert before + [row["id"] for row in tail] == whole
