"""A `datasets.Dataset` handed over: its rows, its files, its format."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hf_rows import ids, row

import rowmill

datasets = pytest.importorskip("datasets")
# pyarrow's word on how datasets sorts.
pytestmark = pytest.mark.filterwarnings("ignore:Specifying null_placement:FutureWarning")


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
    for name, remedy in {"pandas": r"batch\.to_pandas\(\)", "polars": r"polars\.from_arrow\(batch\)"}.items():
        with pytest.raises(ValueError, match=rf"with_format\(None\).*{remedy}"):
            rowmill.from_dataset(train.with_format(name))


def upper(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {"text": [text.upper() for text in batch["text"]], "length": list(map(len, batch["text"]))}


def test_a_transform_is_taken_over(train: Any) -> None:
    shown = {"columns": ["text"], "output_all_columns": True}
    chosen = train.shuffle(seed=2).select(range(50))
    for theirs in (chosen.with_transform(upper), chosen.with_transform(upper, **shown)):
        ours = rowmill.from_dataset(theirs)
        assert list(ours) == [theirs[index] for index in range(50)]
        assert list(pickle.loads(pickle.dumps(ours))) == list(ours)
    batch = next(iter(rowmill.from_dataset(chosen.with_transform(upper)).batch(4)))
    assert batch["length"].tolist() == [len(text) for text in chosen[:4]["text"]]
    reading = rowmill.from_dataset(chosen.with_transform(upper)).shuffle(seed=1)
    made = iter(reading)
    before = [next(made) for _ in range(7)]
    again = rowmill.from_dataset(chosen.with_transform(upper)).shuffle(seed=1)
    again.load_state_dict(reading.state_dict())
    assert before + list(again) == list(rowmill.from_dataset(chosen.with_transform(upper)).shuffle(seed=1))
    with pytest.raises(rowmill.StateMismatchError, match="transform"):
        rowmill.from_dataset(chosen.with_transform(dict)).shuffle(seed=1).load_state_dict(reading.state_dict())
    for wrong in (lambda batch: 3, lambda batch: {"n": 4}, lambda batch: {"n": []}):
        with pytest.raises(rowmill.SchemaMismatchError, match="a dict of lists"):
            next(iter(rowmill.from_dataset(chosen.with_transform(wrong))))


def test_what_is_no_dataset_is_refused_with_the_remedy(loaded: Any) -> None:
    with pytest.raises(
        TypeError, match=r"train, test; hand over one of them, as in rowmill\.from_dataset\(ds\['train'\]\)"
    ):
        rowmill.from_dataset(loaded)
    with pytest.raises(TypeError, match=r"rowmill\.open\(paths\)"):
        rowmill.from_dataset(loaded["train"].to_iterable_dataset())
    with pytest.raises(TypeError, match="not list"):
        rowmill.from_dataset([])


def test_columns_come_in_the_datasets_own_order(train: Any) -> None:
    joined = datasets.concatenate_datasets([train.shuffle(3), train.filter(lambda row: row["id"] % 2)]).shuffle(9)
    for one in (joined, train.with_format("numpy", columns=["text", "id"])):
        assert list(next(iter(rowmill.from_dataset(one)))) == list(one[0])
