"""Folders of `datasets`: its cache, and what was saved with and without indices."""

from __future__ import annotations

import contextlib
import json
import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hf_rows import NUM_ROWS, ids

import rowmill

datasets = pytest.importorskip("datasets")


def cache_folder(dataset: Any) -> Path:
    return Path(dataset.cache_files[0]["filename"]).parent


def test_a_cache_folder_with_several_splits_asks_for_one(loaded: Any) -> None:
    folder = cache_folder(loaded["train"])
    with pytest.raises(ValueError, match=r'test, train; choose one, as in rowmill\.open\(\.\.\., split="test"\)'):
        rowmill.open(folder)
    for split, dataset in loaded.items():
        ours = rowmill.open(folder, split=split)
        assert list(ours) == list(dataset)
        assert ours.features == dataset.features
    with pytest.raises(rowmill.MissingShardError, match='no split "val"; it holds test, train'):
        rowmill.open(folder, split="val")


def test_shards_of_a_cache_folder_come_by_number_and_must_all_be_there(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({"id": index}) + "\n" for index in range(4000)))
    builder = datasets.load_dataset_builder("json", data_files=[str(source)] * 8, cache_dir=str(tmp_path / "cache"))
    builder.download_and_prepare(max_shard_size="8KB")
    theirs = builder.as_dataset("train")
    paths = [Path(entry["filename"]) for entry in theirs.cache_files]
    assert len(paths) > 2
    assert list(rowmill.open(builder.cache_dir)) == list(theirs)
    assert list(rowmill.from_dataset(theirs)) == list(theirs)
    paths[1].unlink()
    with pytest.raises(rowmill.MissingShardError, match=f"shard 1 of the {len(paths)} of split train is not there"):
        rowmill.open(builder.cache_dir)


def test_a_glob_over_results_of_map_says_so(train: Any, tmp_path: Path) -> None:
    for name in ("a.arrow", "cache-b.arrow"):
        shutil.copy(train.cache_files[0]["filename"], tmp_path / name)
    with pytest.warns(UserWarning, match=r"cache-b\.arrow looks like a result that datasets cached"):
        rowmill.open(str(tmp_path / "*.arrow"))


def test_split_is_refused_where_there_are_no_splits(train: Any, tmp_path: Path) -> None:
    file = train.cache_files[0]["filename"]
    for paths in (file, [file], str(Path(file).parent / "*train*.arrow")):
        with pytest.raises(ValueError, match="split="):
            rowmill.open(paths, split="train")
    train.select(range(5)).save_to_disk(tmp_path / "saved")
    assert len(rowmill.open(tmp_path / "saved", split="train")) == 5
    with pytest.raises(rowmill.MissingShardError, match='no split "test"; it holds train'):
        rowmill.open(tmp_path / "saved", split="test")


def test_results_of_map_and_filter_are_opened_by_name(loaded: Any, tmp_path: Path) -> None:
    copy = loaded["test"]
    mapped = copy.map(lambda row: {"twice": row["id"] * 2}, cache_file_name=str(tmp_path / "cache-map.arrow"))
    ours = rowmill.open(mapped.cache_files[0]["filename"])
    assert list(ours) == list(mapped)
    assert ours.features == mapped.features
    kept = copy.filter(lambda row: row["id"] % 2 == 0, cache_file_name=str(tmp_path / "cache-filter.arrow"))
    with pytest.warns(UserWarning, match=r"holds row numbers.*rowmill\.from_dataset"):
        numbers = rowmill.open(tmp_path / "cache-filter.arrow")
    assert [row["indices"] for row in numbers] == ids(kept)


@pytest.mark.parametrize("num_shards", [1, 3])
def test_saved_folders_are_read_as_they_were_saved(train: Any, tmp_path: Path, num_shards: int) -> None:
    chosen = {
        "whole": train,
        "selected": train.select([5, 1, 2200, 1]),
        "shuffled": train.shuffle(seed=4),
        "filtered": train.filter(lambda row: row["id"] % 7 == 0),
    }
    for name, dataset in chosen.items():
        dataset.save_to_disk(tmp_path / name, num_shards=num_shards)
        assert list(rowmill.open(tmp_path / name)) == list(dataset), name


def test_a_saved_dict_asks_for_its_split(loaded: Any, tmp_path: Path) -> None:
    loaded.save_to_disk(tmp_path)
    with pytest.raises(ValueError, match=r"a dataset for each split: train, test; choose one"):
        rowmill.open(tmp_path)
    assert list(rowmill.open(tmp_path, split="test")) == list(loaded["test"])
    with pytest.raises(rowmill.MissingShardError, match='no split "dev"; it holds train, test'):
        rowmill.open(tmp_path, split="dev")
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["../train"]}))
    with pytest.raises(rowmill.CorruptShardError, match="names of splits"):
        rowmill.open(tmp_path, split="../train")


# Indices, as older versions of `datasets` saved them.


def save_indices(folder: Path, table: pa.Table) -> Path:
    path = folder / "indices.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=700)
    return path


@pytest.fixture
def saved(train: Any, tmp_path: Path) -> Path:
    train.save_to_disk(tmp_path / "saved", num_shards=3)
    state = json.loads((tmp_path / "saved" / "state.json").read_text())
    state["_indices_data_files"] = [{"filename": "indices.arrow"}]
    (tmp_path / "saved" / "state.json").write_text(json.dumps(state))
    return tmp_path / "saved"


def indices_table(numbers: list[int], kind: pa.DataType | None = None) -> pa.Table:
    return pa.table({"indices": pa.array(numbers, kind or pa.uint64())})


