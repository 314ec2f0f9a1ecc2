"""`download --columns`: whole files only, whatever is killed or damaged on the way, and no word too much of them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from typer.testing import CliRunner

import rowmill
from rowmill.cli.main import app
from rowmill.exceptions import CorruptShardError, OfflineError

pytest.importorskip("huggingface_hub")
REPO = "alice/columns"
NAME = "data/train-00000-of-00001.parquet"
NUM_ROWS = 40_000


def table() -> pa.Table:
    numbers = np.random.default_rng(7).integers(0, 1 << 60, NUM_ROWS)
    return pa.table({"id": np.arange(NUM_ROWS), "value": numbers, "text": [f"row {row}" for row in range(NUM_ROWS)]})


def parquet(**written: Any) -> bytes:
    sink = io.BytesIO()
    plain = {"compression": "none", "use_dictionary": False, "row_group_size": NUM_ROWS // 8}
    pq.write_table(table(), sink, **{**plain, **written})
    return sink.getvalue()


def chunk(data: bytes, group: int, column: str = "value") -> tuple[int, int]:
    """Where the values of a row group's column lie."""
    told = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(group).column(["id", "value", "text"].index(column))
    return told.data_page_offset, told.total_compressed_size


def values(folder: Path, column: str = "value") -> list[Any]:
    return pq.read_table(folder / NAME)[column].to_pylist()


@pytest.fixture(autouse=True)
def _hasty() -> Any:
    rowmill.remote.configure(first_wait=0.01)
    yield
    rowmill.remote.configure(first_wait=0.25)


@pytest.fixture
def data(hub: HubServer, home: Path) -> bytes:
    made = parquet(write_page_checksum=True)
    hub.create_repo(REPO, {NAME: made})
    return made


def fetch(folder: Path, **asked: Any) -> Any:
    return rowmill.hub.download(REPO, columns=["value"], to=folder, **asked)


@pytest.mark.parametrize(
    "fault", [{"truncate": 1000}, {"cut": 1000}, {"ignore_range": True}, {"status": 503}, {"disconnect": True}], ids=str
)
def test_an_answer_that_is_no_good_is_asked_for_again(
    data: bytes, hub: HubServer, tmp_path: Path, fault: dict[str, Any]
) -> None:
    # Behind what tells of the revision, the list of files and the footer.
    rule = hub.fault(method="GET", path="(resolve/.*parquet|Signature)", skip=3, times=2, **fault)
    assert fetch(tmp_path / "here").num_fetched == 1
    assert rule.struck == 2
    assert values(tmp_path / "here") == table()["value"].to_pylist()


