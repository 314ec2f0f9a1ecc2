"""The cursor law: a straight run equals a run with any kills and resumes, byte for byte."""

from __future__ import annotations

import itertools
import json
import math
import tempfile
from pathlib import Path

import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import ALL_CONTAINERS, TYPED, as_worker, copy, flat, frozen, ids, stream, through_json, write_shards

import rowmill

# Few lanes for many ranks are drawn on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.* ranks share .* lanes:UserWarning")

MODES = ("window", "shard", "row", "none")
FORMATS = (None, "python", "numpy", "torch", "arrow")
COLUMNS = ["id", "text", "tokens", "score"]


@st.composite
def datasets(draw: st.DrawFn, folder: Path) -> rowmill.Dataset:
    sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(sum))
    container = draw(st.sampled_from(ALL_CONTAINERS))
    write_shards(folder, sizes, block_rows=draw(st.integers(1, 12)), container=container, columns=COLUMNS)
    return (
        rowmill.open(folder)
        .shuffle(
            seed=draw(st.integers(0, 2**32)),
            mode=draw(st.sampled_from(MODES)),
            num_lanes=draw(st.sampled_from([1, 3, 64])),
            window_bytes=draw(st.sampled_from([1, 300, 1 << 24])),
        )
        .with_format(draw(st.sampled_from(FORMATS)))
    )


def killed_run(ds: rowmill.Dataset, kills: list[int], epochs: int) -> list[bytes]:
    """Reads ``epochs`` epochs; after so many items as each of ``kills`` says a new process goes on from the cursor."""
    items: list[bytes] = []
    state = None
    for kill in [*kills, 1 << 30]:
        reader = copy(ds)
        if state is not None:
            reader.load_state_dict(state)
        left = kill
        while reader.epoch < epochs and left:
            iterator = iter(reader)
            for item in itertools.islice(iterator, left):
                items.append(frozen(item))
                left -= 1
        state = through_json(reader.state_dict())
    return items


def straight_run(ds: rowmill.Dataset, epochs: int) -> list[bytes]:
    reader = copy(ds)
    return [frozen(item) for _ in range(epochs) for item in reader]


