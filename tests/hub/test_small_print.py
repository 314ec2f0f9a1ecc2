"""Refs that look like commits, splits, tokens, names and texts that are not as usual: read, or refused by name."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from typer.testing import CliRunner

import rowmill
from rowmill.cli.main import app
from rowmill.exceptions import AccessDeniedError, RevisionNotFoundError

pytest.importorskip("huggingface_hub")


def parquet(start: int, stop: int) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(start, stop))}), sink)
    return sink.getvalue()


@pytest.mark.parametrize("name", ["20231101", "deadbeef"])
def test_a_tag_that_looks_like_a_commit_is_known_offline(hub: HubServer, home: Path, name: str) -> None:
    repo = hub.create_repo("alice/demo", {"train.parquet": parquet(0, 10)})
    repo.tag(name)
    first = repo.sha
    repo.commit({"train.parquet": parquet(0, 3)})
    assert rowmill.load_dataset("alice/demo", revision=name).num_rows == 10
    offline = rowmill.load_dataset("alice/demo", revision=name, offline=True)
    assert (offline.num_rows, offline.state_dict()["revision"]) == (10, f"alice/demo@{first}")
    # The beginning of a commit is none.
    rowmill.load_dataset("alice/demo", revision=first[:9])
    assert not list(home.rglob(f"refs/{first[:9]}"))
    with pytest.raises(RevisionNotFoundError):
        rowmill.load_dataset("alice/demo", revision="abcdef01", offline=True)


def test_all_is_every_split_one_after_the_other(hub: HubServer, home: Path, tmp_path: Path) -> None:
    files = {"test.parquet": parquet(10, 12), "train.parquet": parquet(0, 10)}
    hub.create_repo("alice/demo", files)
    for name, content in files.items():
        (tmp_path / "here").mkdir(exist_ok=True)
        (tmp_path / "here" / name).write_bytes(content)
    for _ in range(2):  # and as it was remembered
        for path in ("alice/demo", tmp_path / "here"):
            ds = rowmill.load_dataset(path, split="all")
            assert [row["id"] for row in ds.shard(1, 0)] == list(range(12))
    with pytest.raises(ValueError, match="there is no split 'all'"):
        rowmill.load_dataset("alice/demo", split="all[:10]")


@pytest.mark.parametrize("split", ["train[2:1]", "train[10:]", "train[3:3]+train[:0]"])
def test_a_slice_of_nothing_is_an_error(hub: HubServer, home: Path, split: str) -> None:
    hub.create_repo("alice/demo", {"train.parquet": parquet(0, 10)})
    with pytest.raises(ValueError, match="has no rows: nothing lies between its bounds"):
        rowmill.load_dataset("alice/demo", split=split)
    assert rowmill.load_dataset("alice/demo", split="train[2:1]+train[:4]").num_rows == 4


def test_a_token_that_is_wanted_and_not_there_is_told(hub: HubServer, home: Path) -> None:
    hub.create_repo("alice/demo", {"train.parquet": parquet(0, 10)})
    with pytest.raises(AccessDeniedError, match=r"token=True wants the token.*hf auth login"):
        rowmill.load_dataset("alice/demo", token=True)


def test_a_name_that_is_too_long_is_named(hub: HubServer, home: Path) -> None:
    long = f"{'x' * 300}.txt"
    hub.create_repo("alice/demo", {"train.parquet": parquet(0, 10), long: b"words"})
    with pytest.raises(OSError, match=r"is too long for .*choose other files") as caught:
        rowmill.hub.download("alice/demo")
    assert (caught.value.errno, caught.value.filename) == (errno.ENAMETOOLONG, long)
    assert rowmill.hub.download("alice/demo", exclude="x*").files == ["train.parquet"]


@pytest.mark.parametrize("name", ["rowmill.toml", "README.md"])
def test_a_text_that_is_not_utf_8_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pytest.importorskip("tomlkit")
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["registry", "init"]).exit_code == 0
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"# \xff\xfe\n")
    for command in (["registry", "check"], ["registry", "init"]):
        told = CliRunner().invoke(app, command)
        assert told.exit_code == 1, told.output
        assert f"{name} is no text in UTF-8" in " ".join(told.output.split())


def test_a_shuffle_needs_no_buffer_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(parquet(0, 100))
    ds = rowmill.fast_load_iterable_dataset(str(tmp_path))
    with pytest.warns(UserWarning, match="buffer_size=1000 has no effect.*no buffer is needed") as seen:
        shuffled = ds.shuffle(seed=1, buffer_size=1000)
    assert len(seen) == 1
    assert json.dumps(list(shuffled)) == json.dumps(list(ds.shuffle(seed=1)))
