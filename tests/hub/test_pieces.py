"""Large files by several ranges: the exact bytes, on from where a killed run stopped, and no token on the way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hub_client import clean_environment, hub_environment
from hub_server import HubServer

import rowmill
from rowmill.hub import pieces
from rowmill.hub.repository import Repository, open_repository
from rowmill.hub.settings import find_settings

pytest.importorskip("huggingface_hub")

PIECE = 4096
CONTENT = os.urandom(10 * PIECE + 77)
NAME = "data/large.bin"


@pytest.fixture(autouse=True)
def _small_and_hasty(home: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", PIECE)
    monkeypatch.setattr("rowmill.hub.client.FIRST_WAIT", 0.001)
    if request.node.get_closest_marker("processes"):
        # The server of this process must be able to keep another one waiting.
        return
    sleep = time.sleep
    monkeypatch.setattr("time.sleep", lambda seconds: sleep(min(seconds, 0.01)))


@pytest.fixture
def repository(hub: HubServer) -> Repository:
    hub.create_repo("alice/large", {NAME: CONTENT, "small.bin": b"few"})
    return open_repository("alice/large", "main", find_settings())


def bytes_sent(hub: HubServer) -> int:
    return sum(request.sent for request in hub.requests("GET", rf"/resolve/.*{NAME}|^/[0-9a-f]{{64}}"))


def left(home: Path) -> list[str]:
    return [path.name for path in (home / "hub").rglob("*.rowmill.*")]


def test_a_file_comes_in_pieces_and_serves_the_real_client(hub: HubServer, home: Path, repository: Repository) -> None:
    assert Path(repository.fetch([NAME])[0]).read_bytes() == CONTENT
    asked = {request.range for request in hub.requests("GET", f"/resolve/.*{NAME}")}
    assert asked == {f"bytes={at}-{min(at + PIECE, len(CONTENT)) - 1}" for at in range(0, len(CONTENT), PIECE)}
    assert bytes_sent(hub) == len(CONTENT)
    assert left(home) == []
    hub.forget()
    import huggingface_hub

    where = {"repo_type": "dataset", "endpoint": hub.endpoint, "cache_dir": home / "hub"}
    again = huggingface_hub.hf_hub_download("alice/large", NAME, **where)
    assert Path(again).read_bytes() == CONTENT
    assert hub.count("GET", "/resolve/") == 0


def test_pieces_come_through_rust(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowmill.hub.client.Client.ranged", lambda *_: pytest.fail("the client was asked"))
    assert Path(repository.fetch([NAME])[0]).read_bytes() == CONTENT


def test_a_way_that_only_the_client_knows_is_gone_at_once(
    hub: HubServer, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def nothing_comes(url: str, headers: object, start: int, stop: int, path: object, timeout: float) -> int:
        asked.append(start)
        return 0

    monkeypatch.setattr("rowmill._rust.fetch_piece", nothing_comes)
    monkeypatch.setattr("rowmill.hub.repository._NUM_CONNECTIONS", 1)
    assert Path(repository.fetch([NAME])[0]).read_bytes() == CONTENT
    assert asked == [0]
    assert bytes_sent(hub) == len(CONTENT)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_under_a_piece_is_an_error(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    from rowmill import _rust

    fetch = _rust.fetch_piece
    monkeypatch.setattr("rowmill._rust.fetch_piece", lambda *args: fetch(*args[:4], "/dev/full", args[5]))
    with pytest.raises(OSError, match="there is no room left"):
        repository.fetch([NAME])
    assert not repository.is_here(NAME)


@pytest.mark.parametrize(
    "fault",
    [
        {"cut": 1000, "times": 5},
        {"truncate": 1000, "times": 3},
        {"status": 503, "times": 3},
        {"status": 429, "times": 3, "headers": {"Retry-After": "0"}},
        {"disconnect": True, "times": 3},
    ],
    ids=str,
)
def test_what_passes_is_asked_for_again_from_where_it_stopped(
    hub: HubServer, repository: Repository, fault: dict
) -> None:
    rule = hub.fault(method="GET", path="resolve.*large", **fault)
    assert Path(repository.fetch([NAME])[0]).read_bytes() == CONTENT
    assert rule.struck == fault["times"]
    # What had come is not sent twice; a cut loses what was under way.
    assert bytes_sent(hub) <= len(CONTENT) + 6 * PIECE


@pytest.mark.parametrize("fault", [{"ignore_range": True}, {"flip": (99,), "times": 1}], ids=str)
def test_what_pieces_cannot_do_a_whole_file_can(
    hub: HubServer, home: Path, repository: Repository, fault: dict
) -> None:
    hub.fault(method="GET", path="resolve.*large", **fault)
    assert Path(repository.fetch([NAME])[0]).read_bytes() == CONTENT
    assert left(home) == []


def test_bytes_that_stay_wrong_are_refused(hub: HubServer, home: Path, repository: Repository) -> None:
    hub.fault(method="GET", path="resolve.*large", flip=(99,))
    with pytest.raises(rowmill.CorruptShardError, match=r"large\.bin.*other bytes"):
        repository.fetch([NAME])
    assert not repository.is_here(NAME)
    assert left(home) == []


def test_expired_addresses_are_renewed_and_see_no_token(
    hub: HubServer, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    hub.redirects = True
    fault = hub.fault(host="cdn", status=403, times=4)
    assert Path(repository.fetch([NAME])[0]).read_bytes() == CONTENT
    assert fault.struck == 4
    assert hub.count("GET", host="cdn") >= 11 + 4
    assert {request.token for request in hub.requests(host="cdn")} == {None}


FETCH = """
import sys
sys.modules["torch"] = None
from rowmill.hub import pieces
pieces.PIECE_BYTES = int(sys.argv[1])
from rowmill.hub.repository import open_repository
from rowmill.hub.settings import find_settings
open_repository("alice/large", "main", find_settings()).fetch(sys.argv[2:])
"""


@pytest.mark.processes
@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
def test_a_killed_run_goes_on_with_the_pieces_that_are_missing(hub: HubServer, home: Path) -> None:
    hub.create_repo("alice/large", {NAME: CONTENT})
    hub.fault(method="GET", path="resolve.*large", skip=4, latency=60)
    environment = clean_environment({**hub_environment(hub, home), "ROWMILL_CACHE": os.environ["ROWMILL_CACHE"]})
    child = subprocess.Popen([sys.executable, "-c", FETCH, str(PIECE), NAME], env=environment)
    notes = home / "hub"
    while child.poll() is None and not any(
        path.read_text().count("\n") == 5 for path in notes.rglob("*.rowmill.pieces")
    ):
        threading.Event().wait(0.01)
    assert child.poll() is None
    child.kill()
    child.wait()
    hub.faults.clear()
    hub.forget()
    repository = open_repository("alice/large", "main", find_settings())
    assert Path(repository.fetch([NAME])[0]).read_bytes() == CONTENT
    assert bytes_sent(hub) == len(CONTENT) - 4 * PIECE
    assert left(home) == []
