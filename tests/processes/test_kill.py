"""kill -9 at 20 random moments: what the resumed processes read together is the straight run."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from pathlib import Path

import pytest
from processes.launch import GENEROUS, environment, finish, start
from processes.mixed import mixed
from shards import copy, row, write_shards

import rowmill

READER = Path(__file__).parent / "reader.py"

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9"),
    pytest.mark.timeout(400),
]


def journal_of(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("step-*.json"))]


def test_a_process_killed_at_20_random_moments_reads_the_straight_run(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_shards(data, [1500, 0, 1211, 1289], block_rows=100, columns=["id", "text", "tokens"])
    journal = tmp_path / "journal"
    journal.mkdir()
    kill_20_times(data, journal)
    read = journal_of(journal)
    ds = rowmill.open(data).shuffle(seed=42).batch(5)
    expected = [batch["id"].tolist() for reader in [copy(ds)] for _ in range(2) for batch in reader]
    assert [step["ids"] for step in read] == expected
    assert all(step["text"] == [row(index)["text"] for index in step["ids"]] for step in read)
    assert all(step["tokens"] == sum(sum(row(index)["tokens"]) for index in step["ids"]) for step in read)


def test_a_packing_process_killed_at_20_random_moments_reads_the_straight_run(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_shards(data, [1500, 0, 1211, 1289], block_rows=100, columns=["id", "text", "tokens"])
    journal = tmp_path / "journal"
    journal.mkdir()
    kill_20_times(data, journal, "packed")
    ds = rowmill.open(data).shuffle(seed=42).tokenize("bytes").pack(40, mode="best_fit", document_ids=True).batch(5)
    expected = [batch for reader in [copy(ds)] for _ in range(2) for batch in reader]
    read = journal_of(journal)
    assert len(read) == len(expected)
    for step, batch in zip(read, expected, strict=True):
        assert all(step[name] == batch[name].tolist() for name in ("input_ids", "labels", "document_ids"))


def test_a_process_that_packs_a_mix_killed_at_20_random_moments_reads_the_straight_run(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_shards(data, [1500, 0, 1211, 1289], block_rows=100, columns=["id", "text", "tokens"])
    journal = tmp_path / "journal"
    journal.mkdir()
    kill_20_times(data, journal, "mixed")
    ds = mixed(str(data)).tokenize("bytes").pack(40, mode="best_fit", document_ids=True).batch(5)
    expected = [batch for reader in [copy(ds)] for _ in range(2) for batch in reader]
    read = journal_of(journal)
    assert len(read) == len(expected)
    for step, batch in zip(read, expected, strict=True):
        assert all(step[name] == batch[name].tolist() for name in ("input_ids", "labels", "document_ids"))


def kill_20_times(data: Path, journal: Path, *options: str) -> None:
    """Starts the reader and kills it, 20 times; then lets it read to the end."""
    chooser = random.Random(2024)
    kills = 0
    while kills < 20:
        process = start(READER, data, journal, 2, *options)
        # Some kills fall into the start, most between any two instructions of the reading.
        lines, delay = chooser.choice([0, 1, 5, 15]), chooser.random() * 0.02
        for _ in range(lines):
            if not process.stdout.readline():
                break
        threading.Event().wait(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=GENEROUS)
        kills += 1
    begun = len(journal_of(journal))
    assert 20 < begun < 1600
    finish(start(READER, data, journal, 2, *options))


def test_a_lock_held_by_a_killed_process_is_free(tmp_path: Path) -> None:
    data, index = tmp_path / "data", tmp_path / "index"
    write_shards(data)
    holder = start(
        "-c",
        "import fcntl, pathlib, sys, time\n"
        "import rowmill\n"
        "rowmill.open(sys.argv[1], index_dir=sys.argv[2])\n"
        "files = [open(path, 'rb+') for path in pathlib.Path(sys.argv[2]).rglob('*') if path.is_file()]\n"
        "[fcntl.flock(file, fcntl.LOCK_EX) for file in files]\n"
        "print(len(files), flush=True)\n"
        "time.sleep(600)\n",
        data,
        index,
    )
    assert int(holder.stdout.readline()) >= 1
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate(timeout=GENEROUS)
    code = "import rowmill, sys; print(len(list(rowmill.open(sys.argv[1], index_dir=sys.argv[2], force_reindex=True))))"
    assert finish(start("-c", code, data, index)).strip() == "70"


def test_a_walk_that_is_killed_leaves_what_the_next_one_needs(tmp_path: Path) -> None:
    data, index = tmp_path / "data", tmp_path / "index"
    write_shards(data, [20] * 300, columns=["id"])
    code = (
        "import rowmill, sys\n"
        "print('begun', flush=True)\n"
        "while True: rowmill.open(sys.argv[1], index_dir=sys.argv[2], force_reindex=True)\n"
    )
    chooser = random.Random(7)
    for _ in range(6):
        process = start("-c", code, data, index)
        assert process.stdout.readline() == "begun\n"
        threading.Event().wait(chooser.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=GENEROUS)
        # Whatever is there is whole, or made anew.
        opened = rowmill.open(data, index_dir=index)
        assert opened.num_rows == 6000
        assert opened.fingerprint == rowmill.open(data, index_dir=tmp_path / "other").fingerprint
    kept = {path.name for path in index.rglob("*") if path.is_file()}
    rowmill.open(data, index_dir=index, force_reindex=True)
    assert len({path.name for path in index.rglob("*") if path.is_file()}) <= len(kept)


def test_processes_that_open_at_the_same_time_agree(tmp_path: Path) -> None:
    data, index = tmp_path / "data", tmp_path / "index"
    write_shards(data, [50] * 40, columns=["id"])
    code = (
        "import rowmill, sys\n"
        "for _ in range(5):\n"
        "    ds = rowmill.open(sys.argv[1], index_dir=sys.argv[2], force_reindex=_ % 2 == 0)\n"
        "    assert len(list(ds)) == 2000\n"
        "print(ds.fingerprint)\n"
    )
    assert "PYTHONPATH" in environment()
    several = [start("-W", "error", "-c", code, data, index) for _ in range(3)]
    assert len({finish(process) for process in several}) == 1
