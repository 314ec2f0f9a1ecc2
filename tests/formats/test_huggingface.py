"""What `datasets` leaves on the disk, and its objects: the same rows, with our order, resume and partition."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import shutil
import time
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import through_json

import rowmill
from rowmill.features import decode_features

datasets = pytest.importorskip("datasets")
# pyarrow's word on how datasets sorts.
pytestmark = pytest.mark.filterwarnings("ignore:Specifying null_placement:FutureWarning")

NUM_ROWS = 2300  # three record batches of the cache's 1,000


def row(index: int) -> dict[str, Any]:
    return {"id": index, "text": f"row {index} é", "label": index % 3, "tokens": list(range(index % 5))}


@pytest.fixture(scope="module", autouse=True)
def _own_cache_of_datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No network and nobody's cache; no bars between the test names."""
    folder = tmp_path_factory.mktemp("hf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
        datasets.disable_progress_bars()
        yield


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A DatasetDict of a JSON builder, as it lies in a cache folder."""
    folder = tmp_path_factory.mktemp("json")
    files = {}
    for split, ids in {"train": range(NUM_ROWS), "test": range(40)}.items():
        files[split] = str(folder / f"{split}.jsonl")
        Path(files[split]).write_text("".join(json.dumps(row(index)) + "\n" for index in ids))
    return datasets.load_dataset("json", data_files=files, cache_dir=str(folder / "cache"))


@pytest.fixture
def train(loaded: Any) -> Any:
    return loaded["train"]


def cache_folder(dataset: Any) -> Path:
    return Path(dataset.cache_files[0]["filename"]).parent


def ids(rows: Any) -> list[int]:
    return [row["id"] for row in rows]


# Folders.


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
    with pytest.raises(ValueError, match="out of range; the dataset has 1502 rows"):
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


# Objects.

CHANGES: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda ds: ds,
    "a slice": lambda ds: ds.select(range(900, 2100)),
    "a slice of a slice": lambda ds: ds.select(range(900, 2100)).select(range(50, 300)),
    "chosen rows": lambda ds: ds.select([7, 7, 2299, 0, 1000]),
    "shuffled": lambda ds: ds.shuffle(seed=3),
    "part of shuffled": lambda ds: ds.shuffle(seed=3).select(range(1200)),
    "shuffled part": lambda ds: ds.select(range(900, 2100)).shuffle(seed=3),
    "filtered": lambda ds: ds.filter(lambda row: row["id"] % 5 == 1),
    "filtered, shuffled": lambda ds: ds.filter(lambda row: row["id"] % 5 == 1).shuffle(seed=0),
    "none left": lambda ds: ds.filter(lambda row: False),
    "sorted": lambda ds: ds.sort("label", reverse=True),
    "one of four": lambda ds: ds.shard(4, 1, contiguous=False),
    "split": lambda ds: ds.train_test_split(0.2, seed=1)["test"],
    "mapped": lambda ds: ds.map(lambda row: {"twice": row["id"] * 2}),
    "mapped, filtered": lambda ds: ds.map(lambda row: {"n": row["id"]}).filter(lambda row: row["n"] > 2000),
    "with other names": lambda ds: ds.rename_columns({"text": "body", "label": "text"}),
    "fewer columns": lambda ds: ds.select_columns(["label", "id"]),
    "columns removed": lambda ds: ds.remove_columns(["text"]).rename_column("id", "number"),
    "joined": lambda ds: datasets.concatenate_datasets([ds, ds.select(range(10, 20)), ds.map(lambda row: row)]),
    "joined and filtered": lambda ds: datasets.concatenate_datasets([ds.select(range(100)), ds]).filter(
        lambda row: row["id"] < 50
    ),
    "joined with other columns": lambda ds: datasets.concatenate_datasets(
        [ds.select(range(5)), ds.map(lambda row: {"new": row["id"]}, remove_columns="text")]
    ),
    "repeated": lambda ds: ds.select(range(30)).repeat(3),
    "names swapped": lambda ds: ds.rename_columns({"id": "label", "label": "id"}),
    "flattened": lambda ds: ds.map(lambda row: {"deep": {"er": row["id"]}}).flatten(),
    "labels": lambda ds: ds.cast_column("label", datasets.ClassLabel(names=["a", "b", "c"])),
    "narrower": lambda ds: ds.cast_column("id", datasets.Value("int32")),
    "a column more": lambda ds: ds.add_column("more", [str(index) for index in range(len(ds))]),
    "side by side": lambda ds: datasets.concatenate_datasets(
        [ds, ds.select_columns(["id"]).rename_column("id", "b")], axis=1
    ),
    "in memory": lambda ds: datasets.Dataset.from_list([row(index) for index in range(30)]),
    "in memory, chosen": lambda ds: datasets.Dataset.from_list([row(index) for index in range(30)]).select([5, 4, 20]),
    "on disk and in memory": lambda ds: datasets.concatenate_datasets(
        [ds.select_columns(["id"]), datasets.Dataset.from_dict({"id": [-1, -2]})]
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_object_gives_its_own_rows(train: Any, name: str) -> None:
    theirs = CHANGES[name](train)
    ours = rowmill.from_dataset(theirs)
    assert ours.features == theirs.features
    assert ours.column_names == theirs.column_names
    assert len(ours) == len(theirs)
    expected = list(theirs)
    assert list(ours) == expected
    if len(theirs):
        assert ours.fetch([len(theirs) - 1, 0]) == [theirs[-1], theirs[0]]
    assert list(pickle.loads(pickle.dumps(ours))) == expected
    assert rowmill.from_dataset(CHANGES[name](train)).fingerprint == ours.fingerprint


def test_files_are_read_where_they_lie(train: Any, tmp_path: Path) -> None:
    for name in ("as it is", "a slice", "filtered", "with other names", "joined", "labels"):
        ours = rowmill.from_dataset(CHANGES[name](train), cache_dir=tmp_path / "cache")
        theirs = {entry["filename"] for entry in CHANGES[name](train).cache_files}
        assert {str(shard["path"]) for shard in ours._plan.source.rust.shards()} <= theirs, name
    assert not (tmp_path / "cache").exists()
    rowmill.from_dataset(CHANGES["in memory"](train), cache_dir=tmp_path / "cache")
    before = sorted((tmp_path / "cache").rglob("*.arrow"))
    rowmill.from_dataset(CHANGES["in memory"](train), cache_dir=tmp_path / "cache")
    assert sorted((tmp_path / "cache").rglob("*.arrow")) == before
    assert not list((tmp_path / "cache").rglob(".part-*"))


def test_many_may_write_the_same_rows_at_once(tmp_path: Path) -> None:
    theirs = datasets.Dataset.from_list([row(index) for index in range(3000)]).select(range(2900, 0, -1))
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: rowmill.from_dataset(theirs, cache_dir=tmp_path), range(8)))
    assert len({ours.fingerprint for ours in made}) == 1
    assert all(ids(ours) == list(range(2900, 0, -1)) for ours in made)
    assert sorted(path.parent.parent.name for path in tmp_path.rglob("*.arrow")) == ["indices", "tables"]
    assert not list(tmp_path.rglob(".part-*"))


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    for name, age in ((".part-old", 3 * 24 * 3600), (".part-new", 60)):
        (tmp_path / "tables" / name).mkdir(parents=True)
        os.utime(tmp_path / "tables" / name, (time.time() - age,) * 2)
    rowmill.from_dataset(datasets.Dataset.from_list([row(1)]), cache_dir=tmp_path)
    assert [path.name for path in (tmp_path / "tables").glob(".part-*")] == [".part-new"]


def test_a_file_that_is_gone_is_no_matter(train: Any, tmp_path: Path) -> None:
    mapped = train.map(lambda row: {"n": 1}, cache_file_name=str(tmp_path / "gone.arrow"))
    expected = mapped[:5]["id"]
    (tmp_path / "gone.arrow").unlink()
    assert ids(rowmill.from_dataset(mapped, cache_dir=tmp_path).take(5)) == expected


def test_the_format_is_taken_over(train: Any) -> None:
    import torch

    ours = rowmill.from_dataset(train.with_format("torch", columns=["id", "label"], dtype=torch.int32))
    batch = next(iter(ours.batch(4)))
    assert {name: (value.dtype, value.tolist()) for name, value in batch.items()} == {
        "id": (torch.int32, [0, 1, 2, 3]),
        "label": (torch.int32, [0, 1, 2, 0]),
    }
    assert next(iter(rowmill.from_dataset(train.with_format("arrow")).batch(3))).num_rows == 3
    assert next(iter(rowmill.from_dataset(train.with_format("numpy"))))["id"].dtype == "int64"
    for unknown in (train.with_format("pandas"), train.with_transform(lambda batch: batch)):
        with pytest.raises(ValueError, match=r"with_format\(None\)"):
            rowmill.from_dataset(unknown)


def test_what_is_no_dataset_is_refused_with_the_remedy(loaded: Any) -> None:
    with pytest.raises(
        TypeError, match=r"train, test; hand over one of them, as in rowmill\.from_dataset\(ds\['train'\]\)"
    ):
        rowmill.from_dataset(loaded)
    with pytest.raises(TypeError, match=r"rowmill\.open\(paths\)"):
        rowmill.from_dataset(loaded["train"].to_iterable_dataset())
    with pytest.raises(TypeError, match="not list"):
        rowmill.from_dataset([])


# Features.


def picture(index: int) -> bytes:
    image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.new("RGB", (4, 3), (index, 2, 3)).save(buffer, "png")
    return buffer.getvalue()


def test_images_are_bytes_until_they_are_decoded(tmp_path: Path) -> None:
    kinds = datasets.Features(
        {
            "image": datasets.Image(),
            "images": datasets.List(datasets.Image(mode="L")),
            "label": datasets.ClassLabel(names=["no", "yes"]),
            "pairs": datasets.Sequence({"n": datasets.Value("int32")}),
            "matrix": datasets.Array2D((2, 2), "float32"),
            "when": datasets.Value("timestamp[us]"),
        }
    )
    rows = [
        {"image": {"bytes": picture(index), "path": None}, "images": [{"bytes": picture(9), "path": "x.png"}] * index}
        | {"label": index % 2, "pairs": {"n": [index]}, "matrix": [[1.0, 2.0], [3.0, index]], "when": index}
        for index in range(3)
    ]
    theirs = datasets.Dataset.from_list(rows, features=kinds)
    theirs.save_to_disk(tmp_path / "saved")
    raw = theirs.cast_column("image", datasets.Image(decode=False)).cast_column(
        "images", datasets.List(datasets.Image(mode="L", decode=False))
    )
    saved = rowmill.open(tmp_path / "saved")
    for ours in (
        saved,
        rowmill.from_dataset(theirs),
        rowmill.from_dataset(datasets.load_from_disk(tmp_path / "saved")),
    ):
        assert ours.features == kinds
        assert [plain(row) for row in ours] == [plain(row) for row in raw]
    assert rowmill.from_dataset(raw).features == raw.features
    decoded = saved.map(decode_features, fn_kwargs={"features": saved.features})
    for ours, expected in zip(decoded, theirs, strict=True):
        assert ours["image"].tobytes() == expected["image"].tobytes()
        assert [image.mode for image in ours["images"]] == ["L"] * len(expected["images"])
        assert [image.tobytes() for image in ours["images"]] == [image.tobytes() for image in expected["images"]]


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()}


def test_sounds_name_the_package_that_decodes_them() -> None:
    sound = {"sound": {"bytes": b"RIFF", "path": None}}
    try:
        import soundfile  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="pip install soundfile"):
            decode_features(sound, {"sound": {"_type": "Audio"}})
    assert decode_features({"sound": None}, {"sound": datasets.Audio()}) == {"sound": None}


def test_sounds_are_decoded(tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    samples = np.array([[0, 1 << 14], [-(1 << 14), 5], [7, 0]], np.int16)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    whole = (tmp_path / "a.wav").read_bytes()
    for sound in ({"bytes": whole, "path": "a.wav"}, {"bytes": None, "path": str(tmp_path / "a.wav")}):
        made = decode_features({"sound": sound, "n": 1}, {"sound": datasets.Audio(), "n": datasets.Value("int64")})
        assert (made["n"], made["sound"]["sampling_rate"], made["sound"]["path"]) == (1, 8000, sound["path"])
        assert made["sound"]["array"].tolist() == (samples.T / 32768).astype(np.float32).tolist()
    with pytest.raises(rowmill.SchemaMismatchError, match="neither bytes nor a path"):
        decode_features({"sound": {"bytes": None, "path": None}}, {"sound": datasets.Audio()})


# The laws hold for chosen rows.

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


# Out again.


@pytest.fixture(params=["whole", "chosen"])
def shuffled(request: pytest.FixtureRequest, train: Any) -> rowmill.Dataset:
    theirs = train if request.param == "whole" else train.filter(lambda row: row["id"] % 2 == 0)
    return rowmill.from_dataset(theirs).shuffle(seed=6)


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


def test_arrow_streams_hold_the_rows_in_this_order(shuffled: rowmill.Dataset) -> None:
    expected = ids(shuffled.shard(1, 0))
    reader = shuffled.to_reader(batch_size=300)
    assert reader.schema.equals(shuffled.schema)
    sizes, found = [], []
    for batch in reader:
        sizes.append(batch.num_rows)
        found += batch.column("id").to_pylist()
    assert found == expected
    assert set(sizes[:-1]) == {300}
    assert pa.table(shuffled).column("id").to_pylist() == expected
    made = shuffled.map(lambda row: {"n": row["id"] * 2}, remove_columns=["tokens"]).to_reader()
    assert made.read_all().column("n").to_pylist() == [number * 2 for number in expected]
    with pytest.raises(ValueError, match="batches of 5 rows already"):
        shuffled.batch(5).to_reader(batch_size=3)
    assert {batch.num_rows for batch in shuffled.batch(5, remainder="drop").to_reader()} == {5}


def test_arrow_streams_of_ranks_hold_what_the_ranks_yield(shuffled: rowmill.Dataset) -> None:
    for rank in range(3):
        part = shuffled.shard(3, rank)
        assert pa.table(part).column("id").to_pylist() == ids(part)


def test_an_endless_stream_is_read_as_far_as_it_is_asked_for(shuffled: rowmill.Dataset) -> None:
    reader = shuffled.repeat().to_reader(batch_size=1000)
    found = [number for _ in range(5) for number in reader.read_next_batch().column("id").to_pylist()]
    assert found[: len(shuffled)] == ids(shuffled.shard(1, 0))
    assert len(found) == 5000


def test_an_error_in_a_stream_keeps_its_type(train: Any, tmp_path: Path) -> None:
    train.select(range(1500)).save_to_disk(tmp_path)
    ours = rowmill.open(tmp_path)
    reader = ours.to_reader(batch_size=1000)
    shard = next(tmp_path.glob("*.arrow"))
    os.truncate(shard, shard.stat().st_size // 3)
    with pytest.raises(rowmill.CorruptShardError):
        reader.read_all()


def test_polars_and_duckdb_read_the_streams(shuffled: rowmill.Dataset) -> None:
    expected = ids(shuffled.shard(1, 0))
    polars = pytest.importorskip("polars")
    assert polars.DataFrame(shuffled)["id"].to_list() == expected
    assert polars.from_arrow(shuffled.to_reader())["text"].to_list() == [f"row {number} é" for number in expected]
    duckdb = pytest.importorskip("duckdb")
    reader = shuffled.to_reader()
    for source in ("reader", "shuffled"):
        counted = duckdb.sql(f"select count(*), sum(id), max(text) from {source}").fetchall()
        assert counted == [(len(expected), sum(expected), max(f"row {number} é" for number in expected))]
    assert reader is not None


def test_columns_come_in_the_datasets_own_order(train: Any) -> None:
    joined = datasets.concatenate_datasets([train.shuffle(3), train.filter(lambda row: row["id"] % 2)]).shuffle(9)
    for one in (joined, train.with_format("numpy", columns=["text", "id"])):
        assert list(next(iter(rowmill.from_dataset(one)))) == list(one[0])


def test_a_saved_dataset_without_rows_is_named(train: Any, tmp_path: Path) -> None:
    train.select([]).save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": train.select([])}).save_to_disk(tmp_path / "splits")
    for folder, split in ((tmp_path / "saved", None), (tmp_path / "splits" / "train", "train")):
        opened = folder.parent if folder.name == "train" else folder
        with pytest.raises(rowmill.exceptions.MissingShardError, match="without rows") as caught:
            rowmill.open(opened, split=split)
        assert caught.value.path == str(folder)
