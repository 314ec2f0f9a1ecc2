"""merge_states: what belongs to one job becomes one cursor, and what does not is named at the merge."""

from typing import Any

import pytest
from shards import through_json

import rowmill


def is_kept(row: dict[str, Any]) -> bool:
    return len(row["text"]) % 3 != 0


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> rowmill.Dataset:
    folder = tmp_path_factory.mktemp("merge")
    return rowmill.open(rowmill.demo.write_shards(folder, num_shards=3)).shuffle(7)


def states(ds: rowmill.Dataset, num_ranks: int, num_steps: int = 3) -> list[dict[str, Any]]:
    made = []
    for rank in range(num_ranks):
        reading = iter(ds.shard(num_ranks, rank).batch(4).loader(num_threads=0))
        for _ in range(num_steps):
            next(reading)
        made.append(through_json(reading.state_dict()))  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("chosen", "problem"),
    [
        ([0], "the states of ranks 1, 2, 3 of 4 are missing"),
        ([3, 0, 1], "the state of rank 2 of 4 is missing"),
        ([0, 1, 2, 2], "the state of rank 3 of 4 is missing"),
        ([0, 1, 2, 3, 1], "the state of rank 1 is there twice"),
    ],
)
def test_ranks_that_are_missing_or_doubled_are_named(ds: rowmill.Dataset, chosen: list[int], problem: str) -> None:
    filtered = states(ds.filter(is_kept), 4)
    with pytest.raises(rowmill.StateMismatchError, match=problem):
        rowmill.merge_states([filtered[rank] for rank in chosen])


def test_the_whole_job_merges_in_any_order_and_once_more(ds: rowmill.Dataset) -> None:
    filtered = states(ds.filter(is_kept), 4)
    merged = rowmill.merge_states(filtered)
    assert merged == {**rowmill.merge_states(filtered[::-1]), "lanes": merged["lanes"]}
    for again in (merged, [merged], [merged, merged]):
        assert rowmill.merge_states(again) == merged
    with pytest.raises(rowmill.StateMismatchError, match="whole job already"):
        rowmill.merge_states([merged, filtered[0]])


def test_one_state_by_itself_is_its_ranks(ds: rowmill.Dataset) -> None:
    filtered = states(ds.filter(is_kept), 2)
    assert rowmill.merge_states(filtered[1]) == filtered[1]


def test_ranks_before_their_first_step_merge(ds: rowmill.Dataset) -> None:
    for chain in (ds, ds.filter(is_kept)):
        fresh = [chain.shard(2, rank).batch(4).state_dict() for rank in range(2)]
        merged = rowmill.merge_states(fresh)
        resumed = chain.shard(1, 0).batch(8)
        resumed.load_state_dict(merged)
        assert [batch["id"] for batch in resumed] == [batch["id"] for batch in chain.shard(1, 0).batch(8)]
    begun = states(ds.filter(is_kept), 2)
    with pytest.raises(rowmill.StateMismatchError, match="save all ranks at one step"):
        rowmill.merge_states([fresh[0], begun[1]])


def test_workers_that_are_missing_or_doubled_are_named(ds: rowmill.Dataset) -> None:
    from shards import as_worker

    for chain in (ds, ds.filter(is_kept)):
        workers = []
        for rank in range(2):
            for worker in range(2):
                with as_worker(2, worker):
                    reading = iter(chain.shard(2, rank).batch(4))
                    next(reading)
                    workers.append(through_json(reading.state_dict()))  # type: ignore[attr-defined]
        rowmill.merge_states(workers)
        with pytest.raises(rowmill.StateMismatchError, match=r"worker 1.* of rank 1 is missing"):
            rowmill.merge_states(workers[:3])
        with pytest.raises(rowmill.StateMismatchError, match="worker 0 of rank 1 is there twice"):
            rowmill.merge_states([*workers, workers[2]])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"fingerprint": 3}, "fingerprint is 3"),
        ({"fingerprint": None}, "fingerprint is None"),
        ({"order": {"mode": "window"}}, "order is"),
        ({"order": 3}, "order is 3"),
        ({"pipeline": [3]}, r"pipeline is \[3\]"),
        ({"python": 3.11}, "python is 3.11"),
        ({"num_shards": "2"}, "num_shards is '2'"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"worker": {"id": 2, "num_workers": 2, "shard": 0, "items": 0}}, "worker is"),
        ({"worker": {"id": 0, "num_workers": 2, "shard": 7, "items": 0}}, "worker is"),
        ({"worker": {"id": 0, "num_workers": 2, "shard": 0, "items": 0, "start": -1}}, "worker is"),
        ({"lanes": {"of": 2, "index": 2, "rows": [], "samples": []}}, "0 lanes as consumer 2 of 2"),
        ({"lanes": {"of": 2, "index": 0, "rows": [1], "samples": [1]}}, "1 lanes as consumer 0 of 2"),
        ({"lanes": {"of": 3, "index": 0, "rows": [0] * 22, "samples": [0] * 22}}, "consumer 0 of 3"),
    ],
)
def test_what_no_job_can_have_saved_is_named(ds: rowmill.Dataset, change: dict[str, Any], problem: str) -> None:
    cursor = {**states(ds, 2)[0], **change}
    with pytest.raises(rowmill.StateMismatchError, match=problem):
        rowmill.merge_states([cursor])
    for name in change.keys() - {"worker", "lanes"}:
        with pytest.raises(rowmill.StateMismatchError, match=f"no {name}"):
            rowmill.merge_states({key: value for key, value in cursor.items() if key != name})


def test_states_with_and_without_lanes_are_of_two_jobs(ds: rowmill.Dataset) -> None:
    plain, filtered = states(ds, 2), states(ds.filter(is_kept), 2)
    with pytest.raises(rowmill.StateMismatchError, match="not of one job"):
        rowmill.merge_states([plain[0], {**filtered[1], "pipeline": []}])


def test_a_dataloader_takes_a_state_of_the_whole_job(ds: rowmill.Dataset) -> None:
    pytest.importorskip("torch")
    merged = rowmill.merge_states(states(ds.filter(is_kept), 2))
    for rank in range(2):
        loader = rowmill.DataLoader(ds.filter(is_kept).shard(2, rank).batch(4), num_workers=0)
        loader.load_state_dict(merged)
        expected = ds.filter(is_kept).shard(2, rank).batch(4)
        expected.load_state_dict(merged)
        assert [batch["id"] for batch in loader] == [batch["id"] for batch in expected]


def test_ranks_without_lanes_stand_together(ds: rowmill.Dataset) -> None:
    plain = states(ds, 2)
    assert rowmill.merge_states(plain) == rowmill.merge_states(plain[:1]) == plain[0]
    with pytest.raises(rowmill.StateMismatchError, match="not of the same step"):
        rowmill.merge_states([plain[0], states(ds, 2, 4)[1]])


@pytest.mark.parametrize("state", [None, 5, [None], ["rank-0.json"]])
def test_what_is_no_state_is_told(state: Any) -> None:
    with pytest.raises(rowmill.StateMismatchError, match="is no state"):
        rowmill.merge_states(state)