@given(st.data(), st.lists(st.integers(1, 60), max_size=5))
def test_a_killed_and_resumed_run_is_the_straight_one_byte_for_byte(data: st.DataObject, kills: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(datasets(Path(folder)))
        ranks = data.draw(st.integers(1, 3))
        rank = data.draw(st.integers(0, ranks - 1))
        remainder = data.draw(st.sampled_from(["keep", "drop", "pad"]))
        batch = data.draw(st.one_of(st.none(), st.integers(1, 7)))
        ds = ds.shard(ranks, rank, remainder=remainder)
        if data.draw(st.booleans()):
            ds = ds.map(lambda row: {"double": row["id"] * 2})
        if batch is not None:
            ds = ds.batch(batch, remainder=remainder)
        if len(ds):
            assert killed_run(ds, kills, 2) == straight_run(ds, 2)


@given(st.data(), st.lists(st.integers(1, 60), max_size=5), st.integers(1, 3))
def test_a_repeated_run_resumes_across_its_epochs(data: st.DataObject, kills: list[int], epochs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(datasets(Path(folder))).batch(data.draw(st.integers(1, 9)))
        assert killed_run(ds.repeat(epochs), kills, epochs) == straight_run(ds.repeat(epochs), 1)
        endless = ds.repeat()
        expected = [frozen(item) for item in itertools.islice(copy(endless), 40)]
        reader = copy(endless)
        read = [frozen(item) for item in itertools.islice(reader, 17)]
        again = copy(endless)
        again.load_state_dict(through_json(reader.state_dict()))
        assert read + [frozen(item) for item in itertools.islice(again, 23)] == expected


def in_order(ranks: list[list[list[int]]]) -> list[int]:
    """The stream of positions that the ranks' items are dealt from: rank by rank inside of each row of a step."""
    rows: list[int] = []
    for step in itertools.zip_longest(*ranks, fillvalue=[]):
        for place in itertools.zip_longest(*step):
            rows += [row for row in place if row is not None]
    return rows


@given(st.data())
def test_a_cursor_resumes_on_any_ranks_and_batch_that_divide_its_position(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(datasets(Path(folder)))
        expected = []
        for epoch in (0, 1):
            ds.set_epoch(epoch)
            expected += ds.row_ids(0, ds.num_rows)
        ds.set_epoch(0)
        read: list[int] = []
        state, position = None, 0
        for _ in range(data.draw(st.integers(1, 4))):
            sizes = [(ranks, size) for ranks in range(1, 5) for size in range(1, 9) if position % (ranks * size) == 0]
            num_ranks, batch = data.draw(st.sampled_from(sizes))
            steps = data.draw(st.integers(0, 6))
            jobs = [copy(ds).shard(num_ranks, rank).batch(batch, remainder="keep") for rank in range(num_ranks)]
            items = []
            for job in jobs:
                if state is not None:
                    job.load_state_dict(state)
                items.append([ids(item) for item in itertools.islice(iter(job), steps)])
            read += in_order(items)
            states = [through_json(job.state_dict()) for job in jobs if len(job)]
            position += steps * num_ranks * batch
            if position >= ds.num_rows:
                # The last ranks of a short step may have nothing to do: what is left is the next epoch.
                break
            assert all(other == states[0] for other in states)
            state = states[0]
            assert state["position"] == position
            assert len(json.dumps(state)) <= 1024
        if position < ds.num_rows:
            rest = copy(ds).batch(1, remainder="keep")
            rest.load_state_dict(state)
            read += flat(stream(rest))
            assert read == expected[: ds.num_rows]
            assert flat(stream(rest)) == expected[ds.num_rows :]
        else:
            assert read == expected[: ds.num_rows]


@given(st.data(), st.integers(2, 4), st.lists(st.integers(0, 5), min_size=4, max_size=4))
def test_merged_workers_leave_holes_that_any_topology_fills(
    data: st.DataObject, num_workers: int, delivered: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(datasets(Path(folder))).batch(data.draw(st.integers(1, 5)), remainder="keep")
        states, read = [], []
        for worker in range(num_workers):
            with as_worker(num_workers, worker):
                iterator = iter(copy(ds))
                read += flat(ids(item) for item in itertools.islice(iterator, delivered[worker]))
                states.append(through_json(iterator.state_dict()))
        cursor = through_json(rowmill.merge_states(states))
        assert len(json.dumps(cursor)) <= 1024
        rest, again = copy(ds), copy(ds)
        try:
            rest.load_state_dict(cursor)
        except rowmill.TopologyError:  # the short last batch came before a full one: then only single rows fit
            rows = rowmill.Dataset(ds._plan.with_(stages=()))
            rest, again = rows.batch(1), rows.batch(1)
            rest.load_state_dict(cursor)
        first = [ids(item) for item in itertools.islice(iter(rest), 2)]
        again.load_state_dict(through_json(rest.state_dict()))
        if again.epoch == 0:
            first += stream(again)
        assert sorted(read + flat(first)) == sorted(ds.row_ids(0, ds.num_rows))


def test_workers_of_a_repeated_run_merge_in_its_second_epoch(tmp_path: Path) -> None:
    ds = rowmill.open(write_shards(tmp_path, [40], columns=["id"])).shuffle(seed=1).batch(4).repeat(2)
    straight = stream(copy(ds))
    reader = copy(ds)
    list(itertools.islice(reader, 12))
    states, read = [], []
    for worker, number in enumerate((2, 0)):
        with as_worker(2, worker):
            again = copy(ds)
            again.load_state_dict(through_json(reader.state_dict()))
            iterator = iter(again)
            read += [ids(item) for item in itertools.islice(iterator, number)]
            states.append(through_json(iterator.state_dict()))
    assert read == [straight[12], straight[14]]
    rest = copy(ds)
    rest.load_state_dict(through_json(rowmill.merge_states(states)))
    assert stream(rest) == [straight[13], *straight[15:]]


def triples(columns: dict[str, list], word: str) -> dict[str, list]:
    """As many copies of a row as its id says, modulo three."""
    chosen = [index for index in columns["id"] for _ in range(index % 3)]
    return {"id": chosen, "word": [f"{word}{index}" for index in chosen]}


def is_wanted(row: dict) -> bool:
    return row["id"] % 3 != 1


LANED = {
    "function": lambda ds: ds.filter(is_wanted),
    "expression": lambda ds: ds.filter(pc.field("id") > 11),
    "batched map": lambda ds: ds.map(
        triples, batched=True, batch_size=4, remove_columns=COLUMNS, fn_kwargs={"word": "w"}
    ),
    "chain": lambda ds: (
        ds.map(lambda row: {"half": row["id"] // 2})
        .filter(is_wanted)
        .map(lambda columns: {"group": [len(columns["id"])] * len(columns["id"])}, batched=True, batch_size=3)
    ),
}


@st.composite
def laned(draw: st.DrawFn, folder: Path) -> rowmill.Dataset:
    sizes = draw(st.lists(st.integers(0, 60), min_size=1, max_size=3).filter(sum))
    container = draw(st.sampled_from(TYPED))
    write_shards(folder, sizes, block_rows=draw(st.integers(1, 12)), container=container, columns=COLUMNS)
    mode = draw(st.sampled_from(MODES))
    ds = rowmill.open(folder).shuffle(seed=draw(st.integers(0, 99)), mode=mode, num_lanes=12, window_bytes=300)
    return LANED[draw(st.sampled_from(sorted(LANED)))](ds)


@given(st.data(), st.lists(st.integers(1, 60), max_size=5))
def test_filters_and_batched_maps_resume_byte_for_byte(data: st.DataObject, kills: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(laned(Path(folder)))
        ranks = data.draw(st.sampled_from([1, 2, 3]))
        remainder = data.draw(st.sampled_from(["keep", "drop", "pad"]))
        ds = ds.shard(ranks, data.draw(st.integers(0, ranks - 1)), remainder=remainder)
        if data.draw(st.booleans()):
            ds = ds.batch(data.draw(st.integers(1, 5)), remainder=remainder)
        straight = straight_run(ds, 2)
        if straight:
            assert killed_run(ds, kills, 2) == straight


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_a_rank_killed_while_it_pads_goes_on_padding(tmp_path: Path, seed: int, rank: int) -> None:
    write_shards(tmp_path, [7], columns=COLUMNS)
    # Few rows for many lanes: a rank's own are over long before those of the others.
    ds = LANED["batched map"](rowmill.open(tmp_path).shuffle(seed=seed, num_lanes=12, window_bytes=300))
    ds = ds.shard(3, rank, remainder="pad")
    straight = straight_run(ds, 2)
    for kill in range(1, len(straight)):
        assert killed_run(ds, [kill], 2) == straight


def laned_law(samples_of: dict[int, list[int]], ranks: int, rank: int) -> list[int]:
    """The samples of a rank: of its lanes, always the one that is globally first."""
    mine = [
        (turn * 12 + lane, sample)
        for lane in range(rank, 12, ranks)
        for turn, sample in enumerate(samples_of.get(lane, []))
    ]
    return [sample for _, sample in sorted(mine)]


@given(st.data(), st.sampled_from([1, 2, 3, 4, 6, 12]))
def test_a_filter_yields_what_its_lanes_hold_in_turn(data: st.DataObject, ranks: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=3)), columns=["id"])
        ds = rowmill.open(folder).shuffle(seed=5, num_lanes=12, window_bytes=200)
        order = ds.row_ids(0, ds.num_rows)
        samples = {lane: [index for index in order[lane::12] if index % 3 != 1] for lane in range(12)}
        for rank in range(ranks):
            mine = ds.filter(is_wanted).shard(ranks, rank, remainder="keep")
            assert flat(stream(mine)) == laned_law(samples, ranks, rank)


@given(st.data(), st.sampled_from([1, 2, 3, 4, 6]), st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(0, 30))
def test_merged_ranks_of_a_filter_go_on_with_other_ranks(
    data: st.DataObject, before: int, after: int, steps: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(laned(Path(folder)))
        whole = sorted(flat(stream(copy(ds))))
        read, states = [], []
        for rank in range(before):
            job = copy(ds).shard(before, rank, remainder="keep")
            iterator = iter(job)
            read += flat(ids(item) for item in itertools.islice(iterator, steps))
            states.append(through_json(iterator.state_dict()))
        cursor = through_json(rowmill.merge_states(states))
        for rank in range(after):
            job = copy(ds).shard(after, rank, remainder="keep")
            job.load_state_dict(cursor)
            read += flat(stream(job))
        assert sorted(read) == whole


@pytest.fixture
def ds(tmp_path: Path) -> rowmill.Dataset:
    return rowmill.open(write_shards(tmp_path / "data", [100, 28], columns=COLUMNS)).shuffle(seed=1)


@pytest.fixture
def state(ds: rowmill.Dataset) -> dict:
    reader = copy(ds.batch(8))
    list(itertools.islice(reader, 3))
    return through_json(reader.state_dict())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda ds: ds.shuffle(seed=2), "seed is 2, the cursor's 1"),
        (lambda ds: ds.shuffle(seed=1, mode="row"), "mode is 'row', the cursor's 'window'"),
        (lambda ds: ds.shuffle(seed=1, num_lanes=32), "num_lanes is 32, the cursor's 64"),
        (lambda ds: ds.shuffle(seed=1, window_bytes=99), "window_bytes is 99"),
        (lambda ds: ds.shuffle(seed=1, reshuffle_each_epoch=False), "reshuffle_each_epoch is False"),
        (lambda ds: ds.take(100), "clip"),
        (lambda ds: ds.map(lambda row: row), "map"),
    ],
)
def test_a_changed_order_or_pipeline_is_refused_by_name_unless_asked(ds, state, change, named) -> None:
    other = change(ds).batch(8)
    with pytest.raises(rowmill.StateMismatchError, match="strict=False") as raised:
        other.load_state_dict(state)
    assert named in str(raised.value)
    other.load_state_dict(state, strict=False)
    first = next(iter(other))
    assert ids(first) == other.row_ids(24, 32)


def test_changed_data_is_refused_by_name_unless_asked(state, tmp_path: Path) -> None:
    other = rowmill.open(write_shards(tmp_path / "other", [100, 30], columns=COLUMNS)).shuffle(seed=1).batch(8)
    with pytest.raises(rowmill.StateMismatchError, match="has 130 rows, the cursor's 128"):
        other.load_state_dict(state)
    same_rows = rowmill.open(write_shards(tmp_path / "same", [28, 100], columns=COLUMNS)).shuffle(seed=1).batch(8)
    with pytest.raises(rowmill.StateMismatchError, match="fingerprint"):
        same_rows.load_state_dict(state)
    same_rows.load_state_dict(state, strict=False)
    assert len(stream(same_rows)) == 13


def test_a_changed_function_is_another_pipeline_and_the_same_one_is_not(ds) -> None:
    reader = ds.map(lambda row: {"x": row["id"] + 1}).batch(8)
    list(itertools.islice(reader, 2))
    state = through_json(reader.state_dict())
    ds.map(lambda row: {"x": row["id"] + 1}).batch(8).load_state_dict(state)
    with pytest.raises(rowmill.StateMismatchError, match="pipeline"):
        ds.map(lambda row: {"x": row["id"] + 2}).batch(8).load_state_dict(state)


def test_an_expression_that_pyarrow_prints_cut_is_bound_whole(ds: rowmill.Dataset) -> None:
    ends = [*range(10), *range(190, 200)]
    one, other = (
        ds.filter(pc.field("id").isin(sorted({*ends, *middle}))) for middle in (range(10, 190), range(20, 180))
    )
    iterator = iter(one)
    next(iterator)
    state = through_json(iterator.state_dict())
    copy(one).load_state_dict(state)
    with pytest.raises(rowmill.StateMismatchError):
        copy(other).load_state_dict(state)
    # Cut inside of a character, the text is no text.
    assert list(ds.filter(pc.field("text").isin(["\U0001f600" * 70]))) == []


def test_sizes_that_fit_a_position_are_named(ds, state) -> None:
    with pytest.raises(rowmill.TopologyError, match=r"position 24, .* steps? of 10") as raised:
        ds.shard(2, 0).batch(5).load_state_dict(state)
    assert str(raised.value).endswith(": " + ", ".join(str(n) for n in range(1, 25) if 24 % n == 0))


def test_ranks_that_do_not_divide_the_lanes_are_refused_with_those_that_do(ds) -> None:
    with pytest.raises(rowmill.TopologyError, match=r"1, 2, 4, 8, 16, 32, 64.*num_lanes=66"):
        iter(ds.filter(is_wanted).shard(3, 0))


def test_a_cursor_for_a_position_is_the_same_on_every_rank_and_does_not_change_what_it_was_made_of(ds) -> None:
    jobs = [ds.shard(4, rank).batch(4) for rank in range(4)]
    iterators = [iter(job) for job in jobs]
    for _ in range(3):
        for iterator in iterators:
            next(iterator)
    states = [iterator.state_dict() for iterator in iterators]
    assert all(state == states[0] for state in states)
    kept = json.dumps(states[0])
    next(iterators[0])
    assert json.dumps(states[0]) == kept
    assert math.prod([4, 4, 3]) == states[0]["position"]


@pytest.mark.parametrize(
    "damage",
    [
        {"schema_version": 99},
        {"order_version": 99},
        {"position": -1},
        {"position": "24"},
        {"position": 10**12},
        {"position": None},
        {"epoch": True},
        {"first_epoch": 7},
        {"holes": [[1, 2]]},
        {"holes": [[0, 10**12, 1, 1]]},
        {"holes": "no"},
        {"order": None},
        {"num_rows": 1},
        {"fingerprint": 0},
        {"pipeline": ["x"]},
        {"pipeline": 7},
        {"worker": 7},
        {"worker": {"id": 0}},
    ],
    ids=str,
)
def test_a_damaged_cursor_is_a_state_mismatch(ds, state, damage) -> None:
    job = ds.batch(8)

    def resume() -> None:
        job.load_state_dict({**state, **damage})
        next(iter(job))

    with pytest.raises(rowmill.RowmillError):
        resume()


@pytest.mark.parametrize("state", [None, 3, {}, {"state": 1}], ids=repr)
def test_what_is_no_cursor_is_refused(ds, state) -> None:
    with pytest.raises(rowmill.StateMismatchError, match="no rowmill cursor"):
        ds.load_state_dict(state)
    with pytest.raises(rowmill.StateMismatchError, match="no state to merge"):
        ds.load_state_dict([])


def test_a_resume_is_used_once_and_set_epoch_forgets_it(ds, state) -> None:
    job = ds.batch(8)
    job.load_state_dict(state)
    assert job.state_dict() == state
    assert len(stream(job)) == 13
    assert len(stream(job)) == 16
    job.load_state_dict(state)
    job.set_epoch(0)
    assert len(stream(job)) == 16
