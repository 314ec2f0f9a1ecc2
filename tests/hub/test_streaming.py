"""Streaming from the Hub: the same rows, order and cursors as of a data set that is here, whatever the network does."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_client import clean_environment, hub_environment
from hub_server import HubServer
from typer.testing import CliRunner

import rowmill
from rowmill.cli.main import app
from rowmill.hub import streaming

pytest.importorskip("huggingface_hub")

REPO = "alice/demo"
NUM_FILES, NUM_ROWS = 4, 300


def parquet(first: int, number: int = NUM_ROWS, other_bytes: int = 3000) -> bytes:
    """Three columns: a number, compressible text, and bytes that nobody asks for."""
    chance = np.random.default_rng(first)
    table = pa.table(
        {
            "id": np.arange(first, first + number),
            "text": [f"row {at} " + "word " * int(chance.integers(1, 40)) for at in range(first, first + number)],
            "other": [chance.bytes(other_bytes) for _ in range(number)],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=50, write_page_index=True, write_page_checksum=True)
    return sink.getvalue()


FILES: dict[str, Any] = {
    f"data/train-{at:05}-of-{NUM_FILES:05}.parquet": parquet(at * NUM_ROWS) for at in range(NUM_FILES)
}
FILES |= {"data/test-00000-of-00001.parquet": parquet(9000, 30), "README.md": "---\nlicense: mit\n---\n"}


@pytest.fixture(autouse=True)
def _hasty(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rowmill import remote

    monkeypatch.setattr("rowmill.hub.client.FIRST_WAIT", 0.001)
    remote.configure(
        first_wait=0.002,
        longest_wait=0.02,
        max_attempts=12,
        patience=20,
        timeout=5,
        requests_per_second=5000,
        cache=False,
    )


@pytest.fixture
def repo(hub: HubServer) -> Any:
    return hub.create_repo(REPO, FILES)


def load(**how: Any) -> rowmill.Dataset:
    return rowmill.load_dataset(REPO, **{"streaming": True, **how})


def shuffled(ds: rowmill.Dataset) -> rowmill.Dataset:
    return ds.shard(1, 0).shuffle(seed=3, window_bytes=8 << 10, num_lanes=4)


def ids(rows: Any) -> list[int]:
    return [row["id"] for row in rows]


def kept_files(home: Path) -> list[str]:
    return [path.name for path in (home / "hub").rglob("*.parquet")]


def test_a_stream_is_the_downloaded_data_set(hub: HubServer, home: Path, repo: Any) -> None:
    streamed = shuffled(load())
    rows = list(streamed)
    assert kept_files(home) == []
    here = shuffled(load(streaming=False))
    assert len(kept_files(home)) == NUM_FILES
    assert list(here) == rows
    assert (here.fingerprint, here.schema, len(here)) == (streamed.fingerprint, streamed.schema, len(streamed))
    assert here.state_dict() == streamed.state_dict()
    assert here.row_ids(0, 100) == streamed.row_ids(0, 100)


@pytest.mark.parametrize("is_first_streamed", [True, False])
def test_a_cursor_of_one_goes_on_with_the_other(repo: Any, is_first_streamed: bool) -> None:
    # The stream is opened before anything is here.
    streamed, here = shuffled(load()).batch(7), shuffled(load(streaming=False)).batch(7)
    first, second = (streamed, here) if is_first_streamed else (here, streamed)
    straight = [batch["id"].tolist() for batch in first]
    begun = iter(first)
    # The next epoch: resumed in its middle.
    head = [next(begun)["id"].tolist() for _ in range(60)]
    cursor = json.loads(json.dumps(begun.state_dict()))
    second.load_state_dict(cursor)
    tail = [batch["id"].tolist() for batch in second]
    assert sorted(itertools.chain(*head, *tail)) == sorted(itertools.chain(*straight))
    assert tail == [batch["id"].tolist() for batch in begun]


def test_only_the_columns_that_are_asked_for_travel(hub: HubServer) -> None:
    content = parquet(0, other_bytes=20_000)
    hub.create_repo("alice/wide", {"train.parquet": content})
    ds = rowmill.load_dataset("alice/wide", streaming=True, columns=["id"]).shard(1, 0)
    assert ids(ds) == list(range(NUM_ROWS))
    sent = sum(request.sent for request in hub.requests("GET", r"\.parquet"))
    # Footers, samples for the fingerprint, and a column of a few bytes a row.
    assert sent < len(content) / 10
    assert all(request.range for request in hub.requests("GET", r"\.parquet"))


def test_the_commit_is_in_every_address_and_stays(hub: HubServer, repo: Any) -> None:
    before = repo.sha
    ds = shuffled(load())
    rows = iter(ds)
    head = list(itertools.islice(rows, 10))
    repo.commit({path: parquet(5) for path in FILES if path.endswith("parquet")})
    rest = list(rows)
    assert sorted(ids(head + rest)) == list(range(NUM_FILES * NUM_ROWS))
    assert all(f"/resolve/{before}/" in request.path for request in hub.requests("GET", r"\.parquet"))
    # A cursor of one commit is refused at another, streamed or not.
    with pytest.raises(rowmill.StateMismatchError, match=f"{repo.sha}.*{before}"):
        shuffled(load()).load_state_dict(ds.state_dict())


def test_the_second_start_asks_for_nothing_but_the_revision(hub: HubServer, repo: Any) -> None:
    load()
    hub.forget()
    load()
    assert [request.path for request in hub.requests()] == [f"/api/datasets/{REPO}/revision/main"]
    hub.forget()
    assert load(revision=repo.sha).num_rows == NUM_FILES * NUM_ROWS
    assert hub.count() == 0


def test_what_is_here_is_read_here(hub: HubServer, repo: Any) -> None:
    some = sorted(path for path in FILES if "train" in path)[:3]
    rowmill.hub.download(REPO, include=some)
    hub.forget()
    ds = load().shard(1, 0)
    assert ids(ds) == list(range(NUM_FILES * NUM_ROWS))
    assert {request.path.rpartition("/")[2] for request in hub.requests("GET", r"\.parquet")} == {
        "train-00003-of-00004.parquet"
    }
    rowmill.load_dataset(REPO, streaming=False)
    hub.forget()
    assert ids(load(revision=repo.sha).shard(1, 0)) == list(range(NUM_FILES * NUM_ROWS))
    assert hub.count() == 0


def test_parts_of_splits_are_streamed(repo: Any) -> None:
    ds = load(split="train[:10%]+test[-2:]").shard(1, 0)
    assert ids(ds) == [*range(120), 9028, 9029]


def test_auto_streams_what_would_fill_the_disk(home: Path, repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(len(content) for path, content in FILES.items() if "train" in path)
    monkeypatch.setattr(streaming, "_free_bytes", lambda place: 2 * size - 2)
    assert ids(load(streaming="auto").shard(1, 0)) == list(range(NUM_FILES * NUM_ROWS))
    assert kept_files(home) == []
    monkeypatch.setattr(streaming, "_free_bytes", lambda place: 2 * size + 2)
    load(streaming="auto")
    assert len(kept_files(home)) == NUM_FILES


def test_other_formats_are_downloaded_with_a_word(hub: HubServer, recwarn: pytest.WarningsRecorder) -> None:
    hub.create_repo("alice/lines", {"train.jsonl": '{"id": 1}\n{"id": 2}\n'})
    assert ids(rowmill.load_dataset("alice/lines", streaming=True).shard(1, 0)) == [1, 2]
    assert [str(one.message) for one in recwarn.list if "streaming=True" in str(one.message)]
    recwarn.clear()
    assert ids(rowmill.load_dataset("alice/lines").shard(1, 0)) == [1, 2]
    assert recwarn.list == []


def test_offline_nothing_is_streamed(hub: HubServer, repo: Any) -> None:
    load()
    hub.forget()
    with pytest.raises(rowmill.OfflineError, match=r"train-00000-of-00004\.parquet"):
        load(offline=True)
    assert hub.count() == 0


def test_a_preset_streams(hub: HubServer, home: Path, repo: Any) -> None:
    def batches(**how: Any) -> list[Any]:
        ds = rowmill.create_huggingface_dataset(
            REPO, tokenizer_name="bytes", num_batches=20, seq_len=64, seed=1, column="text", **how
        )
        return [inputs.tolist() for inputs, _ in ds]

    streamed = batches(streaming=True)
    assert kept_files(home) == []
    assert batches(streaming=False) == streamed


def test_an_index_that_was_made_elsewhere_spares_the_headers(hub: HubServer, repo: Any, tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(
            app, ["index", *arguments, "--index-dir", str(tmp_path / "index")], prog_name="rowmill"
        )

    told = json.loads(run(REPO, "--revision", repo.sha[:10], "--json").stdout)
    assert (told["num_rows"], told["num_walked"]) == (NUM_FILES * NUM_ROWS, NUM_FILES)
    assert told["revision"] == f"{REPO}@{repo.sha}"
    shutil.copytree(tmp_path / "index", tmp_path / "copied")
    hub.forget()
    ds = load(index_dir=tmp_path / "copied")
    assert (ds.num_rows, ds.fingerprint) == (told["num_rows"], told["fingerprint"])
    assert hub.count("GET", r"\.parquet") == 0
    assert run(str(tmp_path), "--name", "en").exit_code == 2


def test_paths_of_the_hub_are_streamed_where_they_would_fill_the_disk(
    home: Path, repo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = f"hf://datasets/{REPO}@main/data/train-*.parquet"
    monkeypatch.setattr(streaming, "_free_bytes", lambda place: 1)
    streamed = rowmill.open(paths).shard(1, 0)
    rows = ids(streamed)
    assert (rows, kept_files(home)) == (list(range(NUM_FILES * NUM_ROWS)), [])
    monkeypatch.setattr(streaming, "_free_bytes", lambda place: 1 << 60)
    here = rowmill.open(paths).shard(1, 0)
    assert (ids(here), len(kept_files(home))) == (rows, NUM_FILES)
    assert (here.fingerprint, here.state_dict()) == (streamed.fingerprint, streamed.state_dict())


# Access.


def test_a_private_data_set_is_streamed_with_the_token_and_its_address_without(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create_repo("alice/private", FILES, private=True)
    hub.redirects = True
    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    ds = shuffled(rowmill.load_dataset("alice/private", streaming=True))
    assert b"hf_of_alice" not in pickle.dumps(ds)
    copy = pickle.loads(pickle.dumps(ds))
    assert sorted(ids(copy)) == list(range(NUM_FILES * NUM_ROWS))
    assert {request.token for request in hub.requests("GET", r"\.parquet", host="hub")} == {"hf_of_alice"}
    assert {request.token for request in hub.requests(host="cdn")} == {None}
    assert "hf_of_alice" not in json.dumps(ds.state_dict())


def test_two_private_data_sets_are_read_with_two_tokens(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_user("carol", "hf_of_carol")
    hub.create_repo("alice/private", FILES, private=True)
    hub.create_repo("carol/private", FILES, private=True)
    one = shuffled(rowmill.load_dataset("alice/private", streaming=True, token="hf_of_alice"))
    two = shuffled(rowmill.load_dataset("carol/private", streaming=True, token="hf_of_carol"))
    three = shuffled(rowmill.load_dataset("carol/private", streaming=True, token="hf_of_carol"))
    both = list(zip(ids(one), ids(two), strict=True))
    assert sorted(first for first, _ in both) == list(range(NUM_FILES * NUM_ROWS))
    for repo, token in (("alice/private", "hf_of_alice"), ("carol/private", "hf_of_carol")):
        assert {request.token for request in hub.requests("GET", rf"{repo}/.*\.parquet", host="hub")} == {token}
    # What a repository's own token does not open is told with the repository's name.
    hub.users.pop("hf_of_carol")
    with pytest.raises(rowmill.AccessDeniedError, match=r"carol/private/.*HF_TOKEN"):
        list(three)
    again = rowmill.load_dataset("alice/private", streaming=True, token="hf_of_alice")
    assert len(ids(again.shard(1, 0))) == NUM_FILES * NUM_ROWS


def test_spawned_workers_read_with_the_token_of_the_call(hub: HubServer) -> None:
    from torch.utils.data import DataLoader

    hub.create_repo("alice/private", FILES, private=True)
    ds = rowmill.load_dataset("alice/private", streaming=True, token="hf_of_alice", columns=["id"]).shard(1, 0)
    assert b"hf_of_alice" not in pickle.dumps(ds)
    loader = DataLoader(ds, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    assert sorted(row["id"] for row in loader) == list(range(NUM_FILES * NUM_ROWS))


# Lanes over files.


def test_no_footer_is_read_before_the_first_step(hub: HubServer) -> None:
    number = 100
    name = "data/train-{:05}-of-{:05}.parquet"
    hub.create_repo("alice/many", {name.format(at, number): parquet(at * 7, 7) for at in range(number)})
    ds = rowmill.load_dataset("alice/many", streaming=True, lanes_over="files").shard(1, 0)
    ds = ds.shuffle(1, num_lanes=4).filter(lambda row: row["id"] >= 0).batch(5)
    assert hub.count("GET", r"/resolve/.*\.parquet") == 0
    assert hub.count() <= number / 1000 + 12
    batches = iter(ds)
    first = next(batches)
    # Of the first files of some lanes, not of all files.
    assert len({request.path for request in hub.requests("GET", r"\.parquet")}) <= 4 * 2 + 1
    rest = [number for batch in batches for number in batch["id"].tolist()]
    assert sorted(first["id"].tolist() + rest) == list(range(7 * number))


def test_lanes_over_files_are_the_same_streamed_and_downloaded(hub: HubServer, repo: Any) -> None:
    how = {"lanes_over": "files"}
    streamed = load(**how).shard(1, 0).shuffle(2, num_lanes=2).batch(4)
    batches = iter(streamed)
    head = [next(batches)["id"].tolist() for _ in range(40)]
    state = json.loads(json.dumps(batches.state_dict()))
    assert state["revision"] == f"{REPO}@{repo.sha}"
    here = load(streaming=False, **how).shard(1, 0).shuffle(2, num_lanes=2).batch(4)
    assert here.fingerprint == streamed.fingerprint
    here.load_state_dict(state)
    tail = [batch["id"].tolist() for batch in here]
    assert tail == [batch["id"].tolist() for batch in batches]
    assert sorted(itertools.chain(*head, *tail)) == list(range(NUM_FILES * NUM_ROWS))
    with pytest.raises(rowmill.SchemaMismatchError, match="part of a split"):
        load(split="train[:10%]", **how)


def test_preflight_of_what_will_be_streamed(hub: HubServer, home: Path, repo: Any) -> None:
    report = rowmill.hub.preflight(REPO, streaming=True, ranks=2, batch_size=4, steps=9, columns=["id"])
    assert report.problems == []
    assert report.facts["num_rows"] == NUM_FILES * NUM_ROWS
    assert any("network" in text for text in report.warnings)
    assert kept_files(home) == []
    # Footers, and of each file's first and last blocks what is in them.
    assert hub.count("GET", r"\.parquet") < 12 * NUM_FILES
    told = CliRunner().invoke(app, ["preflight", REPO, "--streaming", "-c", "nothing"])
    assert told.exit_code == 1
    assert "no column 'nothing'" in told.stdout
    url = f"{hub.endpoint}/datasets/{REPO}/resolve/{repo.sha}/data/test-00000-of-00001.parquet"
    assert rowmill.hub.preflight(url).facts["num_rows"] == 30


def test_no_file_of_ours_holds_a_token_or_a_signature(
    hub: HubServer, tmp_path: Path, repo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rowmill import remote

    remote.configure(cache=True, cache_dir=str(tmp_path / "blocks"))
    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    hub.redirects = True
    assert len(ids(shuffled(load()))) == NUM_FILES * NUM_ROWS
    assert hub.count("GET", "Signature=", host="cdn")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"hf_of_alice" not in content, path
            assert b"Signature=" not in content, path


def test_expired_addresses_are_renewed(hub: HubServer, repo: Any) -> None:
    hub.redirects = True
    rows = iter(shuffled(load()))
    # By then every file has been asked for, and only the next windows are on their way.
    read = ids(itertools.islice(rows, 500))
    given = hub.count("GET", r"\.parquet", host="hub")
    hub.expire_urls()
    read += ids(rows)
    assert sorted(read) == list(range(NUM_FILES * NUM_ROWS))
    assert given < hub.count("GET", r"\.parquet", host="hub") <= given + 4 * NUM_FILES


def until_error(items: Any) -> tuple[list[Any], rowmill.RowmillError]:
    """What comes before an iterator's error, and that error."""
    read: list[Any] = []
    with pytest.raises(rowmill.RowmillError) as caught:
        _collect(items, read)
    return read, caught.value


