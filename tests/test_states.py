"""The states of all ranks as one: from a list, from files, from a folder; gathered where there is one rank only."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from shards import copy, stream, through_json, write_shards

import rowmill


def is_odd(row: dict[str, Any]) -> bool:
    return bool(row["id"] % 2)


@pytest.fixture
def ds(tmp_path: Path) -> rowmill.Dataset:
    files = write_shards(tmp_path / "data", [60, 40], columns=["id", "text"])
    return rowmill.open(files).shuffle(3, num_lanes=6).filter(is_odd)


@pytest.fixture
def states(ds: rowmill.Dataset) -> list[dict[str, Any]]:
    made = []
    for rank in range(3):
        reader = ds.shard(3, rank).batch(2)
        list(itertools.islice(reader, 4))
        made.append(through_json(reader.state_dict()))
    return made


def rest(ds: rowmill.Dataset, state: Any) -> list[list[int]]:
    job = ds.shard(1, 0).batch(6)
    job.load_state_dict(state)
    return stream(job)


@pytest.fixture
def folder(tmp_path: Path, states: list[dict[str, Any]]) -> Path:
    (tmp_path / "states").mkdir()
    for rank, state in enumerate(states):
        (tmp_path / "states" / f"rank-{rank}.json").write_text(json.dumps(state))
    return tmp_path / "states"


def test_a_list_its_files_and_their_folder_are_one_state(
    ds: rowmill.Dataset, states: list[dict[str, Any]], folder: Path
) -> None:
    straight = stream(copy(ds).shard(1, 0).batch(6))[4:]
    (folder / "trainer.json").write_text('{"step": 4}')
    (folder / "model.safetensors").write_bytes(b"\0")
    merged = rowmill.merge_states(states)
    (folder.parent / "cursor.json").write_text(json.dumps(merged))
    (folder.parent / "all.json").write_text(json.dumps(states))
    files = sorted(folder.glob("rank-*.json"))
    for state in (merged, states, tuple(states), files, [str(files[0]), states[1], files[2]], folder, str(folder)):
        assert rest(ds, state) == straight
    for file in ("cursor.json", "all.json"):
        assert rest(ds, folder.parent / file) == straight
    iterator = iter(ds.shard(1, 0).batch(6))
    iterator.load_state_dict(folder)
    assert stream(iterator) == straight
    loader = ds.shard(1, 0).batch(6).loader()
    loader.load_state_dict(files)
    assert stream(loader) == straight


def test_a_missing_or_strange_part_is_named(ds: rowmill.Dataset, states: list[dict[str, Any]], folder: Path) -> None:
    job = ds.shard(1, 0).batch(6)
    with pytest.raises(rowmill.StateMismatchError, match="state of rank 1 of 3 is missing"):
        job.load_state_dict([states[0], states[2]])
    with pytest.raises(rowmill.StateMismatchError, match="state of rank 2 is there twice"):
        job.load_state_dict([*states, states[2]])
    (folder / "rank-1.json").unlink()
    with pytest.raises(rowmill.StateMismatchError, match=r"states \(rank-0.json, rank-2.json\): .*rank 1 of 3"):
        job.load_state_dict(folder)
    for path in (folder / "rank-1.json", folder / "nowhere"):
        with pytest.raises(rowmill.MissingShardError, match="there is no state at"):
            job.load_state_dict(path)
    (folder / "empty").mkdir()
    with pytest.raises(rowmill.MissingShardError, match="holds no state"):
        job.load_state_dict(folder / "empty")
    (folder / "rank-1.json").write_bytes(b"PK\x03\x04")
    with pytest.raises(rowmill.StateMismatchError, match="unpickles nothing"):
        job.load_state_dict(folder)
    (folder / "rank-1.json").write_text("{}")
    with pytest.raises(rowmill.StateMismatchError, match="neither a rowmill cursor"):
        job.load_state_dict([folder / "rank-0.json", folder / "rank-1.json"])
    with pytest.raises(rowmill.StateMismatchError, match="no rowmill cursor but int"):
        job.load_state_dict(3)  # type: ignore[arg-type]


def test_gathering_where_there_is_one_rank_is_the_state(ds: rowmill.Dataset) -> None:
    job = ds.shard(1, 0).batch(6)
    iterator = iter(job)
    next(iterator)
    assert job.state_dict(gather=True) == job.state_dict() == iterator.state_dict(gather=True)
    assert job.loader().state_dict(gather=True) == job.state_dict()
    half = ds.shard(2, 0).batch(3)
    next(iter(half))
    with pytest.raises(rowmill.StateMismatchError, match="rank 1 of 2 is missing"):
        half.state_dict(gather=True)


@pytest.mark.parametrize(
    "path",
    [
        ("epoch",),
        ("lanes",),
        ("lanes", "rows", 0),
        ("lanes", "samples", 0),
        ("receipt", "since"),
        ("receipt", "samples"),
        ("mix", "history", 0, 1, 0, 0),
        ("mix", "history", 0, 1, 0, 1),
        ("mix", "history", 0, 1, 0, 2, 0),
    ],
)
@pytest.mark.parametrize("value", [None, -1, 1 << 70, True])
@pytest.mark.parametrize("allow_remix", [False, True])
def test_a_damaged_state_of_a_packed_mix_is_told(tmp_path: Path, path: Any, value: Any, allow_remix: bool) -> None:
    files = write_shards(tmp_path / "data", [40], columns=["id", "text"])
    source = rowmill.open(files).shuffle(3, num_lanes=2)
    ds = rowmill.mix({"one": source}, stopping="repeat").tokenize("bytes").pack(8).batch(2)
    list(itertools.islice(ds, 2))
    state = through_json(ds.state_dict())
    part = state
    for name in path[:-1]:
        part = part[name]
    if part[path[-1]] == value and type(part[path[-1]]) is type(value):
        return
    part[path[-1]] = value
    if path[-2:] == (2, 0) and value and value > 0:
        return  # a weight that is a number all the same
    with pytest.raises(rowmill.StateMismatchError, match="damaged"):
        copy(ds).load_state_dict(state, allow_remix=allow_remix)
