"""A dataset as a `datasets.IterableDataset`: the same rows, order and resume."""

from __future__ import annotations

import pickle
from typing import Any

import pyarrow as pa
import pytest
from hf_rows import ids
from shards import through_json

import rowmill

datasets = pytest.importorskip("datasets")


def test_to_hf_gives_the_rows_in_this_order(shuffled: rowmill.Dataset, train: Any) -> None:
    theirs = shuffled.to_hf()
    assert isinstance(theirs, datasets.IterableDataset)
    assert theirs.features == train.features
    assert list(theirs) == list(shuffled)
    assert list(theirs) == list(theirs), "each pass is the same one until set_epoch"
    kept = theirs.filter(lambda row: row["label"] == 1).map(lambda row: {"n": row["id"]})
    assert [row["n"] for row in kept] == [number for number in ids(shuffled.shard(1, 0)) if number % 3 == 1]


@pytest.mark.parametrize("taken", [0, 1, 777])
def test_to_hf_resumes_at_the_next_row(shuffled: rowmill.Dataset, taken: int) -> None:
    whole = ids(shuffled.to_hf())
    theirs = shuffled.to_hf()
    made = iter(theirs)
    before = [next(made)["id"] for _ in range(taken)]
    again = shuffled.to_hf()
    again.load_state_dict(through_json(theirs.state_dict()))
    assert before + ids(again) == whole
    once_more = again.state_dict()
    last = shuffled.to_hf()
    last.load_state_dict(once_more)
    assert ids(last) == []


@pytest.mark.parametrize("num_nodes", [2, 3, 4])
def test_to_hf_is_dealt_to_nodes_and_workers(shuffled: rowmill.Dataset, num_nodes: int) -> None:
    from datasets.distributed import split_dataset_by_node
    from shards import as_worker

    whole, found = ids(shuffled.to_hf()), []
    for rank in range(num_nodes):
        node = split_dataset_by_node(shuffled.to_hf(), rank=rank, world_size=num_nodes)
        assert ids(node) == whole[rank::num_nodes]
        for worker in range(2):
            with as_worker(2, worker):
                found += ids(node)
    assert sorted(found) == sorted(whole)


def test_to_hf_has_a_new_order_each_epoch(shuffled: rowmill.Dataset) -> None:
    theirs = shuffled.to_hf()
    first = ids(theirs)
    theirs.set_epoch(1)
    second = ids(theirs)
    assert sorted(second) == sorted(first)
    assert second != first
    unshuffled = shuffled.shuffle(mode="none").to_hf()
    assert len(ids(unshuffled)) == len(first)


def test_to_hf_through_a_dataloader(shuffled: rowmill.Dataset) -> None:
    from torch.utils.data import DataLoader

    loader = DataLoader(shuffled.to_hf().select_columns(["id"]), batch_size=10, num_workers=2)
    assert sorted(number for batch in loader for number in batch["id"].tolist()) == sorted(ids(shuffled.to_hf()))


def test_to_hf_is_dealt_once(shuffled: rowmill.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ids(shuffled.to_hf())
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert ids(shuffled.to_hf()) == whole, "datasets and its callers deal the rows to ranks themselves"
    assert ids(shuffled.shard(4, 2).to_hf()) == whole[2 : len(whole) // 4 * 4 : 4]
    assert pa.table(shuffled).column("id").to_pylist() == whole[1 : len(whole) // 4 * 4 : 4]


def test_to_hf_resumes_with_workers(shuffled: rowmill.Dataset) -> None:
    from torchdata.stateful_dataloader import StatefulDataLoader

    def loader() -> Any:
        return StatefulDataLoader(shuffled.to_hf().select_columns(["id"]), batch_size=10, num_workers=2)

    whole = [batch["id"].tolist() for batch in loader()]
    first = loader()
    made = iter(first)
    before = [next(made)["id"].tolist() for _ in range(33)]
    state = first.state_dict()
    del made
    again = loader()
    again.load_state_dict(state)
    assert before + [batch["id"].tolist() for batch in again] == whole


def test_to_hf_works_with_what_datasets_makes_of_it(shuffled: rowmill.Dataset) -> None:
    def mixed() -> Any:
        return datasets.interleave_datasets([shuffled.to_hf(), shuffled.skip(7).to_hf()])

    whole, half = list(mixed()), mixed()
    made = iter(half)
    before = [next(made) for _ in range(101)]
    again = mixed()
    again.load_state_dict(through_json(half.state_dict()))
    assert before + list(again) == whole
    theirs = shuffled.to_hf()
    expected = ids(theirs)
    assert ids(theirs.skip(5).take(6)) == expected[5:11]
    assert sorted(ids(theirs.shuffle(seed=1, buffer_size=50))) == sorted(expected)
    assert ids(pickle.loads(pickle.dumps(theirs))) == expected
    assert next(iter(theirs.with_format("numpy")))["id"] == expected[0]
    arrow = theirs.select_columns(["id", "text"]).with_format("arrow")
    assert next(iter(arrow.iter(3)))["id"].to_pylist() == expected[:3]


def test_to_hf_takes_rows(shuffled: rowmill.Dataset) -> None:
    with pytest.raises(rowmill.SchemaMismatchError, match=r"leave \.batch\(\) out"):
        shuffled.batch(4).to_hf()
    filtered = shuffled.filter(lambda row: row["label"] == 0).map(lambda row: {"new": row["id"]})
    theirs = filtered.to_hf()
    assert theirs.features is None
    made = iter(theirs)
    before = [next(made) for _ in range(5)]
    again = filtered.to_hf()
    again.load_state_dict(through_json(theirs.state_dict()))
    assert before + list(again) == list(filtered)