def _collect(items: Any, into: list[Any]) -> None:
    for item in items:
        into.append(item)


def test_a_token_that_expires_on_the_way_is_told_at_its_step(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create_repo("alice/private", FILES, private=True)
    hub.add_user("alice", "hf_expires")
    monkeypatch.setenv("HF_TOKEN", "hf_expires")
    ds = rowmill.load_dataset("alice/private", streaming=True).shard(1, 0).batch(10)
    expected, read = list(range(NUM_FILES * NUM_ROWS)), []
    with ds.loader(num_threads=1, prefetch_batches=2) as loader:
        batches = iter(loader)
        read += next(batches)["id"].tolist()
        del hub.users["hf_expires"]
        more, error = until_error(batches)
        read += [number for batch in more for number in batch["id"].tolist()]
        state = loader.state_dict()
    assert "the server answers 401" in str(error)
    assert "hf_expires" not in str(error)
    # Nothing is lost: what was not delivered comes with a token that holds.
    assert read == expected[: len(read)]
    hub.add_user("alice", "hf_expires")
    again = rowmill.load_dataset("alice/private", streaming=True).shard(1, 0).batch(10)
    again.load_state_dict(state)
    assert read + [number for batch in again for number in batch["id"].tolist()] == expected


# Faults.

FAULTS: list[dict[str, Any]] = [
    {"status": 429, "times": 30, "headers": {"Retry-After": "0"}},
    {"status": 429, "share": 0.3, "headers": {"RateLimit": '"api";r=0;t=0'}},
    {"status": 503, "share": 0.3},
    {"status": 500, "share": 0.2},
    {"disconnect": True, "share": 0.2},
    {"cut": 500, "share": 0.2},
    {"truncate": 300, "share": 0.2},
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_what_passes_leaves_no_trace_in_the_stream(hub: HubServer, repo: Any, fault: dict[str, Any]) -> None:
    expected = ids(shuffled(load(streaming=False, cache_dir=os.environ["ROWMILL_CACHE"] + "-hub")))
    rule = hub.fault(method="GET", path=r"resolve.*\.parquet", **fault)
    assert ids(shuffled(load())) == expected
    assert rule.struck > 3


def test_a_server_that_ignores_ranges_is_read_right_or_told(hub: HubServer, repo: Any) -> None:
    hub.fault(method="GET", path=r"resolve.*\.parquet", ignore_range=True)
    ds = load(revision=repo.sha).shard(1, 0)
    assert ids(ds) == list(range(NUM_FILES * NUM_ROWS))


def test_a_flipped_bit_is_told_where_pages_have_checksums(hub: HubServer, repo: Any) -> None:
    ds = load().shard(1, 0)
    hub.fault(method="GET", path=r"resolve.*train-00002.*\.parquet", flip=(700,))
    read, error = until_error(iter(ds))
    assert isinstance(error, rowmill.CorruptShardError)
    assert "train-00002" in str(error)
    assert ids(read) == list(range(len(read)))
    assert len(read) >= 2 * NUM_ROWS


# Many processes.

WORKER = """
import json, sys
import rowmill
ds = rowmill.load_dataset("alice/demo", streaming=True)
print(json.dumps([ds.num_rows, ds.fingerprint]))
"""


@pytest.mark.processes
def test_lists_and_headers_are_asked_for_once_a_machine(hub: HubServer, home: Path, repo: Any) -> None:
    environment = clean_environment({**hub_environment(hub, home), "ROWMILL_CACHE": os.environ["ROWMILL_CACHE"]})
    job = {"WORLD_SIZE": "6", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}

    def run(rank: int) -> None:
        command = [sys.executable, "-c", WORKER]
        done = subprocess.run(
            command,
            env={**environment, **job, "RANK": str(rank)},
            capture_output=True,
            text=True,
            check=True,
            timeout=200,
        )
        told.append(json.loads(done.stdout.splitlines()[-1]))

    told: list[Any] = []
    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [told[0]] * 6
    assert hub.count(path="/revision/") == 1
    assert hub.count(path="/tree/") == 1
    # A few a file, of six processes.
    assert hub.count(path=r"\.parquet") <= 5 * NUM_FILES


RANK = """
import json, os, sys
from torch import distributed
import rowmill
distributed.init_process_group("gloo")
ds = rowmill.load_dataset("alice/demo", streaming=True, columns=["id"])
ds = ds.shuffle(seed=3, window_bytes=8 << 10, num_lanes=4).batch(6)
steps = [batch["id"].tolist() for batch in rowmill.DataLoader(ds, num_workers=2)]
with open(os.path.join(sys.argv[1], f"rank-{distributed.get_rank()}.json"), "w") as file:
    json.dump(steps, file)
distributed.destroy_process_group()
"""


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(280)
def test_two_ranks_of_two_workers_stream_each_row_once_in_its_step(
    hub: HubServer, home: Path, repo: Any, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    (tmp_path / "rank.py").write_text(RANK)
    environment = clean_environment({**hub_environment(hub, home), "ROWMILL_CACHE": os.environ["ROWMILL_CACHE"]})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*command, str(tmp_path / "rank.py"), str(tmp_path)],
        env={**environment, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=250,
    )
    ranks = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2)]
    order = shuffled(load()).row_ids(0, NUM_FILES * NUM_ROWS)
    steps = [sorted(one + other) for one, other in zip(*ranks, strict=True)]
    assert steps == [sorted(order[first : first + 12]) for first in range(0, NUM_FILES * NUM_ROWS, 12)]
    assert kept_files(home) == []
    assert hub.count(path="/tree/") == 1


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_soak_of_20_000_requests_with_faults_gives_the_golden_order(hub: HubServer) -> None:
    tiny = {f"train-{at:03}.parquet": _many_groups(at * 400) for at in range(10)}
    hub.create_repo("alice/soak", tiny)
    busy: dict[str, Any] = {"status": 429, "headers": {"Retry-After": "0"}}
    for seed, fault in enumerate([busy, {"status": 503}, {"disconnect": True}, {"cut": 40}, {"truncate": 9}]):
        hub.fault(method="GET", path=r"resolve.*\.parquet", share=0.01, seed=seed, **fault)
    while hub.count("GET", r"\.parquet") < 20_000:
        # Opened anew, so that nothing of the last pass is in memory.
        ds = rowmill.load_dataset("alice/soak", streaming=True).shard(1, 0).shuffle(9, window_bytes=1, num_lanes=8)
        ds.set_epoch(4)
        golden = ds.row_ids(0, 4000)
        assert ids(ds) == golden
    assert sorted(golden) == list(range(4000))
    assert hashlib.sha256(json.dumps(golden).encode()).hexdigest()[:16] == "b3c36ced7b739095"


def _many_groups(first: int) -> bytes:
    chance, sink = np.random.default_rng(first), io.BytesIO()
    table = pa.table({"id": np.arange(first, first + 400), "other": [chance.bytes(2000) for _ in range(400)]})
    pq.write_table(table, sink, row_group_size=1)
    return sink.getvalue()
