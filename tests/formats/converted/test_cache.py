"""Where converted text is kept: made once, whole or not there, and made again when the file has changed."""

from __future__ import annotations

import errno
import gzip
import json
import os
import pickle
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from formats.converted.texts import lines_of, put, rows_of
from processes.launch import GENEROUS, finish, start

import rowmill
from rowmill.conversion import cache


def test_a_file_is_converted_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "rows.jsonl", '{"a": 1}\n')
    assert rows_of(path) == [{"a": 1}]
    with monkeypatch.context() as patch:
        patch.setattr(cache, "convert_text", None)
        assert rows_of(path) == [{"a": 1}]
        assert pickle.loads(pickle.dumps(rowmill.open(path))).fetch([0]) == [{"a": 1}]
    before = path.stat()
    put(path, '{"a": 2}\n')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert rows_of(path) == [{"a": 2}]


def test_a_cursor_holds_although_the_cache_was_cleared(tmp_path: Path, home: Path) -> None:
    path = put(tmp_path / "rows.jsonl.gz", gzip.compress(lines_of([{"id": index} for index in range(500)]).encode()))

    def opened() -> rowmill.Dataset:
        return rowmill.open(path).shuffle(3).shard(1, 0).batch(10)

    straight = [batch["id"].tolist() for batch in opened()]
    loader = opened().loader()
    iterator = iter(loader)
    first = [next(iterator)["id"].tolist() for _ in range(20)]
    state = json.loads(json.dumps(loader.state_dict()))
    loader.close()
    shutil.rmtree(home)
    shutil.copy(path, tmp_path / "copy.jsonl.gz")
    path = tmp_path / "copy.jsonl.gz"
    ds = opened()
    ds.load_state_dict(state)
    assert first + [batch["id"].tolist() for batch in ds] == straight


def test_a_conversion_that_lost_a_shard_is_made_again(tmp_path: Path, home: Path) -> None:
    path = put(tmp_path / "rows.jsonl", '{"a": 1}\n')
    rows_of(path)
    next(home.glob("*/part-00000.arrow")).unlink()
    assert rows_of(path) == [{"a": 1}]


def test_a_file_that_changes_meanwhile_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "rows.jsonl", '{"a": 1}\n')
    convert = cache.convert_text

    def slow(files: Any, folder: Any, tell: Any) -> Any:
        made = convert(files, folder, tell)
        put(path, '{"a": 1}\n{"a": 2}\n')
        return made

    monkeypatch.setattr(cache, "convert_text", slow)
    with pytest.raises(rowmill.CorruptShardError, match="changed while it was converted"):
        rowmill.open(path)
    monkeypatch.undo()


def test_a_cache_that_cannot_be_written_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "rows.jsonl", '{"a": 1}\n')
    no_folder = put(tmp_path / "file", "")
    with pytest.raises(rowmill.AccessDeniedError, match="cache_dir or ROWMILL_CACHE"):
        rowmill.open(path, cache_dir=no_folder)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no room left; the converted text files") as caught:
        rowmill.open(path)
    assert caught.value.errno == errno.ENOSPC


OPEN = "import rowmill, sys; ds = rowmill.open(sys.argv[1]); print(ds.fingerprint, ds.num_rows)"


@pytest.mark.processes
def test_processes_that_open_at_once_share_one_conversion(tmp_path: Path, home: Path) -> None:
    path = put(tmp_path / "rows.jsonl", lines_of([{"id": index, "text": "x" * 500} for index in range(20_000)]))
    told = {finish(start("-W", "error", "-c", OPEN, path)) for process in range(1)}
    shutil.rmtree(home)
    several = [start("-W", "error", "-c", OPEN, path) for _ in range(3)]
    assert {finish(process) for process in several} == told
    assert len(list(home.glob("*/conversion.json"))) == 1
    assert list(home.glob("*.part")) == []


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_conversion_leaves_nothing_that_is_read(tmp_path: Path, home: Path) -> None:
    # The last line widens the schema, so that a kill finds the first pass, the search, or the second one.
    rows = [{"id": index, "text": f"{index} " * 200} for index in range(60_000)]
    path = put(tmp_path / "rows.jsonl", lines_of([*rows, {"id": 0.5, "text": "last"}]))
    kills = 0
    for delay in (0.0, 0.05, 0.15, 0.3):
        process = start("-c", OPEN, path)
        until = time.monotonic() + GENEROUS
        while not list(home.glob("*.part/*.arrow")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=GENEROUS)
        kills += bool(list(home.glob("*.part")))
    assert kills
    assert list(home.glob("*/conversion.json")) == []
    # Another file's conversion sweeps up as well.
    assert rows_of(put(tmp_path / "other.jsonl", '{"a": 1}\n')) == [{"a": 1}]
    assert list(home.glob("*.part")) == []
    ds = rowmill.open(path)
    assert (ds.num_rows, ds.fetch([0, 60_000])[1]) == (60_001, {"id": 0.5, "text": "last"})
    assert [shard["num_rows"] for shard in ds._plan.source.rust.shards()] == [60_001]