def test_a_saved_indices_file_chooses_the_rows(saved: Path) -> None:
    numbers = [(index * 997) % NUM_ROWS for index in range(1500)] + [3, 3]
    save_indices(saved, indices_table(numbers))
    ours = rowmill.open(saved)
    assert (len(ours), ours.num_rows) == (1502, 1502)
    assert ids(ours) == numbers
    assert ours.row_ids(10, 12) == [10, 11]
    assert ids(ours.fetch([1501, 0, 1500])) == [3, 0, 3]
    shard, block, place = ours._plan.source.rust.locate([1501])[0]
    assert (shard, block, place) == (0, 0, 3), "row 3 of the files"
    assert list(pickle.loads(pickle.dumps(ours))) == list(ours)
    with pytest.raises(IndexError, match="out of range; the dataset has rows 0 to 1501"):
        ours.fetch([1502])


def test_the_fingerprint_says_which_rows_were_chosen(saved: Path) -> None:
    save_indices(saved, indices_table([1, 2, 3]))
    one = rowmill.open(saved).fingerprint
    save_indices(saved, indices_table([1, 3, 2]))
    other = rowmill.open(saved).fingerprint
    save_indices(saved, indices_table(list(range(NUM_ROWS))))
    every = rowmill.open(saved).fingerprint
    assert len({one, other, every}) == 3
    assert every == rowmill.open(str(saved / "data-*.arrow")).fingerprint, "all rows in order are no choice"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (indices_table([0, 1, NUM_ROWS]), f"index 2 is row {NUM_ROWS}, but the data has {NUM_ROWS} rows"),
        (indices_table([2**64 - 1]), "index 0 is row 18446744073709551615"),
        (indices_table([0, 1], pa.int64()), r"one column of uint64, this one has indices \(Int64\)"),
        (pa.table({"indices": pa.array(["a"])}), r"indices \(Utf8\)"),
        (pa.table({"a": pa.array([1], pa.uint64()), "b": pa.array([1], pa.uint64())}), r"a \(UInt64\), b"),
        (pa.table({"indices": pa.array([1, None], pa.uint64())}), "an index is null"),
    ],
)
def test_indices_that_choose_nothing_are_refused_by_name(saved: Path, table: pa.Table, problem: str) -> None:
    save_indices(saved, table)
    with pytest.raises(rowmill.CorruptShardError, match=problem) as caught:
        rowmill.open(saved)
    assert str(caught.value.path).endswith("indices.arrow")


def test_damaged_indices_are_typed_errors(saved: Path) -> None:
    path = save_indices(saved, indices_table(list(range(0, NUM_ROWS, 2))))
    whole = path.read_bytes()
    for size in [*range(1, len(whole), len(whole) // 40), len(whole) - 9]:
        path.write_bytes(whole[:size])
        try:
            numbers = ids(rowmill.open(saved))
        except rowmill.RowmillError:
            continue
        # A stream may end after any of its batches.
        assert numbers == list(range(0, NUM_ROWS, 2))[: len(numbers)]
        assert len(numbers) % 700 == 0 or len(numbers) == 1150
    path.unlink()
    with pytest.raises(rowmill.MissingShardError, match=r"indices\.arrow"):
        rowmill.open(saved)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"_data_files": 3}',
        '{"_data_files": []}',
        '{"_data_files": [{"filename": "../x.arrow"}]}',
        '{"_data_files": [{"filename": "data-00000-of-00003.arrow"}], "_indices_files": "x"}',
    ],
)
def test_a_damaged_state_is_a_typed_error(saved: Path, text: str) -> None:
    (saved / "state.json").write_text(text)
    with pytest.raises((rowmill.RowmillError, ValueError)):
        rowmill.open(saved)
    (saved / "state.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(rowmill.CorruptShardError, match="UTF-8"):
        rowmill.open(saved)


@pytest.mark.parametrize("name", ["state.json", "indices.arrow"])
def test_mutants_of_the_notes_are_rows_or_typed_errors(saved: Path, name: str) -> None:
    save_indices(saved, indices_table([index * 7 % NUM_ROWS for index in range(1000)]))
    whole = (saved / name).read_bytes()
    dice = random.Random(name)
    for _ in range(60):
        mutant = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            mutant[dice.randrange(len(mutant))] = dice.randrange(256)
        (saved / name).write_bytes(mutant)
        with contextlib.suppress(rowmill.RowmillError, ValueError):
            numbers = ids(rowmill.open(saved).take(20))
            assert all(number in range(NUM_ROWS) for number in numbers)


def test_indices_open_their_own_folder_only(saved: Path, train: Any) -> None:
    save_indices(saved, indices_table([1, 2]))
    with pytest.raises(ValueError, match="can only be opened alone"):
        rowmill.open([saved, train.cache_files[0]["filename"]])


def test_a_missing_shard_does_not_shift_the_chosen_rows(saved: Path) -> None:
    save_indices(saved, indices_table([0, NUM_ROWS - 1]))
    shard = saved / "data-00000-of-00003.arrow"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(rowmill.CorruptShardError):
        rowmill.open(saved, on_error="skip")


def test_a_saved_dataset_without_rows_is_named(train: Any, tmp_path: Path) -> None:
    train.select([]).save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": train.select([])}).save_to_disk(tmp_path / "splits")
    for folder, split in ((tmp_path / "saved", None), (tmp_path / "splits" / "train", "train")):
        opened = folder.parent if folder.name == "train" else folder
        with pytest.raises(rowmill.exceptions.MissingShardError, match="without rows") as caught:
            rowmill.open(opened, split=split)
        assert caught.value.path == str(folder)
