"""Configurations, formats and files of splits: what ``datasets`` makes of a repository, and what we make of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hub_client import run_client
from hub_server import HubServer

from rowmill.hub.formats import _FORMAT_OF
from rowmill.hub.layout import Layout, Tree, find_layout
from rowmill.hub.patterns import match

CONFIGS = """---
configs:
- config_name: en
  data_files:
  - split: train
    path: en/train-*.parquet
  - split: test
    path: [en/test-0.parquet, en/test-1.parquet]
- config_name: fr
  data_files: fr/*.parquet
  {more}
---
text
"""
EN_FR = ["en/train-0.parquet", "en/train-1.parquet", "en/test-0.parquet", "en/test-1.parquet", "fr/x.parquet"]
SEPARATOR = "---\nconfigs:\n- config_name: default\n  data_files: '*.csv'\n  sep: ;\n---\n"
BY_FOLDER = "---\nconfigs:\n- config_name: a\n  data_dir: one\n- config_name: b\n  data_dir: two\n---\n"
SHARDS = [f"data/{split}-{i:05}-of-00003.parquet" for split in ("train", "extra", "test") for i in range(3)]
ALPACA = ["alpaca_data.json", "notes.txt", "LICENSE"]

# Paths of the repository, its README, what is asked for.
LAYOUTS: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "one file": (["data.parquet"], "", {}),
    "sharded by the clients": (SHARDS, "", {}),
    "sharded, with a stray file": ([*SHARDS, "other.parquet", "data/zzz.parquet"], "", {}),
    "files named by split": (["train.csv", "test.csv", "README2.csv"], "", {}),
    "other words for splits": (["dev.jsonl", "training_0.jsonl", "my-eval.jsonl", "training_1.jsonl"], "", {}),
    "folders named by split": (["train/b.parquet", "train/a.parquet", "validation/c.parquet"], "", {}),
    "folders deep down": (["x/en-train/1.parquet", "x/en-test/2.parquet"], "", {}),
    "no word at all": (["b/part-10.parquet", "b/part-9.parquet", "a.parquet"], "", {}),
    "hidden and special": ([".hid/train.parquet", "__x__/train.parquet", "d/.f.parquet", "d/ok.parquet"], "", {}),
    "most common suffix": (["a.jsonl", "b.jsonl", "c.csv"], "", {}),
    "a draw": (["a.jsonl", "b.parquet", "c.csv"], "", {}),
    "compressed lines": (["en/c4-train.00001-of-00002.json.gz", "en/c4-train.00000-of-00002.json.gz"], "", {}),
    "capital suffixes": (["a.PARQUET", "b.parquet", "train.JPG"], "", {}),
    "a tabbed table": (["train.tsv", "test.tsv"], "", {}),
    "images": (["train/cat/1.png", "train/dog/2.jpg", "train/metadata.csv"], "", {}),
    "tars": (["shards/000.tar", "shards/001.tar", "val.tar"], "", {}),
    "texts": (["book.txt"], "", {}),
    "mixed formats by split": (["train.csv", "test.jsonl"], "", {}),
    "nothing": (["LICENSE", "code.py"], "", {}),
    "json beside others": (ALPACA, "", {}),
    "configs, one asked for": (EN_FR, CONFIGS.format(more=""), {"name": "en"}),
    "configs, the other": (EN_FR, CONFIGS.format(more=""), {"name": "fr"}),
    "configs, none asked for": (EN_FR, CONFIGS.format(more=""), {}),
    "configs, one by default": (EN_FR, CONFIGS.format(more="default: true"), {}),
    "configs, a wrong name": (EN_FR, CONFIGS.format(more=""), {"name": "de"}),
    "configs by folder": (["one/train.parquet", "two/train/x.parquet", "two/test/y.parquet"], BY_FOLDER, {"name": "b"}),
    "a separator": (["a.csv", "b/c.csv"], SEPARATOR, {}),
    "a name without configs": (["data.parquet"], "", {"name": "en"}),
    "data_dir": (["en/train.parquet", "en/test.parquet", "fr/train.parquet"], "", {"data_dir": "en"}),
    "data_dir with a slash": (["en/x/train.parquet", "fr/train.parquet"], "", {"data_dir": "en/x/"}),
    "data_dir beside configs": (EN_FR, CONFIGS.format(more=""), {"data_dir": "fr"}),
    "data_files as a text": (EN_FR, "", {"data_files": "en/*.parquet"}),
    "data_files as a list": (EN_FR, "", {"data_files": ["fr/x.parquet", "en/train-1.parquet"]}),
    "data_files as a dict": (EN_FR, "", {"data_files": {"a": "en/t*-0.parquet", "b": ["fr/**", "en/test-[!0].*"]}}),
    "data_files beside configs": (EN_FR, CONFIGS.format(more=""), {"data_files": "**/*-?.parquet"}),
    "data_files in data_dir": (EN_FR, "", {"data_files": "test*", "data_dir": "en"}),
    "data_files not there": (EN_FR, "", {"data_files": "en/none.parquet"}),
    "a hidden file by name": ([".hid/a.parquet", "b.parquet"], "", {"data_files": ".hid/*.parquet"}),
}

