"""A plain torch DataLoader over a rowmill dataset: epochs move on, partition is by worker, state is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from shards import copy, flat, stream, write_shards
from torch.utils.data import DataLoader, IterableDataset

import rowmill


@pytest.fixture
def ds(tmp_path: Path) -> rowmill.Dataset:
    return rowmill.open(write_shards(tmp_path / "data", columns=["id", "text", "tokens"])).shuffle(seed=42)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_every_pass_is_the_next_epoch_and_the_same_as_without_workers(ds, num_workers) -> None:
    expected = [stream(reader) for reader in [copy(ds.batch(4))] for _ in range(3)]
    loader = DataLoader(ds.batch(4), batch_size=None, num_workers=num_workers)
    passes = [stream(loader) for _ in range(3)]
    assert passes == expected
    assert passes[0] != passes[1] != passes[2]
    assert sorted(flat(passes[1])) == list(range(70))


def test_persistent_workers_move_on_too(ds) -> None:
    loader = DataLoader(ds.batch(4), batch_size=None, num_workers=2, persistent_workers=True)
    expected = copy(ds.batch(4))
    assert [stream(loader) for _ in range(3)] == [stream(expected) for _ in range(3)]


def test_spawned_workers_move_on_too(ds) -> None:
    loader = DataLoader(
        ds.batch(4), batch_size=None, num_workers=2, persistent_workers=True, multiprocessing_context="spawn"
    )
    expected = copy(ds.batch(4))
    assert [stream(loader) for _ in range(2)] == [stream(expected) for _ in range(2)]


@pytest.mark.parametrize("num_workers", [0, 1, 2, 3])
def test_unbatched_rows_come_exactly_once(ds, num_workers) -> None:
    loader = DataLoader(ds.select_columns(["id", "tokens"]), batch_size=6, num_workers=num_workers)
    for _ in range(2):
        assert sorted(flat(stream(loader))) == list(range(70))


def test_set_epoch_reaches_workers(ds) -> None:
    batched = ds.batch(4)
    loader = DataLoader(batched, batch_size=None, num_workers=2, persistent_workers=True)
    first, second = stream(loader), stream(loader)
    batched.set_epoch(0)
    assert stream(loader) == first
    assert stream(loader) == second


def test_an_abandoned_pass_is_begun_anew(ds) -> None:
    loader = DataLoader(ds.batch(4), batch_size=None, num_workers=2)
    iterator = iter(loader)
    begun = [next(iterator)["id"].tolist() for _ in range(3)]
    del iterator
    assert stream(loader)[:3] == begun


@pytest.mark.parametrize("num_workers", [1, 2])
def test_state_of_a_dataset_that_workers_read_is_refused_with_two_ways_out(ds, num_workers) -> None:
    batched = ds.batch(4)
    iterator = iter(DataLoader(batched, batch_size=None, num_workers=num_workers))
    next(iterator)
    with pytest.raises(rowmill.StateMismatchError) as raised:
        batched.state_dict()
    assert "ds.loader()" in str(raised.value)
    assert "rowmill.DataLoader" in str(raised.value)
    assert "StatefulDataLoader" in str(raised.value)


def test_the_dataset_without_workers_tells_its_state_through_the_dataloader(ds) -> None:
    batched = ds.batch(5)
    iterator = iter(DataLoader(batched, batch_size=None))
    next(iterator)
    next(iterator)
    assert batched.state_dict()["position"] == 10


def test_a_resumed_dataset_is_resumed_in_the_workers_once(ds) -> None:
    reader = ds.batch(4)
    straight = [stream(copy(ds.batch(4)))]
    iterator = iter(reader)
    for _ in range(3):
        next(iterator)
    resumed = ds.batch(4)
    resumed.load_state_dict(reader.state_dict())
    loader = DataLoader(resumed, batch_size=None, num_workers=2)
    assert stream(loader) == straight[0][3:]
    resumed.set_epoch(0)
    list(loader)
    expected = copy(ds.batch(4))
    list(expected)
    assert stream(loader) == stream(expected)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_error_in_a_worker_keeps_its_type_and_place(ds, num_workers, tmp_path: Path) -> None:
    path = tmp_path / "data" / "shard-2.arrow"
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(rowmill.CorruptShardError, match=r"shard-2\.arrow"):
        list(DataLoader(ds.batch(4), batch_size=None, num_workers=num_workers))


def test_more_workers_than_rows_get_nothing_but_nobody_gets_everything(tmp_path: Path) -> None:
    ds = rowmill.open(write_shards(tmp_path, [2], columns=["id"]))
    assert sorted(flat(stream(DataLoader(ds, batch_size=None, num_workers=3)))) == [0, 1]


def test_a_dataset_is_an_iterable_dataset_with_a_length(ds) -> None:
    assert isinstance(ds, IterableDataset)
    assert len(DataLoader(ds.batch(4), batch_size=None)) == 18
