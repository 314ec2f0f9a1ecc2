"""Pushes of the same data at once: one after the other."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hub_server import HubServer
from shards import write_shards

import rowmill
from rowmill.hub.pushing import Pushed, push

pytest.importorskip("huggingface_hub")
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.usefixtures("as_alice"),
]
REPO = "alice/demo"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_shards(tmp_path / "data", sizes=(600, 600, 600), columns=["id", "text", "tokens"])
    return tmp_path / "data"


@pytest.mark.processes
def test_two_commands_that_push_the_same_both_end_well(hub: HubServer, data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rowmill", "push", str(data), REPO, "--shard-bytes", "9000"]
    hub.fault(method="POST", path="/commit/", latency=6.0, times=1)
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while not list((tmp_path / "rowmill" / "push").glob("*/dataset.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for process in (first, second):
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert len(hub.repos["dataset", REPO].commits) == 2  # the empty one, and one of both
    assert not list((tmp_path / "rowmill" / "push").glob("*"))


def test_the_second_waits_for_the_first_and_says_so(
    hub: HubServer, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.fault(method="POST", path="/commit/", latency=2.0, times=1)
    done: list[Pushed] = []
    with caplog.at_level(logging.WARNING, "rowmill.hub"):
        first = threading.Thread(target=lambda: done.append(push(data, REPO)))
        first.start()
        deadline = time.monotonic() + 60
        while hub.count("PUT") == 0 and first.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        second = push(rowmill.open(data), REPO)
        first.join()
    assert "another push to alice/demo goes on here" in caplog.text
    assert second.num_uploaded == 0
    assert [one.sha for one in done] == [second.sha]
