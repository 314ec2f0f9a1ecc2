"""Interrupts, closing, exits and forks: nothing hangs and no thread stays."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from processes.launch import finish, start
from shards import flat, ids, write_shards

import rowmill

pytestmark = [pytest.mark.processes]

HANG = 30  # seconds; what ends at all ends in two

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@pytest.fixture
def ds(tmp_path: Path) -> rowmill.Dataset:
    return rowmill.open(write_shards(tmp_path / "data", [3000], block_rows=30, columns=["id", "tokens"])).batch(2)


def engine_threads() -> int:
    number = 0
    for entry in Path("/proc/self/task").iterdir():
        # A thread may end between the listing and the look.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            number += Path(entry, "comm").read_text().startswith("rowmill")
    return number


def wait_for_threads(numbers: range) -> None:
    """A thread has its name, and has gone, a moment later than the call that asked for it returns."""
    end = time.monotonic() + HANG
    while engine_threads() not in numbers and time.monotonic() < end:
        time.sleep(0.01)
    assert engine_threads() in numbers


@linux
def test_threads_start_at_the_first_next_and_end_with_close(ds) -> None:
    wait_for_threads(range(1))
    loader = ds.loader(num_threads=2)
    iterator = iter(loader)
    assert engine_threads() == 0
    next(iterator)
    wait_for_threads(range(2, 4))  # and perhaps one that reads ahead
    loader.close()
    wait_for_threads(range(1))


@linux
@pytest.mark.parametrize("way", ["del", "exhausted", "left", "with"])
def test_threads_end_with_their_iterator(ds, way) -> None:
    wait_for_threads(range(1))
    loader = ds.loader(num_threads=2)
    iterator = iter(loader)
    next(iterator)
    wait_for_threads(range(2, 4))  # and perhaps one that reads ahead
    if way == "del":
        del iterator
        gc.collect()
    elif way == "exhausted":
        list(iterator)
    elif way == "left":
        del iterator
        for _ in loader:
            break
        gc.collect()
    else:
        with loader:
            pass
    wait_for_threads(range(1))


@pytest.mark.parametrize("how", ["", "import sys; sys.exit(0)", "raise SystemExit(0)"])
def test_an_interpreter_with_a_live_iterator_exits(tmp_path: Path, how: str) -> None:
    write_shards(tmp_path, [3000], block_rows=30)
    code = (
        "import sys; sys.modules['torch'] = None; import rowmill\n"
        f"it = iter(rowmill.open(sys.argv[1]).shuffle(1))\nnext(it)\n{how}\n"
    )
    assert finish(start("-c", code, tmp_path), HANG) == ""


@posix
def test_an_interrupt_during_a_wait_is_a_keyboard_interrupt_and_prompt(tmp_path: Path) -> None:
    write_shards(tmp_path / "data", [5000], block_rows=10)
    code = """
import sys, time, rowmill
ds = rowmill.open(sys.argv[1]).repeat().batch(50, fill_null=0)
print("begun", flush=True)
try:
    for batch in ds.loader(num_threads=1, prefetch_batches=1):
        pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    process = start("-c", code, tmp_path / "data")
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert finish(process, HANG) == "interrupted\n"


FORK = """
import os, sys, time
sys.modules["torch"] = None  # starts faster
import rowmill
ds = rowmill.open(sys.argv[1]).select_columns(["id"]).shuffle(1).batch(2)
iterator = iter(ds.loader(num_threads=2))
first = [next(iterator)["id"].tolist() for _ in range(5)]
child = os.fork()
if child == 0:
    {child}
    os._exit(0)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
rest = [batch["id"].tolist() for batch in iterator]
assert sorted(sum(first + rest, [])) == list(range(3000))
print("fine")
"""

OWN = """
    mine = [batch["id"].tolist() for batch in ds.loader(num_threads=2)]
    assert sorted(sum(mine, [])) == list(range(3000)), len(mine)
    assert mine[:5] == first
"""

INHERITED = """
    got = []
    try:
        for batch in iterator:
            got.append(batch["id"].tolist())
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    del iterator
"""

EXIT = """
    sys.exit(0)
"""


@posix
@pytest.mark.parametrize("child", [OWN, INHERITED, EXIT, "pass"], ids=["own", "inherited", "exit", "nothing"])
def test_a_fork_under_a_live_iterator_hangs_nobody(tmp_path: Path, child: str) -> None:
    write_shards(tmp_path, [3000], block_rows=30, columns=["id", "text"])
    for _ in range(2):
        assert finish(start("-W", "ignore", "-c", FORK.format(child=child.strip()), tmp_path), HANG).endswith("fine\n")


def test_an_iterator_that_another_thread_reads_says_so_and_own_ones_work(ds) -> None:
    results: list[list[int]] = []
    threads = [threading.Thread(target=lambda: results.append(flat(ids(b) for b in ds.loader()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
        assert not thread.is_alive()
    assert len(results) == 4


@linux
def test_memory_stays_flat_while_reading(tmp_path: Path) -> None:
    ds = (
        rowmill.open(write_shards(tmp_path, [4000], block_rows=50, columns=["id", "tokens", "text"]))
        .shuffle(1)
        .batch(4)
    )

    def anonymous() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) * 1024

    loader = ds.loader(num_threads=1)
    for _ in range(2):
        for _ in loader:
            pass
    gc.collect()
    before = anonymous()
    for _ in range(8):
        for _ in loader:
            pass
    gc.collect()
    assert anonymous() - before < 16 << 20
