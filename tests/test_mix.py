"""rowmill.mix: what it refuses and says, its weights and curricula, its cursor, and its golden order."""

from __future__ import annotations

import itertools
import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shards import as_worker, copy, ids, through_json

import rowmill

NUM_LANES = 4


def write(path: Path, first: int, number: int, **columns: Any) -> Path:
    rows = {"id": pa.array(range(first, first + number), pa.int64()), **columns}
    table = pa.table(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=7)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    return path


@pytest.fixture
def made(tmp_path: Path) -> dict[str, rowmill.Dataset]:
    """Three sources of 100, 40 and 12 rows; ids begin at 0, 1000 and 2000."""
    sizes = {"web": 100, "code": 40, "books": 12}
    files = {name: write(tmp_path / f"{name}.arrow", 1_000 * at, size) for at, (name, size) in enumerate(sizes.items())}
    return {
        name: rowmill.open(path, index_dir=tmp_path / "index").shuffle(seed=at, num_lanes=NUM_LANES)
        for at, (name, path) in enumerate(files.items())
    }


WEIGHTS = {"web": 0.5, "code": 0.3, "books": 0.2}


def counts(rows: list[int]) -> list[int]:
    seen = Counter(row // 1_000 for row in rows)
    return [seen[at] for at in range(3)]


def first_rows(ds: rowmill.Dataset, number: int) -> list[int]:
    return [row["id"] for row in itertools.islice(iter(ds), number)]


def test_the_order_of_a_mix_is_pinned(made: dict[str, rowmill.Dataset]) -> None:
    ds = rowmill.mix(made, WEIGHTS, seed=7, stopping="repeat")
    # A change here breaks every stored cursor: raise the version of the mix instead.
    assert first_rows(ds, 24) == GOLDEN
    assert counts(first_rows(ds, 1_000)) == [500, 300, 200]


def test_counts_and_epochs_stand_in_the_statistics(made: dict[str, rowmill.Dataset]) -> None:
    ds = rowmill.mix(made, WEIGHTS, seed=7, stopping="repeat").batch(10)
    loader = ds.loader()
    batches = itertools.islice(iter(loader), 30)
    seen = counts([row for batch in batches for row in ids(batch)])
    assert {name: one["rows"] for name, one in loader.stats()["mix"].items()} == dict(zip(made, seen, strict=True))
    assert loader.stats()["mix"]["books"]["epochs"] == 60 / 12
    whole = rowmill.mix(made, WEIGHTS).loader()
    read = [row["id"] for row in whole]
    assert [one["rows"] for one in whole.stats()["mix"].values()] == counts(read)


def test_a_curriculum_changes_the_weights_at_its_samples(made: dict[str, rowmill.Dataset]) -> None:
    web, code, books = ({name: float(name == one) for name in made} for one in made)
    steps = [
        {"start": 0, "weights": web},
        {"start": 20, "weights": code},
        {"start": 60, "weights": books, "ramp": True},
    ]
    rows = first_rows(rowmill.mix(made, steps, stopping="repeat"), 80)
    assert counts(rows[:20]) == [20, 0, 0]
    # From all code to all books, in a line: half of each on the way.
    assert counts(rows[20:60]) == [0, 20, 20]
    assert counts(rows[60:]) == [0, 0, 20]


@pytest.mark.parametrize(
    ("weights", "named"),
    [
        ({"web": 1, "code": 1}, "'books' has no weight"),
        ({**WEIGHTS, "more": 1}, "name 'more'"),
        ({**WEIGHTS, "web": -1}, "'web' is -1"),
        ({**WEIGHTS, "web": float("nan")}, "nan"),
        (dict.fromkeys(WEIGHTS, 0), "all weights are 0"),
        ([], "at least one entry"),
        ([{"start": 0}], "an entry"),
        ([{"start": 5, "weights": WEIGHTS}], "starts at sample 0"),
        ([{"start": 0, "weights": WEIGHTS, "ramp": True}], "nothing to come from"),
    ],
)
def test_weights_that_are_none_are_refused_by_name(made: dict[str, Any], weights: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        rowmill.mix(made, weights)


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        (lambda ds: ds.shard(2, 0), rowmill.TopologyError, "put .shard after"),
        (lambda ds: ds.repeat(), rowmill.SchemaMismatchError, r"\.repeat\(\)"),
        (lambda ds: ds.batch(2), rowmill.SchemaMismatchError, r"\.batch"),
        (lambda ds: ds.map(dict, batched=True), rowmill.SchemaMismatchError, "batched map, which a mix does not take"),
        (lambda ds: ds.map(dict).filter(bool), rowmill.SchemaMismatchError, "filter, which a mix does not take over"),
        (lambda ds: ds.filter(bool), rowmill.SchemaMismatchError, "filter"),
        (lambda ds: ds.with_format("numpy"), rowmill.SchemaMismatchError, "with_format"),
        (lambda ds: ds.shuffle(num_lanes=3), rowmill.TopologyError, "'web' has 4 lanes and source 'code' 3"),
        (lambda ds: ds.rename_columns({"id": "number"}), rowmill.SchemaMismatchError, "'code' has no column 'id'"),
        (lambda ds: rowmill.mix({"one": ds}), rowmill.SchemaMismatchError, "'code' is a mix already"),
        (lambda ds: ds.take(3), rowmill.TopologyError, "'code' of the mix has 3 rows, fewer than the mix has lanes"),
    ],
)
def test_what_a_source_cannot_bring_along_is_refused_by_name(
    made: dict[str, rowmill.Dataset], change: Any, error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        rowmill.mix({**made, "code": change(made["code"])}, WEIGHTS, stopping="repeat")


def test_a_shuffle_after_the_mix_says_where_it_belongs(made: dict[str, rowmill.Dataset]) -> None:
    with pytest.raises(rowmill.SchemaMismatchError, match="on each source"):
        rowmill.mix(made, WEIGHTS).shuffle(1)


def test_types_that_differ_are_refused_and_names_of_items_are_not(tmp_path: Path) -> None:
    tokens = pa.array([[1, 2]] * 8, pa.list_(pa.int32()))
    files = {
        "arrow": write(tmp_path / "one.arrow", 0, 8, tokens=tokens),
        "parquet": write(tmp_path / "two.parquet", 8, 8, tokens=tokens),
        "wide": write(tmp_path / "three.arrow", 16, 8, tokens=tokens.cast(pa.list_(pa.int64()))),
    }
    opened = {name: rowmill.open(path, index_dir=tmp_path / "index") for name, path in files.items()}
    with pytest.raises(rowmill.SchemaMismatchError, match=r"'?tokens.*arrow.*wide"):
        rowmill.mix(opened)
    ds = rowmill.mix({name: opened[name] for name in ("arrow", "parquet")})
    rows = list(ds)
    assert sorted(row["id"] for row in rows) == list(range(16))
    assert all(row["tokens"] == [1, 2] for row in rows)
    for name in ("torch", "numpy", "arrow"):
        batch = next(iter(ds.batch(16).with_format(name)))
        assert sorted(ids(batch)) == list(range(16))


def test_columns_may_be_chosen_renamed_and_stand_in_any_order(tmp_path: Path) -> None:
    text = pa.array([f"t{at}" for at in range(8)])
    one = rowmill.open(write(tmp_path / "one.arrow", 0, 8, text=text, more=text), index_dir=tmp_path)
    other = rowmill.open(write(tmp_path / "two.parquet", 8, 8, body=text), index_dir=tmp_path)
    ds = rowmill.mix(
        {"one": one.select_columns(["text", "id"]), "other": other.rename_columns({"body": "text"})}
    ).rename_columns({"text": "words"})
    assert ds.column_names == ["words", "id"] == ds.schema.names
    assert {row["id"]: row["words"] for row in ds} == {at: f"t{at % 8}" for at in range(16)}


def test_rows_taken_of_sources_and_of_the_mix(made: dict[str, rowmill.Dataset]) -> None:
    few = {name: ds.take(8) for name, ds in made.items()}
    ds = rowmill.mix(few, stopping="all_exhausted")
    assert {row["id"] for row in ds} == {row["id"] for name in few for row in few[name]}
    mixed = rowmill.mix(made, WEIGHTS, stopping="repeat")
    whole = first_rows(mixed, 30)
    assert first_rows(mixed.take(30), 99) == whole
    assert first_rows(mixed.skip(10), 20) == whole[10:]
    assert len(mixed.take(30)) == 30
    with pytest.raises(TypeError, match="never stops"):
        len(mixed)
    with pytest.raises(rowmill.SchemaMismatchError, match="has no 3 epochs"):
        iter(mixed.repeat(3))


def test_what_is_known_of_a_mix_without_reading_it(made: dict[str, rowmill.Dataset]) -> None:
    ds = rowmill.mix(made, WEIGHTS)
    facts = ds.describe()
    assert facts["mix"]["web"]["share"] == 0.5
    assert facts["mix"]["books"]["num_rows"] == 12
    json.dumps(facts)
    assert ds._plan.source.rust.locate([0, 100, 151]) == [(0, 0, 0), (1, 0, 0), (2, 1, 4)]
    assert "mix" in repr(ds)
    again = rowmill.mix(dict(made), WEIGHTS)
    assert ds.fingerprint == again.fingerprint != rowmill.mix({"web": made["web"], "code": made["code"]}).fingerprint


def test_a_changed_mix_is_refused_by_name_and_with_the_flag_it_is_not(made: dict[str, rowmill.Dataset]) -> None:
    reader = rowmill.mix(made, WEIGHTS, stopping="repeat").batch(5)
    list(itertools.islice(reader, 4))
    state = through_json(reader.state_dict())
    cases = {
        "share 0.4": rowmill.mix(made, {**WEIGHTS, "web": 0.333_333_333_333}, stopping="repeat"),
        "'books'": rowmill.mix({name: made[name] for name in ("web", "code")}, stopping="repeat"),
        "other data, or another order": rowmill.mix({**made, "web": made["web"].shuffle(99, num_lanes=4)}, WEIGHTS),
        "stopping is 'first_exhausted'": rowmill.mix(made, WEIGHTS),
        "seed is 1": rowmill.mix(made, WEIGHTS, seed=1, stopping="repeat"),
        "the dataset is no mix": made["web"],
    }
    for named, ds in cases.items():
        if "other data" in named:
            ds = ds.repeat()
        with pytest.raises(rowmill.StateMismatchError, match=named):
            ds.batch(5).load_state_dict(state)
    alone = made["web"].batch(5)
    mixed = rowmill.mix(made, WEIGHTS).batch(5)
    with pytest.raises(rowmill.StateMismatchError, match="the dataset is a mix"):
        mixed.load_state_dict(alone.state_dict())
    changed = cases["'books'"].batch(5)
    changed.load_state_dict(state, allow_remix=True)
    assert [entry[0] for entry in changed.state_dict()["mix"]["history"]] == [0, 20]
    assert all(row < 2_000 for batch in itertools.islice(iter(changed), 20) for row in ids(batch))


def test_a_mix_that_ends_is_not_changed_on_its_way(made: dict[str, rowmill.Dataset]) -> None:
    reader = rowmill.mix(made, WEIGHTS).batch(5)
    next(iter(reader))
    other = rowmill.mix(made).batch(5)
    with pytest.raises(rowmill.StateMismatchError, match=r"stopping=\"repeat\" or \.repeat"):
        other.load_state_dict(reader.state_dict(), allow_remix=True)


def test_one_workers_state_is_merged_before_a_change(made: dict[str, rowmill.Dataset]) -> None:
    states = []
    for worker in range(2):
        with as_worker(2, worker):
            iterator = iter(rowmill.mix(made, WEIGHTS, stopping="repeat").batch(5))
            list(itertools.islice(iterator, 2 + worker))
            states.append(through_json(iterator.state_dict()))
    changed = rowmill.mix(made, stopping="repeat").batch(5)
    with pytest.raises(rowmill.StateMismatchError, match="merge_states"):
        changed.load_state_dict(states[0], allow_remix=True)
    merged = through_json(rowmill.merge_states(states))
    changed.load_state_dict(merged, allow_remix=True)
    # The hole that a worker left is filled as it would have been.
    straight = rowmill.mix(made, WEIGHTS, stopping="repeat").batch(5)
    steps = [ids(step) for step in itertools.islice(iter(straight), 5)]
    assert ids(next(iter(changed))) == steps[4]


def test_a_source_that_is_gone_is_missed_where_lanes_still_need_it(made: dict[str, rowmill.Dataset]) -> None:
    packed = rowmill.mix(made, WEIGHTS, stopping="repeat").filter(lambda row: row["id"] % 3 > 0)
    reader = packed.batch(5)
    list(itertools.islice(iter(reader), 3))
    state = through_json(reader.state_dict())
    gone = rowmill.mix({name: made[name] for name in ("web", "books")}, stopping="repeat")
    gone = gone.filter(lambda row: row["id"] % 3 > 0).batch(5)
    rows = state["lanes"]["rows"]
    if max(rows) > min(rows):
        with pytest.raises(rowmill.StateMismatchError, match=r"'code' is no more.*weight 0"):
            gone.load_state_dict(state, allow_remix=True)


def test_a_filter_that_keeps_nothing_of_an_endless_mix_is_an_error(made: dict[str, rowmill.Dataset]) -> None:
    few = {name: ds.take(8) for name, ds in made.items()}
    with pytest.raises(rowmill.SchemaMismatchError, match="kept no row of lane 0"):
        next(iter(rowmill.mix(few, stopping="repeat").filter(lambda row: row["id"] < 0)))


@pytest.mark.parametrize("part", ["sources", "history", "version", "stopping"])
def test_a_damaged_mix_in_a_cursor_is_an_error(made: dict[str, rowmill.Dataset], part: str) -> None:
    ds = rowmill.mix(made, WEIGHTS).batch(5)
    state = through_json(ds.state_dict())
    for value in (None, 7, "x", [], {}, [[0]], {"web": 3}, [[0, []]], [[5, [[0, False, [1.0]]]]]):
        state["mix"] = {**ds.state_dict()["mix"], part: value}
        with pytest.raises(rowmill.StateMismatchError):
            copy(ds).load_state_dict(state)
        with pytest.raises(rowmill.StateMismatchError):
            rowmill.merge_states([state, state])


def test_a_copy_of_a_changed_mix_goes_on(made: dict[str, rowmill.Dataset]) -> None:
    reader = rowmill.mix(made, WEIGHTS, stopping="repeat").batch(5)
    list(itertools.islice(reader, 4))
    changed = rowmill.mix(made, stopping="repeat").batch(5)
    changed.load_state_dict(reader.state_dict(), allow_remix=True)
    again = pickle.loads(pickle.dumps(changed))
    assert [ids(step) for step in itertools.islice(iter(again), 5)] == [
        ids(step) for step in itertools.islice(iter(changed), 5)
    ]


def test_a_filter_of_a_mix_skips_row_groups_of_its_parquet_files(tmp_path: Path) -> None:
    import pyarrow.compute as pc

    text = pa.array([f"t{at}" for at in range(70)])
    files = {
        "parquet": write(tmp_path / "one.parquet", 0, 70, size=pa.array(range(70)), text=text),
        "arrow": write(tmp_path / "two.arrow", 1_000, 70, size=pa.array(range(70)), text=text),
        "renamed": write(tmp_path / "three.parquet", 2_000, 70, other=pa.array(range(70)), text=text),
    }
    sources = {name: rowmill.open(file, index_dir=tmp_path).shuffle(1, num_lanes=2) for name, file in files.items()}
    sources["renamed"] = sources["renamed"].rename_columns({"other": "size"})
    for names in (("parquet", "arrow"), ("arrow", "renamed"), ("parquet", "renamed", "arrow")):
        mixed = rowmill.mix({name: sources[name] for name in names}, stopping="all_exhausted")
        loader = mixed.filter(pc.field("size") < 7).loader()
        expected = [row["id"] for row in mixed.filter(lambda row: row["size"] < 7)]
        assert [row["id"] for row in loader] == expected
        assert {row % 1_000 for row in expected} == set(range(7))
        # Of files whose columns have the names of the mix.
        assert (loader.stats()["blocks_pruned"] > 0) == ("parquet" in names)


GOLDEN = [
    35,
    2004,
    1021,
    16,
    1023,
    41,
    2007,
    40,
    44,
    1017,
    72,
    1013,
    2006,
    13,
    45,
    1026,
    86,
    2005,
    1033,
    19,
    1005,
    21,
    4,
    2002,
]


def test_the_documents_of_a_step_of_an_endless_mix_are_found_or_missed_in_the_end(tmp_path: Path) -> None:
    texts = {"a": ["some text"] * 5, "none": [""] * 5}
    files = {name: write(tmp_path / f"{name}.arrow", 0, 5, text=pa.array(rows)) for name, rows in texts.items()}
    sources = {name: rowmill.open(file, index_dir=tmp_path).shuffle(num_lanes=1) for name, file in files.items()}

    def packed(*names: str) -> rowmill.Dataset:
        mixed = rowmill.mix({name: sources[name] for name in names}, stopping="repeat")
        return mixed.tokenize("bytes", append_eos=False).pack(16).batch(4)

    rows = packed("a", "none").rows_at(5)
    assert [row.sample for row in rows] == [20, 21, 22, 23]
    assert all(sum(stop - first for _, first, stop in row.documents) == 16 for row in rows)
    with pytest.raises(rowmill.RowmillError):
        packed("none").rows_at(3)
