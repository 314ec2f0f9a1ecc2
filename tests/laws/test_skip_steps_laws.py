"""skip_steps: the stream without those steps, for any ranks and workers, resumed exactly, and recorded."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import as_worker, copy, flat, frozen, stream, through_json, write_shards

import rowmill

pytestmark = pytest.mark.filterwarnings("ignore:.* ranks share .* lanes:UserWarning")

NUM_ROWS = 150
RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=4).map(
    lambda pairs: [(first, first + length) for first, length in pairs]
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> rowmill.Dataset:
    folder = tmp_path_factory.mktemp("data")
    return rowmill.open(write_shards(folder, [70, 0, 80], columns=["id", "text"]), index_dir=folder / "index")


def is_even(row: dict[str, Any]) -> bool:
    return bool(row["id"] % 2)


@st.composite
def datasets(draw: st.DrawFn, opened: rowmill.Dataset) -> tuple[rowmill.Dataset, int]:
    """A dataset of steps without a skip, and how many to look at."""
    ds = opened.shuffle(draw(st.integers(0, 99)), num_lanes=draw(st.sampled_from([1, 6])))
    kind = draw(st.sampled_from(["rows", "laned", "packed", "lengths"]))
    if kind == "laned":
        ds = ds.filter(is_even)
    if kind == "packed":
        ds = ds.tokenize("bytes").pack(draw(st.sampled_from([5, 16])), document_ids=True)
    batch = draw(st.integers(1, 4))
    ds = ds.batch(batch, remainder="keep", group_by_length=3 if kind == "lengths" else None, length_column="text")
    if draw(st.booleans()):
        ds = ds.skip(draw(st.integers(0, 3)))
    if draw(st.booleans()):
        ds = ds.repeat(2)
    return ds, 90


def kept(items: list[Any], ranges: list[tuple[int, int]]) -> list[Any]:
    return [item for step, item in enumerate(items) if not any(first <= step < end for first, end in ranges)]


@given(st.data(), RANGES, st.lists(st.integers(1, 30), max_size=3))
def test_it_is_the_stream_without_those_steps_however_often_it_is_killed(
    opened: rowmill.Dataset, data: st.DataObject, ranges: list[tuple[int, int]], kills: list[int]
) -> None:
    ds, most = data.draw(datasets(opened))
    ds = ds.shard(1, 0)
    straight = kept([frozen(item) for item in itertools.islice(copy(ds), most)], ranges)
    skipping = ds.skip_steps(ranges)
    read: list[bytes] = []
    state = None
    for kill in [*kills, most]:
        reader = copy(skipping)
        if state is not None:
            reader.load_state_dict(state)
        wanted = min(kill, len(straight) - len(read))
        if wanted:
            read += [frozen(item) for item in itertools.islice(reader, wanted)]
        state = through_json(reader.state_dict())
    assert read == straight
    if not ds._plan.pipeline.is_laned:
        assert len(skipping) == len(kept(list(range(len(ds))), ranges))
        for step, rows in enumerate(stream(itertools.islice(copy(skipping), 4))):
            assert sorted(skipping.rows_at(step)) == sorted(rows)
        with pytest.raises(rowmill.OutOfRangeError):
            skipping.rows_at(len(skipping))


@given(st.data(), RANGES)
def test_every_rank_leaves_out_the_same_steps(
    opened: rowmill.Dataset, data: st.DataObject, ranges: list[tuple[int, int]]
) -> None:
    ranks, batch = data.draw(st.sampled_from([2, 3])), data.draw(st.integers(1, 3))
    remainder = data.draw(st.sampled_from(["drop", "pad", "keep"]))
    ds = opened.shuffle(data.draw(st.integers(0, 9)), num_lanes=6)
    if data.draw(st.booleans()):
        ds = ds.filter(is_even)
    jobs = [ds.shard(ranks, rank).batch(batch, remainder=remainder) for rank in range(ranks)]
    for job in jobs:
        assert stream(copy(job).skip_steps(ranges)) == kept(stream(copy(job)), ranges)


@given(st.data(), RANGES, st.lists(st.integers(0, 4), min_size=3, max_size=3))
def test_workers_take_turns_in_what_is_left_and_their_states_merge(
    opened: rowmill.Dataset, data: st.DataObject, ranges: list[tuple[int, int]], delivered: list[int]
) -> None:
    num_workers = data.draw(st.integers(2, 3))
    ds = opened.shuffle(1).batch(data.draw(st.integers(1, 4))).skip_steps(ranges)
    straight = stream(copy(ds))
    first = data.draw(st.integers(0, 5))
    reader = copy(ds)
    read = stream(itertools.islice(reader, first))
    state = through_json(reader.state_dict())
    states, of_workers = [], []
    for worker in range(num_workers):
        with as_worker(num_workers, worker):
            one = copy(ds)
            one.load_state_dict(state)
            items = iter(one)
            of_workers.append(stream(itertools.islice(items, delivered[worker])))
            states.append(through_json(items.state_dict()))
    rest = copy(ds)
    rest.load_state_dict(rowmill.merge_states([rowmill.merge_states(states)] if data.draw(st.booleans()) else states))
    read += flat(of_workers)
    # Holes come first, in steps that are cut anew.
    assert sorted(flat(read) + flat(stream(rest))) == sorted(flat(straight))
    with as_worker(num_workers, 0):
        assert stream(copy(ds)) == straight[::num_workers]


def test_it_may_be_added_ahead_and_not_behind(opened: rowmill.Dataset) -> None:
    ds = opened.shuffle(1).batch(4)
    straight = stream(copy(ds))
    reader = copy(ds)
    list(itertools.islice(reader, 5))
    state = through_json(reader.state_dict())
    for make in (lambda one: one, lambda one: one.loader()):
        later = ds.skip_steps([(7, 9)])
        make(later).load_state_dict(state)
        assert stream(later) == [*straight[5:7], *straight[9:]]
    here = ds.skip_steps([(5, 6)])
    here.load_state_dict(state)
    assert stream(here) == straight[6:]
    for ranges in ([(2, 4)], [(4, 6)], [(7, 8), (0, 1)]):
        with pytest.raises(rowmill.StateMismatchError, match="lie behind this state, which stands at step 5"):
            ds.skip_steps(ranges).load_state_dict(state)
        with pytest.raises(rowmill.StateMismatchError, match="lie behind"):
            iter(ds.skip_steps(ranges)).load_state_dict(state)
    ds.skip_steps([(2, 4)]).load_state_dict(state, strict=False)


def test_what_was_left_out_stays_on_record(opened: rowmill.Dataset) -> None:
    ds = opened.shuffle(1).batch(4)
    skipping = ds.skip_steps([(2, 4), (20, 21)])
    reader = copy(skipping)
    list(itertools.islice(reader, 6))
    state = through_json(reader.state_dict())
    assert state["position"] == 8 * 4
    assert state["left_out"] == [[8, 16], [80, 84]]
    assert len(json.dumps(state)) <= 1024
    with pytest.raises(rowmill.StateMismatchError, match=r"still ahead.* add .skip_steps\(\[\(20, 21\)\]\)"):
        copy(ds).load_state_dict(state)
    loose = copy(ds)
    loose.load_state_dict(state, strict=False)
    assert len(stream(loose)) == -(-NUM_ROWS // 4) - 8
    # What is behind needs no mention any more, and is told all the same.
    later = ds.skip_steps([(20, 21)])
    later.load_state_dict(state)
    next(iter(later))
    assert later.state_dict()["left_out"] == [[8, 16], [80, 84]]


def test_steps_of_another_size_are_not_taken_for_the_same(opened: rowmill.Dataset) -> None:
    ds = opened.shuffle(1)
    reader = ds.batch(4).skip_steps([(2, 4)])
    list(itertools.islice(reader, 6))
    state = through_json(reader.state_dict())
    assert state["position"] == 32
    with pytest.raises(rowmill.TopologyError, match=r"were of 4 rows .* name them as \(0.5, 1\)"):
        ds.batch(16).skip_steps([(2, 4)]).load_state_dict(state)
    with pytest.raises(rowmill.StateMismatchError, match="lie behind"):
        ds.batch(2).skip_steps([(2, 4)]).load_state_dict(state)
    other = ds.batch(2).skip_steps([(4, 8), (17, 18)])
    other.load_state_dict(state)
    assert flat(stream(other)) == [*ds.row_ids(32, 34), *ds.row_ids(36, NUM_ROWS)]
    planned = ds.batch(4).skip_steps([(20, 21)])
    next(iter(planned))
    with pytest.raises(rowmill.TopologyError, match=r"pass skip_steps\(\[\(40, 42\)\]\)"):
        ds.batch(2).load_state_dict(planned.state_dict())


def test_lanes_bind_steps_to_workers(opened: rowmill.Dataset) -> None:
    ds = opened.shuffle(1, num_lanes=6).filter(is_even).batch(2)
    for worker in range(2):
        with as_worker(2, worker):
            # Of the rank's steps this worker has every other one.
            expected = [rows for at, rows in enumerate(stream(copy(ds))) if not 3 <= worker + 2 * at < 7]
            assert stream(copy(ds).skip_steps([(3, 7)])) == expected
            with pytest.raises(rowmill.TopologyError, match="no multiple of the 2 workers"):
                iter(copy(ds).skip_steps([(3, 6)]))


@pytest.mark.parametrize("ranges", [[(3, 1)], [(1,)], [3], ["ab"], [(-1, 2)], [(0.5, 2)]])
def test_what_are_no_ranges_is_refused(opened: rowmill.Dataset, ranges: Any) -> None:
    with pytest.raises(ValueError, match=r"step|pairs"):
        opened.skip_steps(ranges)


def test_skips_add_up_and_nothing_is_a_skip(opened: rowmill.Dataset) -> None:
    ds = opened.batch(10)
    assert stream(ds.skip_steps([(1, 2)]).skip_steps([(2, 3), (7, 7)])) == kept(stream(copy(ds)), [(1, 3)])
    assert len(ds.skip_steps([(0, 99)])) == 0
    assert list(ds.skip_steps([(0, 99)])) == []
    assert "left_out" not in ds.skip_steps([]).state_dict()