@pytest.mark.parametrize(
    ("column", "written"), [("value", {"write_page_checksum": True}), ("text", {"compression": "gzip"})]
)
def test_flipped_bits_are_found_where_pages_tell_and_fetched_once_more(
    hub: HubServer, home: Path, tmp_path: Path, column: str, written: dict[str, Any]
) -> None:
    data = parquet(**written)
    hub.create_repo(REPO, {NAME: data})
    start, length = chunk(data, 3, column)
    rule = flip_in(hub, start + length // 2, times=1)
    assert rowmill.hub.download(REPO, columns=column, to=tmp_path / "here").num_fetched == 1
    assert rule.struck == 1
    assert values(tmp_path / "here", column) == table()[column].to_pylist()
    hub.faults.clear()
    # Of another repository, of which nothing is kept on the disk.
    hub.create_repo("alice/other", {NAME: data})
    flip_in(hub, start + length // 2, times=None)
    with pytest.raises(CorruptShardError, match=f"{NAME} of alice/other.* came twice with damaged bytes"):
        rowmill.hub.download("alice/other", columns=[column], to=tmp_path / "other")
    assert not [path for path in (tmp_path / "other").rglob("*") if path.is_file()]


def flip_in(hub: HubServer, place: int, times: int | None) -> Any:
    """A fault that turns over a bit of the file's byte at ``place``, wherever the range begins that it comes in."""
    from hub_server.faults import Fault

    class InFile(Fault):
        def strikes(self, request: Any) -> bool:
            span = request.range
            if not span or ("parquet" not in request.path and "Signature" not in request.path):
                return False
            first, _, last = span.removeprefix("bytes=").partition("-")
            if not first or not int(first) <= place <= int(last or place) or int(last or place) - int(first) < 100:
                return False
            if not super().strikes(request):
                return False
            self.flip = (place - int(first),)
            return True

    return hub.fault(InFile(method="GET", times=times))


@pytest.mark.processes
def test_a_second_run_that_is_killed_harms_nothing(data: bytes, hub: HubServer, tmp_path: Path) -> None:
    hub.bytes_per_second = 60_000
    command = [sys.executable, "-m", "rowmill", "download", REPO, "-c", "value", "--to", str(tmp_path / "here")]
    first = start(command)
    wait_for(lambda: written(tmp_path / "here") > 0)
    second, size, deadline = start(command), 0, time.monotonic() + 4
    # It would open what the first one writes, which is short then.
    while size <= written(tmp_path / "here") and first.poll() is None and time.monotonic() < deadline:
        size = written(tmp_path / "here")
        time.sleep(0.005)
    second.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    second.communicate()
    assert succeeds(first)
    assert values(tmp_path / "here") == table()["value"].to_pylist()
    # And of one that is killed alone nothing stays.
    command[-1] = str(tmp_path / "there")
    killed = start(command)
    wait_for(lambda: written(tmp_path / "there") > 0)
    killed.kill()
    killed.communicate()
    hub.bytes_per_second = 0
    assert succeeds(start(command))
    assert [path.name for path in (tmp_path / "there").rglob("*") if path.is_file()] == [Path(NAME).name]
    assert values(tmp_path / "there") == table()["value"].to_pylist()


@pytest.mark.processes
def test_two_runs_at_once_both_succeed(data: bytes, hub: HubServer, tmp_path: Path) -> None:
    hub.bytes_per_second = 1_000_000
    command = [sys.executable, "-m", "rowmill", "download", REPO, "-c", "value", "--to", str(tmp_path / "here")]
    both = [start([*command, "--json"]) for _ in range(2)]
    told = [one.communicate(timeout=100) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    assert sorted(json.loads(out)["num_fetched"] for out, _ in told) == [0, 1]
    assert values(tmp_path / "here") == table()["value"].to_pylist()


def written(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*.part"))
    except FileNotFoundError:
        return 0


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def succeeds(process: subprocess.Popen[str]) -> bool:
    told = process.communicate(timeout=100)
    assert process.returncode == 0, told
    return True


def wait_for(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_what_is_there_serves_without_a_network(
    data: bytes, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(tmp_path / "here")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.forget()
    assert fetch(tmp_path / "here").num_fetched == 0
    assert not hub.requests()
    with pytest.raises(OfflineError, match=f"1 files of {REPO}.*rowmill download {REPO} --revision .* -c value --to"):
        fetch(tmp_path / "elsewhere")


def test_damage_on_the_disk_is_found_and_mended(data: bytes, tmp_path: Path) -> None:
    fetch(tmp_path / "here")
    path = tmp_path / "here" / NAME
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 8
    path.write_bytes(damaged)
    assert fetch(tmp_path / "here", check=False).num_fetched == 0
    assert fetch(tmp_path / "here").num_fetched == 1
    assert values(tmp_path / "here") == table()["value"].to_pylist()


def test_a_file_that_is_here_whole_is_not_read_over_the_network(data: bytes, hub: HubServer, tmp_path: Path) -> None:
    made = rowmill.hub.download(REPO)
    hub.forget()
    rowmill.hub.download(REPO, revision=made.sha, columns="value", to=tmp_path / "here")
    assert not hub.requests()
    assert values(tmp_path / "here") == table()["value"].to_pylist()


@pytest.mark.parametrize("columns", [["text", "text"], []])
def test_a_column_comes_once(data: bytes, tmp_path: Path, columns: list[str]) -> None:
    with pytest.raises(ValueError, match=r"more than once|no column"):
        rowmill.hub.download(REPO, columns=columns, to=tmp_path / "here")


def test_the_summary_says_what_was_compared(data: bytes, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["download", REPO, "-c", "value", "--to", str(tmp_path)], prog_name="rowmill")
    assert told.exit_code == 0, told.output
    assert "all as the commit says" not in told.output
    assert "sizes, footers, schemas and rows" in " ".join(told.output.split())
    whole = CliRunner().invoke(app, ["download", REPO], prog_name="rowmill")
    assert "all as the commit says" in whole.output


def test_a_bar_counts_the_bytes_of_the_columns(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rowmill.conversion import progress

    bars: list[Any] = []

    class Seen(progress.Bar):
        def __init__(self, title: str, total: int, **options: Any) -> None:
            super().__init__(title, total, **options)
            bars.append(self)

    monkeypatch.setattr("rowmill.hub.column_files.Bar", Seen)
    fetch(tmp_path / "here")
    wanted = sum(chunk(data, group)[1] for group in range(8))
    assert [(bar.done, bar.total) for bar in bars] == [(wanted, wanted)]


@pytest.mark.skipif(os.name == "nt", reason="links want rights there")
def test_no_link_in_the_folder_is_written_through(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here" / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptShardError, match="is a link that leads out"):
        fetch(tmp_path / "here")
    assert not list((tmp_path / "elsewhere").iterdir())
