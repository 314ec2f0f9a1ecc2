"""Offline is a mode like any other: the same rows, order and cursor, without a request; what is missing is listed."""

import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_client import clean_environment, hub_environment, run_client
from hub_server import HubServer

import rowmill
from rowmill.hub.repository import open_repository
from rowmill.hub.settings import find_settings

pytest.importorskip("huggingface_hub")


def parquet(start: int, stop: int) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(start, stop))}), sink, row_group_size=7)
    return sink.getvalue()


FILES = {f"data/train-{shard:05}-of-00004.parquet": parquet(shard * 50, shard * 50 + 50) for shard in range(4)}
FILES["README.md"] = "---\nlicense: mit\n---\n"


@pytest.mark.usefixtures("home")
def test_offline_gives_the_same_rows_order_and_cursor(hub: HubServer, monkeypatch: pytest.MonkeyPatch):
    hub.create_repo("alice/demo", FILES)

    def run(**how: bool) -> tuple[list[int], str]:
        iterator = iter(rowmill.load_dataset("alice/demo", **how).shuffle(seed=5).batch(8).with_format("python"))
        taken = [row for _ in range(9) for row in next(iterator)["id"]]
        return taken, json.dumps(iterator.state_dict(), sort_keys=True)

    online = run()
    hub.forget()
    assert run(offline=True) == online
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
        assert run() == online
        monkeypatch.delenv(name)
    # Without what rowmill itself has written down, too.
    shutil.rmtree(os.environ["ROWMILL_CACHE"])
    assert run(offline=True) == online
    assert hub.count() == 0


@pytest.mark.usefixtures("home")
def test_what_is_missing_is_listed_file_by_file_with_the_command(hub: HubServer, home: Path):
    repo = hub.create_repo("alice/demo", FILES)
    run_client(
        hub, home, "from huggingface_hub import snapshot_download\n"
        "snapshot_download('alice/demo', repo_type='dataset', allow_patterns=['*.md', '*00001-of*'])"
    )  # fmt: skip
    with pytest.raises(rowmill.OfflineError) as caught:
        rowmill.load_dataset("alice/demo", offline=True)
    text = str(caught.value)
    for shard in (0, 2, 3):
        name = f"data/train-{shard:05}-of-00004.parquet"
        assert f"{name} ({len(FILES[name]):,} bytes)" in text
    assert "train-00001" not in text
    command = text.rpartition("fetches them: ")[2]
    assert command.startswith(f"hf download alice/demo --repo-type dataset --revision {repo.sha} --include ")
    # What the message says works.
    arguments = [sys.executable, "-m", "huggingface_hub.cli.hf", *shlex.split(command)[1:]]
    subprocess.run(arguments, check=True, capture_output=True, env=clean_environment(hub_environment(hub, home)))
    assert rowmill.load_dataset("alice/demo", offline=True).num_rows == 200


@pytest.mark.usefixtures("home")
def test_what_older_clients_left_without_a_list_is_read_with_a_warning_unless_a_gap_shows(hub: HubServer, home: Path):
    hub.create_repo("alice/demo", FILES)
    rowmill.load_dataset("alice/demo")
    shutil.rmtree(os.environ["ROWMILL_CACHE"])
    shutil.rmtree(home / "hub" / "datasets--alice--demo" / "trees")
    with pytest.warns(UserWarning, match="no list of the files"):
        assert rowmill.load_dataset("alice/demo", offline=True).num_rows == 200
    shutil.rmtree(os.environ["ROWMILL_CACHE"])
    next((home / "hub").rglob("train-00002*")).unlink()
    with (
        pytest.warns(UserWarning, match="no list of the files"),
        pytest.raises(rowmill.OfflineError, match=r"3 of the 4 files data/train-\*-of-00004"),
    ):
        rowmill.load_dataset("alice/demo", offline=True)


@pytest.mark.usefixtures("home")
def test_a_truncated_file_is_missing(hub: HubServer, home: Path):
    hub.create_repo("alice/demo", FILES)
    rowmill.load_dataset("alice/demo")
    cut = next((home / "hub").rglob("train-00002*"))
    os.truncate(cut.resolve(), 100)
    with pytest.raises(rowmill.OfflineError, match="train-00002"):
        rowmill.load_dataset("alice/demo", offline=True)
    assert len(list(rowmill.load_dataset("alice/demo").shard(1, 0))) == 200


