"""The laws of order, resume and partition hold for chosen rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hf_rows import NUM_ROWS, ids
from hypothesis import given
from hypothesis import strategies as st
from shards import through_json

import rowmill

datasets = pytest.importorskip("datasets")


ALL = list(range(400))


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """400 rows in blocks of 37, in two files."""
    folder = tmp_path_factory.mktemp("some")
    table = pa.table({"id": pa.array(ALL, pa.int64())})
    for part, (start, stop) in enumerate(((0, 150), (150, 400))):
        with pa.OSFile(str(folder / f"{part}.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table.slice(start, stop - start), max_chunksize=37)
    paths = [str(folder / f"{part}.arrow") for part in range(2)]
    return datasets.concatenate_datasets([datasets.Dataset.from_file(path) for path in paths])


CHOICES = st.one_of(
    st.lists(st.sampled_from(ALL), min_size=1, max_size=300),
    st.lists(st.sampled_from(ALL), min_size=1, unique=True).map(sorted),
    st.tuples(st.integers(0, 399), st.integers(1, 400)).map(lambda ends: ALL[ends[0] :][: ends[1]]),
    st.permutations(ALL),
)


@given(
    choice=CHOICES,
    mode=st.sampled_from(["window", "shard", "row", "none"]),
    ranks=st.integers(1, 3),
    batch=st.integers(1, 7),
    stop=st.integers(0, 30),
    seed=st.integers(0, 5),
)
def test_chosen_rows_keep_the_laws(
    some: Any, choice: list[int], mode: Any, ranks: int, batch: int, stop: int, seed: int
) -> None:
    ours = rowmill.from_dataset(some.select(choice)).shuffle(seed, mode=mode, num_lanes=4, window_bytes=700)
    order = ours.row_ids(0, len(choice))
    assert sorted(order) == list(range(len(choice))), "every chosen row once"
    assert ids(ours) == [choice[place] for place in order]
    assert mode != "none" or ids(ours.shuffle(mode="none")) == choice
    job = [ours.shard(ranks, rank).batch(batch, remainder="keep") for rank in range(ranks)]
    steps = [[ids_of(made) for made in rank] for rank in job]
    dealt = [number for step in zip_longest(steps) for number in step]
    assert sorted(dealt) == sorted(choice)
    for step in range(min(map(len, steps))):
        at = step * ranks * batch
        rows = sorted(number for rank in steps for number in rank[step])
        assert rows == sorted(choice[place] for place in order[at : at + ranks * batch])
    reading = ours.shard(1, 0).batch(batch)
    made = iter(reading)
    before = [ids_of(next(made)) for _ in range(min(stop, len(reading)))]
    again = (
        rowmill.from_dataset(some.select(choice)).shuffle(seed, mode=mode, num_lanes=4, window_bytes=700).batch(batch)
    )
    again.load_state_dict(through_json(made.state_dict()))
    assert before + [ids_of(made) for made in again] == [ids_of(made) for made in ours.batch(batch)]


def zip_longest(steps: list[list[list[int]]]) -> list[list[int]]:
    return [[number for rank in steps if at < len(rank) for number in rank[at]] for at in range(max(map(len, steps)))]


def ids_of(batch: dict[str, Any]) -> list[int]:
    return list(batch["id"].tolist())


def test_filters_clips_and_columns_work_on_chosen_rows(train: Any) -> None:
    theirs = train.shuffle(seed=9)
    ours = rowmill.from_dataset(theirs)
    order = ids(theirs)
    assert ids(ours.skip(10).take(100)) == order[10:110]
    assert ids(ours.filter(lambda row: row["label"] == 1)) == [number for number in order if number % 3 == 1]
    assert ids(ours.filter(pc.field("label") == 2)) == [number for number in order if number % 3 == 2]
    shuffled = ours.shuffle(seed=1, num_lanes=4)
    assert sorted(ids(shuffled.filter(lambda row: row["label"] == 1))) == list(range(1, NUM_ROWS, 3))
    assert ids(shuffled.take(50)) == [order[place] for place in shuffled.row_ids(0, 50)]


def test_a_cursor_of_other_chosen_rows_is_refused(train: Any) -> None:
    ours = rowmill.from_dataset(train.shuffle(seed=1)).batch(4)
    made = iter(ours)
    next(made)
    with pytest.raises(rowmill.StateMismatchError, match="fingerprint"):
        rowmill.from_dataset(train.shuffle(seed=2)).batch(4).load_state_dict(made.state_dict())
