"""A dataset as a `datasets.IterableDataset`: the same rows, order and resume."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hf_rows import NUM_ROWS, ids
from hypothesis import given, settings
from hypothesis import strategies as st
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


@pytest.mark.parametrize("mode", ["window", "shard", "row", "none"])
def test_to_hf_has_this_order_in_every_epoch(shuffled: rowmill.Dataset, mode: Any) -> None:
    ours = shuffled.shuffle(seed=6, mode=mode).shard(1, 0)
    theirs = ours.to_hf()
    for epoch in (0, 1, 2, 7, 0):
        theirs.set_epoch(epoch)
        assert ids(theirs) == ids(ours.set_epoch(epoch)), epoch
        assert pa.concat_tables(theirs.with_format("arrow").iter(500)).num_rows == len(ours)
    began = ours.set_epoch(5).to_hf()
    assert (began.epoch, ids(began)) == (5, ids(ours.set_epoch(5)))
    mapped = ours.to_hf().map(lambda row: {"n": row["id"]})
    mapped.set_epoch(3)
    assert [row["n"] for row in mapped] == ids(ours.set_epoch(3))


def test_a_seed_of_datasets_gives_to_hf_another_order(shuffled: rowmill.Dataset) -> None:
    ours = shuffled.shard(1, 0)

    def order(dataset: Any, epoch: int = 0) -> list[int]:
        # Only where the rows come from: the buffer holds one.
        made = dataset.shuffle(seed=9, buffer_size=1)
        made.set_epoch(epoch)
        return ids(made)

    orders = [ids(ours), order(ours.to_hf()), order(ours.to_hf(), 1), order(ours.to_hf(), 2)]
    assert len({tuple(one) for one in orders}) == 4
    assert len({tuple(sorted(one)) for one in orders}) == 1
    assert order(ours.to_hf(), 2) == orders[3]
    drawn = ours.to_hf().shuffle(generator=np.random.default_rng(), buffer_size=1)
    assert sorted(ids(drawn)) == sorted(orders[0])
    fixed = ours.take(50).shuffle(seed=6, reshuffle_each_epoch=False)
    for epoch in range(2):
        assert order(fixed.to_hf(), epoch) == ids(fixed), "an order that is asked to stay stays"


def test_a_state_of_a_later_epoch_resumes_in_it(shuffled: rowmill.Dataset) -> None:
    ours, theirs = shuffled.shard(1, 0), shuffled.to_hf()
    theirs.set_epoch(4)
    made = iter(theirs)
    before = [next(made)["id"] for _ in range(100)]
    again = shuffled.to_hf()
    again.set_epoch(4)
    again.load_state_dict(through_json(theirs.state_dict()))
    assert before + ids(again) == ids(ours.set_epoch(4))


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


# As Arrow tables.


def is_odd(row: dict[str, Any]) -> bool:
    return bool(row["label"] == 1)


def rows_of(batches: Any) -> list[int]:
    return [number for batch in batches for number in pa.table(batch).column("id").to_pylist()]


def test_to_hf_hands_out_tables(shuffled: rowmill.Dataset, tmp_path: Path) -> None:
    expected = ids(shuffled.shard(1, 0))
    theirs = shuffled.to_hf()
    arrow = list(theirs.with_format("arrow").iter(300))
    assert rows_of(arrow) == expected
    assert {batch.num_rows for batch in arrow[:-1]} == {300}
    assert arrow[0].schema.equals(theirs.features.arrow_schema)
    polars = pytest.importorskip("polars")
    frames = list(theirs.with_format("polars").iter(300))
    assert isinstance(frames[0], polars.DataFrame)
    assert rows_of(frames) == expected
    assert [row["id"] for row in theirs.with_format("numpy")] == expected
    mapped = theirs.with_format("arrow").map(lambda table: table.append_column("n", table["id"]), batched=True)
    assert [row["n"] for row in mapped.with_format(None)] == expected
    theirs.to_parquet(tmp_path / "rows.parquet")
    assert ids(rowmill.open(tmp_path / "rows.parquet")) == expected
    assert ids(shuffled.with_format("arrow").to_hf().with_format(None)) == expected
    kept = shuffled.filter(pc.field("label") == 1)
    assert rows_of(kept.to_hf().with_format("arrow").iter(7)) == ids(kept.shard(1, 0))
    assert kept.to_hf().features == shuffled.features
    odd = shuffled.filter(lambda row: row["label"] == 1).to_hf()
    assert rows_of(odd.with_format("arrow").iter(7)) == ids(kept.shard(1, 0))


@pytest.mark.parametrize("taken", [0, 1, 3, 5])
@pytest.mark.parametrize("size", [1, 70, 450, 1000])
def test_tables_resume_at_the_next_batch(shuffled: rowmill.Dataset, taken: int, size: int) -> None:
    for chosen in (
        shuffled,
        shuffled.filter(pc.field("label") == 1),
        shuffled.filter(is_odd),
        shuffled.shard(3, 1),
        shuffled.repeat(2),
    ):
        whole = rows_of(itertools.islice(chosen.to_hf().with_format("arrow").iter(size), 12))
        theirs = chosen.to_hf().with_format("arrow")
        made = theirs.iter(size)
        before = rows_of(itertools.islice(made, taken))
        again = chosen.to_hf().with_format("arrow")
        again.load_state_dict(through_json(theirs.state_dict()))
        assert before + rows_of(itertools.islice(again.iter(size), 12 - taken)) == whole


@given(taken=st.integers(0, 1150), ranks=st.integers(1, 3))
@settings(max_examples=15)
def test_tables_begin_at_any_row(loaded: Any, taken: int, ranks: int) -> None:
    ours = rowmill.from_dataset(loaded["train"].select(range(0, NUM_ROWS, 2))).shuffle(seed=6).shard(ranks, 0)
    examples, again = ours.to_hf()._ex_iterable, ours.to_hf()._ex_iterable
    state = examples._init_state_dict()
    before = [row["id"] for _, row in itertools.islice(examples, taken)]
    again._init_state_dict().update(through_json(state))
    assert before + rows_of(table for _, table in again.iter_arrow()) == ids(ours.to_hf())


def test_tables_are_dealt_to_nodes_and_workers(shuffled: rowmill.Dataset) -> None:
    from datasets.distributed import split_dataset_by_node
    from shards import as_worker

    whole, found = ids(shuffled.to_hf()), []
    for rank in range(3):
        node = split_dataset_by_node(shuffled.to_hf(), rank=rank, world_size=3).with_format("arrow")
        assert rows_of(node.iter(100)) == whole[rank::3]
        for worker in range(2):
            with as_worker(2, worker):
                found += rows_of(node)
    assert sorted(found) == sorted(whole)


def test_small_tables_of_large_rows(tmp_path: Path) -> None:
    table = pa.table({"id": range(64), "blob": [bytes(1 << 18)] * 64})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=8)
    tables = [made for _, made in rowmill.open(tmp_path).to_hf()._ex_iterable.iter_arrow()]
    assert max(made.nbytes for made in tables) < 5 << 20
    assert rows_of(tables) == list(range(64))


@pytest.mark.parametrize("num_rows", [0, 1, 5, 50, 1000])
def test_to_hf_is_no_more_shards_than_rows(num_rows: int, tmp_path: Path) -> None:
    made = rowmill.from_dataset(datasets.Dataset.from_dict({"id": list(range(num_rows))})).to_hf()
    assert made.num_shards <= max(num_rows, 1)
    # As `push_to_hub` does where nobody says how many: a file for each.
    files = [made.shard(made.num_shards, index) for index in range(made.num_shards)]
    assert sorted(row["id"] for file in files for row in file) == list(range(num_rows))
    assert all(list(file) for file in files) or num_rows == 0