@pytest.mark.usefixtures("home")
def test_nothing_in_the_cache_names_what_is_like_it(hub: HubServer):
    hub.create_repo("alice/fineweb-edu", FILES)
    rowmill.load_dataset("alice/fineweb-edu")
    hub.forget()
    with pytest.raises(rowmill.OfflineError, match=r"(?s)alice/fineweb-edu\..*hf download alice/finewebedu"):
        rowmill.load_dataset("alice/finewebedu", offline=True)
    assert hub.count() == 0
    with pytest.raises(rowmill.DatasetNotFoundError, match="The cache has alice/fineweb-edu"):
        rowmill.load_dataset("alice/finewebedu")


def test_folders_of_the_clients_are_where_they_say(
    hub: HubServer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hub.create_repo("alice/demo", FILES)
    places = {
        "HF_HOME": tmp_path / "a" / "hub",
        "HF_HUB_CACHE": tmp_path / "b",
        "cache_dir": tmp_path / "c",
    }
    for name, folder in places.items():
        if name != "cache_dir":
            monkeypatch.setenv(name, str(folder.parent if name == "HF_HOME" else folder))
        ds = rowmill.load_dataset("alice/demo", cache_dir=folder if name == "cache_dir" else None)
        assert ds.num_rows == 200
        assert (folder / "datasets--alice--demo" / "refs" / "main").is_file()
        # What was fetched by us serves the client, of the same variables, without a request for a file.
        hub.forget()
        code = "from huggingface_hub import snapshot_download as s\nresult = s('alice/demo', repo_type='dataset'"
        environment = {} if name == "cache_dir" else {"HF_HOME": str(home), name: str(folder)}
        environment |= {"HF_HOME": str(folder.parent)} if name == "HF_HOME" else {}
        more = f", cache_dir={str(folder)!r})" if name == "cache_dir" else ")"
        assert str(folder) in run_client(hub, home, code + more, **environment)
        assert hub.count("GET", "/resolve/") == 0
    assert not (home / "hub").exists()


WARM = """
import json, sys, time
sys.modules["torch"] = None
import rowmill
import rowmill.hub.load
from rowmill.exceptions import OfflineError
rowmill.load_dataset("alice/demo", offline=True)
begun = time.perf_counter()
rowmill.load_dataset("alice/demo", offline=True)
print(json.dumps([time.perf_counter() - begun, "huggingface_hub" in sys.modules, "yaml" in sys.modules]))
"""


def test_a_warm_load_offline_needs_no_client_at_all(hub: HubServer, home: Path):
    hub.create_repo("alice/demo", FILES)
    rowmill.load_dataset("alice/demo")
    environment = clean_environment({**hub_environment(hub, home), "ROWMILL_CACHE": os.environ["ROWMILL_CACHE"]})
    done = subprocess.run([sys.executable, "-c", WARM], env=environment, capture_output=True, text=True, check=True)
    _, has_hub, has_yaml = json.loads(done.stdout.splitlines()[-1])
    assert (has_hub, has_yaml) == (False, False)


FETCH = """
import sys
sys.modules["torch"] = None
from rowmill.hub.repository import open_repository
from rowmill.hub.settings import find_settings
open_repository("alice/large", None, find_settings()).fetch(sys.argv[1:])
"""


@pytest.mark.processes
def test_a_kill_in_the_middle_of_a_download_loses_nothing_and_leaves_no_lock(hub: HubServer, home: Path):
    large = os.urandom(3 << 20)
    files = {f"train-{shard}.bin": large[shard:] for shard in range(3)}
    hub.create_repo("alice/large", files)
    hub.bytes_per_second = 1 << 20
    environment = clean_environment({**hub_environment(hub, home), "ROWMILL_CACHE": os.environ["ROWMILL_CACHE"]})
    child = subprocess.Popen([sys.executable, "-c", FETCH, *files], env=environment, stderr=subprocess.DEVNULL)
    sleep = threading.Event().wait
    while not hub.count("GET", "resolve.*bin") and child.poll() is None:
        sleep(0.02)
    sleep(0.5)
    assert child.poll() is None
    child.kill()
    child.wait()
    hub.bytes_per_second = 0
    repository = open_repository("alice/large", None, find_settings())
    for path, local in zip(files, repository.fetch(list(files)), strict=True):
        assert Path(local).read_bytes() == files[path]
