"""cache list and clear: all that is ours, and nothing else."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import rowmill

Run = Callable[..., Result]
RunJson = Callable[..., Any]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: Path) -> Path:
    """A cache with an index, a converted text file, a table, indices, and things of others."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ROWMILL_CACHE", str(folder))
    rowmill.open(sample)
    converted = folder / "converted" / ("ab" * 16)
    converted.mkdir(parents=True)
    (converted / "part-0.arrow").write_bytes(bytes(990))
    (converted / "conversion.json").write_bytes(bytes(10))
    for kind, name in (("tables", "data-00000-of-00001.arrow"), ("indices", "indices.arrow")):
        (folder / kind / ("ef" * 16)).mkdir(parents=True)
        (folder / kind / ("ef" * 16) / name).write_bytes(bytes(100))
    # One that is being made, and a folder of somebody else.
    for name in (f"{'ab' * 16}.part", "cd" * 16):
        (folder / "converted" / name).mkdir()
        (folder / "converted" / name / "part-0.arrow").write_text("keep me")
    for stranger in ("mine.txt", "index/notes.txt", "converted/notes.txt", "other/file.index"):
        (folder / stranger).parent.mkdir(exist_ok=True)
        (folder / stranger).write_text("keep me")
    return folder


def strangers(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "keep" in path.read_text("latin-1")
    )


def test_list_tells_of_indexes_and_converted_files(run_json: RunJson, run: Run, cache: Path) -> None:
    told = run_json("cache", "list")
    assert told["folder"] == str(cache)
    assert {entry["kind"]: entry["num_bytes"] for entry in told["entries"]} == {
        "index": next((cache / "index").glob("*.index")).stat().st_size,
        "converted": 1000,
        "tables": 100,
        "indices": 100,
    }
    assert all(0 <= entry["age_seconds"] < 100 for entry in told["entries"])
    assert [entry["kind"] for entry in run_json("cache", "list", "--kind", "index")["entries"]] == ["index"]
    assert "4 entries" in run("cache", "list").stdout


def test_what_is_unfinished_is_told_and_cleared(run_json: RunJson, run: Run, cache: Path, sample: Path) -> None:
    ds = rowmill.open(sample)
    with pytest.raises(rowmill.DiskBudgetError):
        ds.cache(max_bytes=1)
    ds.select_columns(ds.column_names[:1]).cache()
    told = run_json("cache", "list", "--kind", "cached")["entries"]
    assert sorted(entry["is_finished"] for entry in told) == [False, True]
    assert "cached, unfinished" in run("cache", "list", "--kind", "cached").stdout
    assert run_json("cache", "clear", "--kind", "cached", "--yes")["num_removed"] == 2
    assert run_json("cache", "list", "--kind", "cached")["entries"] == []


def test_clear_removes_what_is_ours_and_nothing_else(run_json: RunJson, cache: Path, sample: Path) -> None:
    before = strangers(cache)
    assert len(before) == 6
    assert run_json("cache", "clear", "--yes")["num_removed"] == 4
    assert run_json("cache", "list")["entries"] == []
    assert strangers(cache) == before
    # It is all made again.
    assert rowmill.open(sample).num_rows > 0
    assert len(run_json("cache", "list")["entries"]) == 1


def test_clear_asks_nothing_without_a_terminal(run: Run, run_json: RunJson, cache: Path) -> None:
    result = run("cache", "clear")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert len(run_json("cache", "list")["entries"]) == 4


def test_clear_of_what_is_old(run_json: RunJson, cache: Path) -> None:
    long_ago = time.time() - 10 * 86_400
    for file in (cache / "converted").rglob("*.*"):
        os.utime(file, (long_ago, long_ago))
    assert run_json("cache", "clear", "--yes", "--older-than", 5)["num_removed"] == 1
    assert "converted" not in [entry["kind"] for entry in run_json("cache", "list")["entries"]]


def test_a_cache_that_is_not_there_is_empty(run_json: RunJson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWMILL_CACHE", str(tmp_path / "nothing"))
    assert run_json("cache", "list")["entries"] == []
    assert run_json("cache", "clear")["num_removed"] == 0


@pytest.mark.skipif(os.name != "posix", reason="names of POSIX")
def test_the_folder_is_the_one_that_the_core_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: Path
) -> None:
    from rowmill.folders import cache_folder

    monkeypatch.delenv("ROWMILL_CACHE")
    for name, value in (("XDG_CACHE_HOME", "relative"), ("HOME", str(tmp_path / "home"))):
        monkeypatch.setenv(name, value)
    for folder in (tmp_path / "home" / ".cache" / "rowmill", tmp_path / "xdg" / "rowmill"):
        rowmill.open(sample)
        assert cache_folder() == folder
        assert list((folder / "index").glob("*.index"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


def test_what_stages_made_is_listed_and_cleared(
    run_json: RunJson, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWMILL_CACHE", str(tmp_path / "cache"))
    kept = rowmill.open(sample).tokenize("bytes").cache()
    (entry,) = run_json("cache", "list", "--kind", "cached")["entries"]
    assert (entry["kind"], entry["num_bytes"] > 0) == ("cached", True)
    assert kept._plan.source.options.paths[0].startswith(entry["path"])
    # One that a kill has left is listed too.
    (tmp_path / "cache" / "cached" / ("0" * 32)).mkdir()
    (tmp_path / "cache" / "cached" / ("0" * 32) / ".rowmill-convert.jsonl").write_text("{}\n")
    assert run_json("cache", "clear", "--kind", "cached", "--yes")["num_removed"] == 2
    assert not [path for path in (tmp_path / "cache" / "cached").iterdir() if path.is_dir()]
