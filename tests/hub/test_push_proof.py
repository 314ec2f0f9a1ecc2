"""The proof: what is compared with what, of which configuration, and what is never taken for proven."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from pushed_folders import REPO, folder, parquet

import rowmill
from rowmill.exceptions import CorruptShardError
from rowmill.hub.manifests import read_manifest
from rowmill.hub.pushing import push
from rowmill.hub.verifying import verify

pytest.importorskip("huggingface_hub")
yaml = pytest.importorskip("yaml")
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.* was there before and is public:UserWarning"),
    pytest.mark.usefixtures("as_alice"),
]


@pytest.fixture
def en(tmp_path: Path) -> Path:
    return folder(tmp_path / "en", range(10))


@pytest.fixture
def de(tmp_path: Path) -> Path:
    return folder(tmp_path / "de", range(100, 120))


def test_the_configuration_that_is_pushed_is_the_one_that_is_proven(hub: HubServer, en: Path, de: Path) -> None:
    push(en, REPO, config="en", deep=True)
    pushed = push(de, REPO, config="de", deep=True)
    assert pushed.report.facts["splits"] == {"train": 20}
    assert verify(REPO, against=en, config="en", deep=True).ok
    assert verify(REPO, against=de, config="de").ok
    assert "20 rows there and 10 here" in verify(REPO, against=en, config="de").problems[0]
    with pytest.raises(ValueError, match="choose one by config=: en, de"):
        verify(REPO, against=en)
    assert verify(REPO).facts["splits"] == {"en/train": 10, "de/train": 20}
    assert "has no config 'fr'" in verify(REPO, config="fr").problems[0]


def test_a_configuration_is_proven_without_the_others(hub: HubServer, en: Path, de: Path) -> None:
    push(en, REPO, config="en")
    hub.repos["dataset", REPO].commit({"en/train-00000-of-00001.parquet": b"no Parquet"})
    assert push(rowmill.open(de), REPO, config="de", deep=True).report.ok
    assert verify(REPO, config="de").ok
    assert not verify(REPO, config="en").ok
    assert not verify(REPO).ok


def test_other_data_of_the_same_shape_are_no_proof(hub: HubServer, en: Path, tmp_path: Path) -> None:
    push(en, REPO)
    assert verify(REPO, against=en).ok
    other = folder(tmp_path / "other", range(500, 510))
    (problem,) = verify(REPO, against=other).problems
    assert rowmill.open(en).fingerprint in problem
    assert rowmill.open(other).fingerprint in problem
    assert "rows 0 to 9 differ" in verify(REPO, against=other, deep=True).problems[0]


def test_the_same_rows_in_other_shards_are_proven_row_by_row(hub: HubServer, en: Path, tmp_path: Path) -> None:
    push(en, REPO)
    rowmill.convert(en, tmp_path / "cut", to="parquet", num_shards=3)
    (problem,) = verify(REPO, against=tmp_path / "cut").problems
    assert "deep=True compares the rows" in problem
    assert verify(REPO, against=tmp_path / "cut", deep=True).ok


@pytest.mark.parametrize("what", ["skip", "order", "function"])
def test_other_rows_of_the_same_data_are_no_proof(hub: HubServer, en: Path, what: str) -> None:
    data = rowmill.open(en)
    made = {
        "skip": data.skip(2).take(5),
        "order": data.shuffle(3, mode="row").take(5),
        "function": data.take(5).map(lambda row: {**row, "text": "x"}),
    }
    push(data.take(5), REPO)
    assert verify(REPO, against=data.take(5)).ok
    (problem,) = verify(REPO, against=made[what]).problems
    assert "in another order, or of other rows" in problem


def test_what_another_tool_has_pushed_is_proven_by_its_rows_alone(hub: HubServer, en: Path, tmp_path: Path) -> None:
    hub.create_repo(REPO, {"data/train-00000-of-00001.parquet": parquet(range(500, 510))})
    (problem,) = verify(REPO, against=en).problems
    assert "no push has written down what it was made of; deep=True compares" in problem
    assert verify(REPO, against=folder(tmp_path / "same", range(500, 510)), deep=True).ok


def test_files_that_no_push_has_sent_are_not_proven_by_those_that_it_has(hub: HubServer, en: Path) -> None:
    push(en, REPO)
    card = "---\nconfigs:\n- {config_name: default, data_files: [{split: train, path: other.parquet}]}\n---\n"
    hub.repos["dataset", REPO].commit({"README.md": card, "other.parquet": parquet(range(500, 510))})
    assert "no push has written down" in verify(REPO, against=en).problems[0]


def test_a_file_that_git_keeps_itself_is_compared_by_its_bytes(hub: HubServer, en: Path) -> None:
    push(en, REPO)
    path = ".rowmill/default.json"
    repo = hub.repos["dataset", REPO]
    sent = json.loads(repo.commits[repo.sha].files[path].blob.read())
    small = {"path": "notes.txt", "size": 4, "sha256": "0" * 64}
    sent["splits"]["train"]["files"].append(small)
    repo.commit({path: json.dumps(sent), "notes.txt": "mine"})
    assert any("notes.txt has other bytes" in one for one in verify(REPO).problems)


@pytest.mark.parametrize(
    "sent",
    [
        {"path": "data/train-00000-of-00001.parquet"},
        {"path": "data/train-00000-of-00001.parquet", "size": "x", "sha256": "0" * 64},
        {"path": "data/train-00000-of-00001.parquet", "size": 1, "sha256": "y"},
        {"path": "data/train-00000-of-00001.parquet", "size": True, "sha256": "0" * 64},
        {"path": "nowhere", "size": "x", "sha256": "0" * 64},
        {"path": "nowhere", "size": 1, "sha256": "0" * 64, "num_rows": "many"},
        {"path": ["nowhere"], "size": 1, "sha256": "0" * 64},
        "nothing",
    ],
    ids=str,
)
def test_a_damaged_list_of_a_push_is_named(hub: HubServer, sent: Any) -> None:
    listed = json.dumps({"splits": {"train": {"files": [sent]}}})
    files = {".rowmill/default.json": listed, "data/train-00000-of-00001.parquet": parquet([1])}
    hub.create_repo(REPO, files)
    (problem,) = verify(REPO).problems
    assert problem.startswith(".rowmill/default.json is no list of a push")
    with pytest.raises(CorruptShardError) as caught:
        read_manifest(listed.encode(), ".rowmill/default.json")
    assert caught.value.path == ".rowmill/default.json"


def test_a_damaged_list_does_not_stop_the_push_that_replaces_it(hub: HubServer, en: Path) -> None:
    hub.create_repo(REPO, {".rowmill/default.json": "{"})
    assert push(en, REPO).report.ok
