"""Rows as `datasets` keeps them: a cache folder of two splits, and one dataset to hand out again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hf_rows import NUM_ROWS, row

import rowmill


@pytest.fixture(scope="module", autouse=True)
def _own_cache_of_datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No network and nobody's cache; no bars between the test names."""
    import datasets

    folder = tmp_path_factory.mktemp("hf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
        datasets.disable_progress_bars()
        yield


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A DatasetDict of a JSON builder, as it lies in a cache folder."""
    import datasets

    folder = tmp_path_factory.mktemp("json")
    files = {}
    for split, ids in {"train": range(NUM_ROWS), "test": range(40)}.items():
        files[split] = str(folder / f"{split}.jsonl")
        Path(files[split]).write_text("".join(json.dumps(row(index)) + "\n" for index in ids))
    return datasets.load_dataset("json", data_files=files, cache_dir=str(folder / "cache"))


@pytest.fixture
def train(loaded: Any) -> Any:
    return loaded["train"]


@pytest.fixture(params=["whole", "chosen"])
def shuffled(request: pytest.FixtureRequest, train: Any) -> rowmill.Dataset:
    theirs = train if request.param == "whole" else train.filter(lambda row: row["id"] % 2 == 0)
    return rowmill.from_dataset(theirs).shuffle(seed=6)
