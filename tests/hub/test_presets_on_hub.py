"""Presets and full names, from a Hub: found, cached, used offline, and what is said where they cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer

import rowmill
from rowmill.exceptions import DatasetNotFoundError, MissingShardError, OfflineError, RevisionNotFoundError

pytest.importorskip("huggingface_hub")
TEXT = " ".join(f"word {number}" for number in range(2000))


@pytest.fixture
def play(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"text": [TEXT]}), tmp_path / "play.parquet")
    return tmp_path / "play.parquet"


def first(dataset: str, **changes: Any) -> bytes:
    asked: dict[str, Any] = {"tokenizer_name": "bytes", "num_batches": 2, "batch_size": 1, "seq_len": 20}
    inputs, _ = next(iter(rowmill.create_huggingface_dataset(dataset, **{**asked, **changes})))
    return bytes(inputs[0].tolist())


def test_a_preset_is_read_from_where_it_lies(hub: HubServer, home: Path, play: Path) -> None:
    repo = hub.create_repo("karpathy/tiny_shakespeare", {"tiny_shakespeare.py": "raise SystemExit"})
    repo.convert(
        {"default/train/0000.parquet": play, "default/validation/0000.parquet": play, "x/train/0.parquet": play}
    )
    assert first("tiny_shakespeare") == TEXT[:20].encode()
    assert len(hub.requests("GET", "/resolve/.*parquet")) == 1
    assert first("tiny_shakespeare", split="validation") == TEXT[:20].encode()


def test_a_preset_whose_revision_is_not_there_reads_no_other(
    hub: HubServer, home: Path, play: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = hub.create_repo("karpathy/tiny_shakespeare", {"data/train-00000-of-00001.parquet": play})
    with pytest.raises(RevisionNotFoundError, match="The preset tiny_shakespeare is the revision refs/convert/parquet"):
        first("tiny_shakespeare")
    assert first("tiny_shakespeare", revision="main") == TEXT[:20].encode()
    with pytest.raises(RevisionNotFoundError):
        first("tiny_shakespeare", revision="v7")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RevisionNotFoundError, match="no other one is taken instead"):
        first("tiny_shakespeare")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    repo.convert({"default/train/0000.parquet": play})
    online = first("tiny_shakespeare")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert first("tiny_shakespeare") == online


def test_a_full_name_with_a_configuration_and_a_column(hub: HubServer, home: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["x" * 99], "b": ["y" * 99]}), tmp_path / "one.parquet")
    card = "---\nconfigs:\n- {config_name: big, data_files: big/*}\n- {config_name: small, data_files: small/*}\n---\n"
    files = {"README.md": card, "big/one.parquet": b"PAR1", "small/one.parquet": tmp_path / "one.parquet"}
    hub.create_repo("acme/words", files)
    assert first("acme/words", name="small", column="b") == b"y" * 20
    assert hub.count("GET", "/resolve/.*big") == 0


def test_offline_says_what_is_cached_and_the_same_batches_come(
    hub: HubServer, home: Path, play: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create_repo("acme/play", {"train.parquet": play})
    online = first("acme/play")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.forget()
    assert first("acme/play") == online
    with pytest.raises(OfflineError, match="Cached on this machine, and usable without a network: acme/play") as caught:
        first("acme/other")
    assert isinstance(caught.value, ConnectionError)
    assert not hub.requests()


def test_a_hub_that_does_not_answer_is_a_connection_error(
    home: Path, play: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rowmill.hub.client.FIRST_WAIT", 0.001)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="No data set is cached on this machine"):
        first("acme/other")


def test_a_repository_that_is_not_there_is_told(hub: HubServer, home: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="acme/nothing"):
        first("acme/nothing")


def test_a_tokenizer_comes_from_the_hub_once(
    hub: HubServer, home: Path, play: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import resources

    content = resources.files("rowmill").joinpath("data", "tokenizer.json").read_bytes()
    hub.create_repo("acme/words", {"tokenizer.json": content, "model.safetensors": b"large"}, kind="model")
    hub.create_repo("acme/play", {"train.parquet": play})
    asked = {"tokenizer_name": "acme/words", "num_batches": 2, "batch_size": 1, "seq_len": 20}
    made = next(iter(rowmill.create_huggingface_dataset("acme/play", **asked)))[0].tolist()
    assert hub.count("GET", "safetensors") == 0
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert next(iter(rowmill.create_huggingface_dataset("acme/play", **asked)))[0].tolist() == made
    monkeypatch.delenv("HF_HUB_OFFLINE")
    hub.create_repo("acme/bare", {"README.md": "no tokenizer"}, kind="model")
    with pytest.raises(MissingShardError, match=r"has no tokenizer\.json"):
        first("acme/play", tokenizer_name="acme/bare")
    with pytest.raises(MissingShardError, match="no repository acme/none"):
        first("acme/play", tokenizer_name="acme/none")