ASK_DATASETS = """
import json, sys
from datasets import load_dataset_builder
result = []
for number, asked in enumerate(json.loads({asked!r})):
    try:
        builder = load_dataset_builder(f"alice/layout{{number}}", **asked)
        root = f"hf://datasets/alice/layout{{number}}@"
        files = {{str(split): [path.removeprefix(root).split("/", 1)[1] for path in paths]
                 for split, paths in builder.config.data_files.items()}}
        result.append([builder.config.name.split("-")[0], builder.name, files, getattr(builder.config, "sep", None)])
    except Exception as error:
        result.append(f"{{type(error).__name__}}: {{error}}")
"""


def ours(paths: list[str], readme: str, asked: Mapping[str, Any]) -> Layout:
    return find_layout(Tree("alice/layout", [*paths, "README.md"], readme), **asked)


def test_every_layout_is_what_datasets_makes_of_it(hub: HubServer, tmp_path: Path):
    pytest.importorskip("datasets")
    for number, (paths, readme, _) in enumerate(LAYOUTS.values()):
        hub.create_repo(f"alice/layout{number}", {**dict.fromkeys(paths, "x"), "README.md": readme})
    code = ASK_DATASETS.format(asked=json.dumps([asked for _, _, asked in LAYOUTS.values()]))
    differences = []
    for (name, (paths, readme, asked)), theirs in zip(LAYOUTS.items(), run_client(hub, tmp_path, code), strict=True):
        try:
            layout = ours(paths, readme, asked)
        except (OSError, ValueError) as error:
            if isinstance(theirs, str):
                continue
            differences.append(f"{name}: {error!r}, datasets: {theirs}")
            continue
        found = [layout.config, layout.format, layout.splits, layout.parameters.get("sep")]
        if layout.format == "csv" and found[3] is None:
            found[3] = ","
        if found != theirs:
            differences.append(f"{name}: {found}, datasets: {theirs}")
    assert not differences, "\n".join(differences)


def test_the_table_of_suffixes_is_that_of_datasets():
    modules = pytest.importorskip("datasets.packaged_modules")
    if not hasattr(modules, "_EXTENSION_TO_MODULE"):
        pytest.skip("this datasets keeps its table elsewhere")
    theirs = {suffix[1:].lower(): module for suffix, (module, _) in modules._EXTENSION_TO_MODULE.items()}
    # An older datasets knows fewer; none may mean something else.
    assert {suffix: _FORMAT_OF.get(suffix) for suffix in theirs} == theirs


def test_a_file_that_two_patterns_mean_is_read_once():
    assert ours(["train/train-0.parquet", "train/train/x.parquet"], "", {}).splits["train"] == [
        "train/train-0.parquet",
        "train/train/x.parquet",
    ]


def test_a_path_may_begin_with_a_dot_which_datasets_does_not_find():
    asked = {"data_files": "./en/train-0.parquet"}
    assert ours(EN_FR, "", asked).splits == {"train": ["en/train-0.parquet"]}


def test_patterns_stay_inside_a_tree():
    assert match("../../etc/*", ["etc/passwd", "a/etc/passwd"], base="a") == []
    for folder in ("..", "a/../..", "/etc", "a\\b"):
        with pytest.raises(ValueError, match="leads out of"):
            ours(["a/x.parquet"], "", {"data_dir": folder})
