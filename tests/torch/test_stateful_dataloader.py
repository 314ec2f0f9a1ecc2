"""torchdata's StatefulDataLoader: straight run == resumed run with any workers, and merge_states for the rest."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from shards import copy, flat, ids, stream, write_shards
from torchdata.stateful_dataloader import StatefulDataLoader

import rowmill


@pytest.fixture
def ds(tmp_path: Path) -> rowmill.Dataset:
    shards = write_shards(tmp_path / "data", [31, 0, 47, 10], columns=["id", "text", "tokens"])
    return rowmill.open(shards).shuffle(seed=42)


def make(ds: rowmill.Dataset, **options: Any) -> StatefulDataLoader:
    return StatefulDataLoader(copy(ds), batch_size=None, **options)


FORKED = [
    {"num_workers": num_workers, "persistent_workers": is_persistent, "snapshot_every_n_steps": every}
    for num_workers in (0, 1, 2)
    for is_persistent in ((False, True) if num_workers else (False,))
    for every in (1, 3)
]
SPAWNED = [
    {
        "num_workers": 2,
        "persistent_workers": is_persistent,
        "snapshot_every_n_steps": every,
        "multiprocessing_context": "spawn",
    }
    for is_persistent, every in ((False, 3), (True, 1))
]


@pytest.mark.parametrize("options", FORKED + SPAWNED, ids=str)
def test_a_resumed_run_is_the_straight_one_and_so_is_the_epoch_after_it(ds, options) -> None:
    ds = ds.batch(4)
    reader = copy(ds)
    straight, second = stream(reader), stream(reader)
    loader = make(ds, **options)
    iterator = iter(loader)
    read = [ids(item) for item in itertools.islice(iterator, 7)]
    state = loader.state_dict()
    assert read + stream(iterator) == straight
    assert stream(loader) == second

    again = make(ds, **options)
    again.load_state_dict(state)
    assert stream(again) == straight[7:]
    assert stream(again) == second

    # Other ranks, no workers: what is left comes in the same global steps.
    cursor = rowmill.merge_states(state)
    assert cursor["position"] == 28
    ranks = [ds._plan.with_(stages=()) for _ in range(2)]
    jobs = [rowmill.Dataset(plan).shard(2, rank).batch(2, remainder="keep") for rank, plan in enumerate(ranks)]
    for job in jobs:
        job.load_state_dict(cursor)
    steps = [sorted(a + b) for a, b in itertools.zip_longest(*map(stream, jobs), fillvalue=[])]
    assert steps == [sorted(step) for step in straight[7:]]


@pytest.mark.parametrize("steps", [0, 1, 21, 22])
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_states_at_the_very_beginning_and_end_resume(ds, num_workers, steps) -> None:
    ds = ds.batch(4)
    reader = copy(ds)
    straight, second = stream(reader), stream(reader)
    loader = make(ds, num_workers=num_workers)
    iterator = iter(loader)
    list(itertools.islice(iterator, steps))
    again = make(ds, num_workers=num_workers)
    again.load_state_dict(loader.state_dict())
    assert stream(again) == straight[steps:]
    assert stream(again) == second


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3), (3, 0), (0, 2)])
def test_another_number_of_workers_goes_through_merge_states(ds, before, after) -> None:
    ds = ds.batch(4)
    straight = stream(copy(ds))
    loader = make(ds, num_workers=before)
    iterator = iter(loader)
    for _ in range(5):
        next(iterator)
    resumed = copy(ds)
    resumed.load_state_dict(rowmill.merge_states(loader.state_dict()))
    assert stream(StatefulDataLoader(resumed, batch_size=None, num_workers=after)) == straight[5:]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_rows_that_torch_batches_are_not_lost_by_merging(ds, num_workers) -> None:
    ds = ds.select_columns(["id", "tokens"])
    loader = StatefulDataLoader(copy(ds), batch_size=5, num_workers=num_workers)
    iterator = iter(loader)
    read = flat(ids(next(iterator)) for _ in range(3))
    state = loader.state_dict()
    again = StatefulDataLoader(copy(ds), batch_size=5, num_workers=num_workers)
    again.load_state_dict(state)
    assert sorted(read + flat(stream(again))) == list(range(88))
    rest = copy(ds)
    rest.load_state_dict(rowmill.merge_states(state))
    assert sorted(read + flat(stream(rest))) == list(range(88))


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_a_filter_resumes_and_merges(ds, num_workers) -> None:
    ds = ds.filter(_is_wanted).batch(4)
    straight = stream(make(ds, num_workers=num_workers))
    loader = make(ds, num_workers=num_workers)
    iterator = iter(loader)
    read = [ids(item) for item in itertools.islice(iterator, 5)]
    state = loader.state_dict()
    again = make(ds, num_workers=num_workers)
    again.load_state_dict(state)
    assert read + stream(again) == straight
    rest = copy(ds)
    rest.load_state_dict(rowmill.merge_states(state))
    assert sorted(flat(read) + flat(stream(rest))) == sorted(flat(straight)) == [n for n in range(88) if n % 3 != 1]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_ranks_with_workers_merge_to_one_cursor(ds, num_workers) -> None:
    states, read = [], []
    for rank in range(2):
        loader = make(ds.shard(2, rank).batch(4), num_workers=num_workers)
        iterator = iter(loader)
        read += flat(ids(next(iterator)) for _ in range(3))
        states.append(loader.state_dict())
    cursor = rowmill.merge_states(states)
    assert cursor["position"] == 24
    rest = ds.shard(1, 0).batch(8)
    rest.load_state_dict(cursor)
    assert sorted(read + flat(stream(rest))) == list(range(88))


def test_a_missing_worker_and_states_of_other_jobs_are_refused(ds) -> None:
    loader = make(ds.batch(4), num_workers=2)
    next(iter(loader))
    state = loader.state_dict()
    states = state["_snapshot"]["_worker_snapshots"]
    del states[sorted(states)[1]]
    with pytest.raises(rowmill.StateMismatchError, match="missing"):
        rowmill.merge_states(state)
    other = make(ds.shuffle(seed=7).batch(4))
    next(iter(other))
    mine = make(ds.batch(4))
    next(iter(mine))
    with pytest.raises(rowmill.StateMismatchError, match="not of one job: order"):
        rowmill.merge_states([mine.state_dict(), other.state_dict()])
    with pytest.raises(rowmill.StateMismatchError, match="no state"):
        rowmill.merge_states([])


def test_old_snapshots_of_rows_are_refused_rather_than_guessed(ds) -> None:
    loader = StatefulDataLoader(ds.select_columns("id"), batch_size=None, num_workers=1, snapshot_every_n_steps=5)
    iterator = iter(loader)
    for _ in range(7):
        next(iterator)
    with pytest.raises(rowmill.StateMismatchError, match="snapshot_every_n_steps=1"):
        rowmill.merge_states(loader.state_dict())


def _is_wanted(row: dict[str, Any]) -> bool:
    return row["id"] % 3 != 1
