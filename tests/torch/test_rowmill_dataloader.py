"""rowmill.DataLoader: torch's workers with a state in the main process that is true."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from shards import copy, flat, ids, stream, through_json, write_shards

import rowmill


@pytest.fixture
def ds(tmp_path: Path) -> rowmill.Dataset:
    shards = write_shards(tmp_path / "data", [31, 0, 47, 10], columns=["id", "tokens"])
    return rowmill.open(shards).shuffle(seed=42)


def _is_wanted(row: dict[str, Any]) -> bool:
    return row["id"] % 3 != 1


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_a_batched_run_resumes_and_goes_on_with_the_next_epoch(ds, num_workers, persistent) -> None:
    options = {"num_workers": num_workers, "persistent_workers": persistent and num_workers > 0}
    reader = copy(ds.batch(4))
    straight, second = stream(reader), stream(reader)
    loader = rowmill.DataLoader(ds.batch(4), **options)
    iterator = iter(loader)
    read = [ids(item) for item in itertools.islice(iterator, 7)]
    state = through_json(loader.state_dict())
    assert state["position"] == 28
    assert "holes" not in state
    assert read + stream(iterator) == straight
    assert stream(loader) == second

    again = rowmill.DataLoader(ds.batch(4), **options)
    again.load_state_dict(state)
    assert again.state_dict()["position"] == 28
    assert stream(again) == straight[7:]
    assert stream(again) == second
    # Also where it is read without workers, by two ranks.
    jobs = [ds.shard(2, rank).batch(2, remainder="keep") for rank in range(2)]
    for job in jobs:
        job.load_state_dict(state)
    assert sorted(flat(flat(map(stream, jobs)))) == sorted(flat(straight[7:]))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_state_moves_with_every_batch_and_ends_with_the_epoch(ds, num_workers) -> None:
    loader = rowmill.DataLoader(ds.batch(4), num_workers=num_workers)
    assert (loader.state_dict()["epoch"], loader.state_dict()["position"]) == (0, 0)
    positions = [loader.state_dict()["position"] for _ in loader]
    assert positions == list(range(4, 92, 4))
    state = loader.state_dict()
    assert (state["epoch"], state["position"]) == (1, 0)
    second = stream(loader)
    again = rowmill.DataLoader(ds.batch(4), num_workers=num_workers)
    again.load_state_dict(state)
    assert stream(again) == second


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("kill", [21, 22])
def test_a_state_before_and_after_the_short_last_batch_resumes(ds, num_workers, kill) -> None:
    ds = ds.skip(1).batch(4)
    reader = copy(ds)
    straight, second = stream(reader), stream(reader)
    loader = rowmill.DataLoader(copy(ds), num_workers=num_workers)
    iterator = iter(loader)
    list(itertools.islice(iterator, kill))
    again = rowmill.DataLoader(copy(ds), num_workers=num_workers)
    again.load_state_dict(through_json(loader.state_dict()))
    left = straight[kill:]
    rest = stream(again)
    assert rest == left or (not left and rest == second)
    if left:
        assert stream(again) == second


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_rows_that_torch_collates_come_exactly_once(ds, num_workers, after) -> None:
    loader = rowmill.DataLoader(ds, batch_size=5, num_workers=num_workers)
    iterator = iter(loader)
    read = flat(ids(item) for item in itertools.islice(iterator, 7))
    state = through_json(loader.state_dict())
    assert len(json.dumps(state)) <= 1024
    again = rowmill.DataLoader(ds, batch_size=5, num_workers=after)
    again.load_state_dict(state)
    some = flat(ids(item) for item in itertools.islice(iter(again), 4))
    third = rowmill.DataLoader(ds, batch_size=5, num_workers=num_workers)
    third.load_state_dict(through_json(again.state_dict()))
    assert sorted(read + some + flat(stream(third))) == list(range(88))


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_a_filtered_run_resumes_on_other_workers(ds, num_workers, after) -> None:
    ds = ds.filter(_is_wanted).batch(4)
    loader = rowmill.DataLoader(copy(ds), num_workers=num_workers)
    straight = stream(loader)
    second = stream(loader)
    assert sorted(flat(straight)) == sorted(flat(second)) == [n for n in range(88) if n % 3 != 1]
    assert straight != second
    loader = rowmill.DataLoader(copy(ds), num_workers=num_workers)
    iterator = iter(loader)
    read = [ids(item) for item in itertools.islice(iterator, 5)]
    state = through_json(loader.state_dict())
    again = rowmill.DataLoader(copy(ds), num_workers=after)
    again.load_state_dict(state)
    rest = stream(again)
    assert sorted(flat(read + rest)) == sorted(flat(straight))
    if after == num_workers:
        assert sorted(map(sorted, read + rest)) == sorted(map(sorted, straight))


def test_a_spawned_run_resumes(ds) -> None:
    straight = stream(copy(ds.batch(4)))
    loader = rowmill.DataLoader(ds.batch(4), num_workers=2, multiprocessing_context="spawn")
    iterator = iter(loader)
    assert [ids(item) for item in itertools.islice(iterator, 5)] == straight[:5]
    again = rowmill.DataLoader(ds.batch(4), num_workers=2)
    again.load_state_dict(through_json(loader.state_dict()))
    assert stream(again) == straight[5:]


def test_it_reads_rowmill_datasets_only() -> None:
    with pytest.raises(rowmill.SchemaMismatchError, match="not list"):
        rowmill.DataLoader([1, 2, 3])


def test_its_length_is_the_datasets(ds) -> None:
    assert len(rowmill.DataLoader(ds.batch(4), num_workers=2)) == 22
