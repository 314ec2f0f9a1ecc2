"""Downloading: whole, checked, resumed, and never outside the folder; and what preflight says of what is here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from shards import write_shards
from typer.testing import CliRunner

import rowmill
from rowmill.cli.main import app
from rowmill.exceptions import (
    AccessDeniedError,
    CorruptShardError,
    MissingShardError,
    OfflineError,
    RevisionNotFoundError,
)

pytest.importorskip("huggingface_hub")
REPO = "alice/demo"
CARD = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*}
  - {split: test, path: data/test-*}
dataset_info:
  splits:
  - {name: train, num_examples: 63}
---
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    made = write_shards(tmp_path / "made", sizes=(23, 40, 7), container="parquet")
    names = ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"]
    return {
        "README.md": CARD,
        "notes.txt": "words",
        **{f"data/{name}.parquet": path for name, path in zip(names, made, strict=True)},
    }


@pytest.fixture
def repo(hub: HubServer, home: Path, files: dict[str, Any]) -> Any:
    return hub.create_repo(REPO, files)


def run(*arguments: object, status: int = 0) -> Any:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], prog_name="rowmill")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else result.stderr


def content(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else value.read_bytes()


def test_everything_arrives_once_at_one_commit(
    repo: Any, hub: HubServer, files: dict[str, Any], tmp_path: Path
) -> None:
    made = rowmill.hub.download(REPO, to=tmp_path / "here")
    assert (made.sha, sorted(made.files), made.num_fetched) == (repo.sha, sorted(files), 5)
    for name, value in files.items():
        assert (tmp_path / "here" / name).read_bytes() == content(value)
    hub.forget()
    again = rowmill.hub.download(REPO, revision=repo.sha, to=tmp_path / "here")
    assert again.num_fetched == 0
    assert hub.requests() == []
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["README.md", "data", "notes.txt"]


def test_what_was_downloaded_serves_offline(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run("download", REPO, "--split", "train")
    assert [name for name in told["files"] if "data/" in name] == [
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
    ]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert rowmill.load_dataset(REPO, revision=repo.sha).num_rows == 63
    with pytest.raises(OfflineError):
        rowmill.hub.download(REPO, revision=repo.sha)


def test_files_are_chosen_by_globs_and_by_bytes(repo: Any, files: dict[str, Any]) -> None:
    chosen = run("download", REPO, "--include", "data/*", "--exclude", "*test*")
    assert len(chosen["files"]) == 2
    first = files["data/test-00000-of-00001.parquet"].stat().st_size
    some = run("download", REPO, "--include", "data/", "--max-bytes", first + 1)
    assert some["files"] == ["data/test-00000-of-00001.parquet"]
    assert len(some["left_out"]) == 2
    with pytest.raises(MissingShardError, match="not even data/test"):
        rowmill.hub.download(REPO, include="data/*", max_bytes=1)
    with pytest.raises(MissingShardError, match="its files are"):
        rowmill.hub.download(REPO, include="nothing*")
    with pytest.raises(MissingShardError, match="it has train, test"):
        rowmill.hub.download(REPO, split="valid")


def test_some_columns_are_read_by_ranges(repo: Any, hub: HubServer, files: dict[str, Any], tmp_path: Path) -> None:
    arguments = ("download", REPO, "-c", "id,score", "--to", tmp_path / "here", "--split", "train")
    assert run(*arguments)["num_fetched"] == 2
    ds = rowmill.open(tmp_path / "here" / "data")
    assert ds.column_names == ["id", "score"]
    assert [one["id"] for one in ds] == list(range(63))
    hub.forget()
    assert run(*arguments)["num_fetched"] == 0
    assert hub.count("GET", "parquet") == 0
    assert run(*arguments[:-2], "--split", "test", "-c", "flag")["num_fetched"] == 1
    with pytest.raises(MissingShardError, match="no column 'nothing'"):
        rowmill.hub.download(REPO, columns=["nothing"], to=tmp_path / "other")
    with pytest.raises(ValueError, match="to="):
        rowmill.hub.download(REPO, columns=["id"])


def test_a_damaged_file_is_fetched_again(repo: Any, files: dict[str, Any], tmp_path: Path) -> None:
    made = rowmill.hub.download(REPO)
    path = Path(made.folder, "data/test-00000-of-00001.parquet")
    damaged = bytearray(path.read_bytes())
    damaged[30] ^= 4
    path.resolve().write_bytes(damaged)
    assert rowmill.hub.download(REPO, check=False).num_fetched == 0
    assert rowmill.hub.download(REPO).num_fetched == 1
    assert path.read_bytes() == content(files["data/test-00000-of-00001.parquet"])


def test_bytes_that_are_not_the_commits_are_refused(repo: Any, hub: HubServer) -> None:
    hub.fault(method="GET", path="/resolve/.*test-.*", flip=(50,))
    with pytest.raises(CorruptShardError, match="came twice with other bytes"):
        rowmill.hub.download(REPO)
    hub.faults.clear()
    assert rowmill.hub.download(REPO).num_fetched >= 1


@pytest.mark.parametrize(
    "name", ["../out.parquet", "data/../../out.parquet", "/out.parquet", "C:/out.parquet", "a\\..\\b"]
)
def test_no_name_leads_out_of_the_folder(hub: HubServer, home: Path, tmp_path: Path, name: str) -> None:
    hub.create_repo(REPO, {name: b"evil"})
    with pytest.raises(CorruptShardError, match="cannot be written safely"):
        rowmill.hub.download(REPO, to=tmp_path / "inner" / "here")
    assert not list(tmp_path.rglob("out.parquet"))


@pytest.mark.skipif(os.name == "nt", reason="links want rights there")
def test_no_link_in_the_folder_is_written_through(repo: Any, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here" / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptShardError, match="is a link that leads out"):
        rowmill.hub.download(REPO, to=tmp_path / "here")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_refusals_are_typed_and_show_no_token(repo: Any, hub: HubServer) -> None:
    with pytest.raises(RevisionNotFoundError, match="v9"):
        rowmill.hub.download(REPO, revision="v9")
    repo.private = True
    with pytest.raises(AccessDeniedError) as caught:
        rowmill.hub.download(REPO, token="hf_of_nobody")
    assert "hf_of_nobody" not in str(caught.value)


@pytest.mark.processes
def test_a_killed_download_goes_on(hub: HubServer, home: Path, tmp_path: Path) -> None:
    names = [f"data/train-{at:05d}-of-00012.bin" for at in range(12)]
    hub.create_repo(REPO, {name: os.urandom(60_000) for name in names})
    command = [sys.executable, "-m", "rowmill", "download", REPO, "--to", str(tmp_path / "here"), "--json"]
    hub.bytes_per_second = 100_000
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(whole(home)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    process.wait()
    here = whole(home)
    assert 3 <= len(here) < 12
    hub.bytes_per_second = 0
    hub.forget()
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    tree = hub.repos["dataset", REPO].commits[json.loads(done.stdout)["sha"]].files
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == tree[name].blob.read()
    fetched = {one.path.rpartition("/")[2] for one in hub.requests("GET", "/resolve/")}
    assert fetched
    assert not fetched & here


def whole(home: Path) -> set[str]:
    """Names of the files that have arrived."""
    return {path.name for path in (home / "hub").glob("datasets--*/snapshots/*/data/*") if path.is_file()}


def test_preflight_of_a_repository_lists_what_is_missing(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run("preflight", REPO, status=1)
    assert not told["ok"]
    assert f"rowmill download {REPO} --revision {repo.sha}" in told["problems"][0]
    run("download", REPO)
    ready = run("preflight", REPO, "--ranks", 2, "--batch-size", 4, "--steps", 9, "-c", "id", "--repeat")
    assert (ready["sha"], ready["num_rows"], ready["steps_per_epoch"]) == (repo.sha, 63, 7)
    assert any("HF_HUB_OFFLINE is not set" in one for one in ready["warnings"])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = rowmill.hub.preflight(REPO, revision=repo.sha)
    assert offline.ok, offline.problems
    assert not any("HF_HUB_OFFLINE" in one for one in offline.warnings)


def test_preflight_compares_counts_with_the_card(repo: Any, files: dict[str, Any]) -> None:
    repo.commit({"README.md": CARD.replace("63", "64")})
    rowmill.hub.download(REPO)
    assert rowmill.hub.preflight(REPO).problems == ["split train has 63 rows, and the card promises 64"]


def test_preflight_of_a_folder(tmp_path: Path) -> None:
    write_shards(tmp_path / "data", container="parquet")
    report = rowmill.hub.preflight(tmp_path / "data", ranks=2, batch_size=8, steps=4, columns=["id"], tokenizer="bytes")
    assert report.ok, report.problems
    assert (report.facts["num_rows"], report.facts["steps_per_epoch"], report.facts["tokenizer"]) == (70, 4, "bytes")
    assert report.facts["free_bytes"] > 0


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"columns": ["nothing"]}, "there is no column 'nothing'"),
        ({"ranks": 3, "seq_len": 128}, r"num_lanes=66"),
        ({"ranks": 80}, "some have nothing to read"),
        ({"ranks": 8, "batch_size": 10}, "fewer than one step"),
        ({"tokenizer": "nowhere/at-all"}, "nowhere/at-all"),
        ({"split": "nothing"}, "nothing"),
    ],
    ids=str,
)
def test_preflight_finds_what_would_stop_a_job(tmp_path: Path, asked: dict[str, Any], told: str) -> None:
    write_shards(tmp_path / "data", container="parquet")
    report = rowmill.hub.preflight(tmp_path / "data", **asked)
    assert not report.ok
    assert any(told in one for one in report.problems), report.problems


def test_preflight_reads_the_ends_of_each_shard_and_misses_numbered_ones(tmp_path: Path) -> None:
    paths = write_shards(tmp_path / "data", container="parquet", sizes=(30, 30))
    start = pq.ParquetFile(paths[1]).metadata.row_group(4).column(1).data_page_offset
    damaged = bytearray(paths[1].read_bytes())
    damaged[start : start + 40] = bytes(40)
    paths[1].write_bytes(damaged)
    assert any("shard-1.parquet" in one for one in rowmill.hub.preflight(tmp_path / "data").problems)
    paths[1].unlink()
    paths[0].rename(tmp_path / "data" / "x-00000-of-00003.parquet")
    assert "1 of the 3 files" in rowmill.hub.preflight(tmp_path / "data").problems[0]
    made = rowmill.convert(tmp_path / "data", tmp_path / "out", to="parquet", num_shards=3)
    (tmp_path / "out" / made["shards"][1]["name"]).unlink()
    assert "dataset.json lists it" in rowmill.hub.preflight(tmp_path / "out").problems[0]
    assert not rowmill.hub.preflight(tmp_path / "nothing-here.parquet").ok
    assert run("preflight", tmp_path / "out", status=1)["problems"]
