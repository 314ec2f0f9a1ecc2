"""Rows grouped by length: the same set of rows in a step for every number of ranks, each once, resumed exactly."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import as_worker, copy, flat, frozen, ids, stream, through_json

import rowmill

pytestmark = pytest.mark.filterwarnings("ignore:.* ranks share .* lanes:UserWarning")

NUM_ROWS = 211


def length(row: int) -> int:
    return row * 37 % 53


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> rowmill.Dataset:
    folder = tmp_path_factory.mktemp("lengths")
    for shard, rows in enumerate([range(80), range(80, 160), range(160, NUM_ROWS)]):
        table = pa.table(
            {
                "id": list(rows),
                "text": ["x" * length(row) for row in rows],
                "input_ids": pa.array([[row % 199] * length(row) for row in rows], pa.list_(pa.int16())),
                "n": [length(row) for row in rows],
            }
        )
        with pa.OSFile(str(folder / f"{shard}.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=9)
    return rowmill.open(folder, index_dir=folder / "index")


@st.composite
def datasets(draw: st.DrawFn, opened: rowmill.Dataset) -> rowmill.Dataset:
    ds = opened.shuffle(
        draw(st.integers(0, 99)),
        mode=draw(st.sampled_from(["window", "row", "none"])),
        num_lanes=draw(st.sampled_from([1, 4])),
    )
    ds = ds.repeat(draw(st.sampled_from([1, 2])))
    if draw(st.booleans()):
        return ds.tokenize("bytes", keep_columns=["id", "n"])
    return ds


def by_length(ds: rowmill.Dataset, batch: int, steps: int, remainder: str = "keep") -> rowmill.Dataset:
    return ds.batch(batch, remainder=remainder, group_by_length=steps)


def steps_of(ds: rowmill.Dataset, ranks: int, batch: int, steps: int, remainder: str) -> list[list[int]]:
    """The rows of each step over all ranks, as the definition has it: runs of the order, each sorted by length."""
    size = ranks * batch
    number = ds.num_rows * (ds._plan.epochs_per_pass or 1)
    order = flat(ds.set_epoch(epoch).row_ids(0, ds.num_rows) for epoch in range(ds._plan.epochs_per_pass or 1))
    ds.set_epoch(0)
    last = number // size * size if remainder == "drop" else number
    made = []
    for first in range(0, last, size * steps):
        run = sorted(order[first : min(first + size * steps, last)], key=length)
        made.append([sorted(map(length, run[at : at + size])) for at in range(0, len(run), size)])
    return made


@given(st.data())
def test_a_step_holds_the_same_rows_of_about_one_length_for_every_number_of_ranks(
    opened: rowmill.Dataset, data: st.DataObject
) -> None:
    ds = data.draw(datasets(opened))
    ranks, batch, steps = (
        data.draw(st.sampled_from([1, 2, 3])),
        data.draw(st.integers(1, 6)),
        data.draw(st.integers(1, 7)),
    )
    remainder = data.draw(st.sampled_from(["keep", "drop", "pad"]))
    jobs = [by_length(ds.shard(ranks, rank), batch, steps, remainder) for rank in range(ranks)]
    of_ranks = [stream(copy(job)) for job in jobs]
    dealt = [sorted(flat(step)) for step in itertools.zip_longest(*of_ranks, fillvalue=[])]
    alone = by_length(ds.shard(1, 0), ranks * batch, steps, remainder)
    assert dealt == [sorted(step) for step in stream(copy(alone))], "for every number of ranks"
    assert [len(rows) for rows in of_ranks] == [len(job) for job in jobs]

    order = flat(ds.set_epoch(epoch).row_ids(0, NUM_ROWS) for epoch in range(ds._plan.epochs_per_pass or 1))
    if remainder == "keep":
        assert sorted(flat(dealt)) == sorted(order), "each row once"
    runs = steps_of(copy(ds), ranks, batch, steps, remainder)
    known = [dealt[first : first + steps] for first in range(0, len(dealt), steps)]
    for run, expected in zip(known, runs, strict=True):
        if run is known[-1] and remainder == "pad" and len(order) % (ranks * batch):
            continue  # its last step is filled with the first rows of the stream
        assert sorted(sorted(map(length, step)) for step in run) == sorted(expected)
    for step in range(min(len(dealt), 5)):
        assert sorted(copy(jobs[0]).rows_at(step)) == dealt[step]


@given(st.data(), st.lists(st.integers(1, 20), max_size=4))
def test_a_killed_and_resumed_run_is_the_straight_one(
    opened: rowmill.Dataset, data: st.DataObject, kills: list[int]
) -> None:
    ranks = data.draw(st.integers(1, 2))
    ds = by_length(
        data.draw(datasets(opened)).shard(ranks, ranks - 1), data.draw(st.integers(1, 7)), data.draw(st.integers(1, 5))
    )
    ds = ds.pad(pad_token_id=0) if data.draw(st.booleans()) else ds
    straight = [frozen(batch) for batch in copy(ds)]
    read: list[bytes] = []
    state = None
    for kill in [*kills, len(straight)]:
        reader = copy(ds)
        if state is not None:
            reader.load_state_dict(state)
        if len(read) < len(straight):
            read += [frozen(batch) for batch in itertools.islice(reader, min(kill, len(straight) - len(read)))]
        state = through_json(reader.state_dict())
    assert read == straight


@given(st.data())
def test_workers_and_other_ranks_deal_the_same_steps(opened: rowmill.Dataset, data: st.DataObject) -> None:
    ds = data.draw(datasets(opened)).repeat(1)
    batch, steps = data.draw(st.sampled_from([2, 4, 6])), data.draw(st.integers(1, 5))
    done = data.draw(st.integers(0, 6))
    alone = by_length(ds.shard(1, 0), batch, steps, "drop")
    straight = [sorted(ids(rows)) for rows in copy(alone)]
    reader = copy(alone)
    list(itertools.islice(reader, done))
    state = through_json(reader.state_dict())
    halves = [by_length(ds.shard(2, rank), batch // 2, steps, "drop") for rank in range(2)]
    read = []
    for half in halves:
        half.load_state_dict(state)
        read.append(stream(half))
    assert [sorted(flat(step)) for step in zip(*read, strict=True)] == straight[done:]
    of_workers = []
    for worker in range(2):
        with as_worker(2, worker):
            of_workers.append([sorted(ids(rows)) for rows in copy(alone)])
    turns = flat(itertools.zip_longest(*of_workers))
    assert [rows for rows in turns if rows is not None] == straight


def test_another_global_batch_goes_on_where_runs_of_both_end(opened: rowmill.Dataset) -> None:
    def job(batch: int) -> rowmill.Dataset:
        return by_length(opened.shuffle(3).shard(1, 0), batch, 4)

    reader = job(4)
    read = stream(itertools.islice(reader, 6))
    with pytest.raises(rowmill.TopologyError, match=r"inside of a run of 4 steps of 4 rows .* must stay 4 here"):
        job(8).load_state_dict(reader.state_dict())
    read += stream(itertools.islice(iter(again := _loaded(job(4), reader.state_dict())), 2))
    rest = _loaded(job(8), again.state_dict())
    assert sorted(flat(read) + flat(stream(rest))) == list(range(NUM_ROWS))


def _loaded(ds: rowmill.Dataset, state: Any) -> rowmill.Dataset:
    ds.load_state_dict(state)
    return ds


def test_padding_shrinks(opened: rowmill.Dataset) -> None:
    def share(**grouped: Any) -> float:
        batches = list(opened.shuffle(1).pad(pad_token_id=0).batch(8, **grouped))
        places = sum(batch["attention_mask"].numel() for batch in batches)
        return 1 - sum(int(batch["attention_mask"].sum()) for batch in batches) / places

    assert share() > 0.35
    assert share(group_by_length=True) < 0.15


@pytest.mark.parametrize("column", ["text", "n", "input_ids"])
def test_the_length_is_that_of_a_list_a_text_or_a_number(opened: rowmill.Dataset, column: str) -> None:
    ds = opened.shuffle(1)
    expected = stream(ds.batch(8, group_by_length=3, length_column="n"))
    assert stream(ds.batch(8, group_by_length=3, length_column=column)) == expected
    encoded = ds.tokenize("bytes", keep_columns=["id", "n"])
    assert stream(encoded.batch(8, group_by_length=3)) == expected
    assert stream(encoded.batch(8, group_by_length=3, length_column="text")) == expected
    mapped = ds.map(lambda row: {"more": 1}).batch(8, group_by_length=3)
    assert stream(mapped) == expected
    assert stream(ds.batch(8, group_by_length=3).map(lambda batch: batch)) == expected


def test_what_cannot_be_grouped_says_why(opened: rowmill.Dataset, tmp_path: Path) -> None:
    for make, words in [
        (lambda: opened.filter(lambda row: True).batch(4, group_by_length=4), "decides by the data"),
        (lambda: opened.batch(4, group_by_length=4, length_column="m"), "no column 'm' to group rows by"),
        (lambda: opened.select_columns("id").batch(4, group_by_length=True), "length_column=NAME"),
    ]:
        with pytest.raises(rowmill.SchemaMismatchError, match=words):
            make()
    with pytest.raises(ValueError, match="group_by_length must be a positive"):
        opened.batch(4, group_by_length=0)
    reader = opened.batch(4, group_by_length=4)
    with pytest.raises(rowmill.StateMismatchError, match="length_groups"):
        opened.batch(4).load_state_dict(reader.state_dict())
