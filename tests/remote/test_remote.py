"""URLs as datasets: the same rows in the same order as the files behind them, or a typed error."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from remote.object_server import Asked, ObjectServer
from shards import write_shards

import rowmill
import rowmill.remote
from rowmill.remote import RemoteFile, open_files


def local(server: ObjectServer) -> rowmill.Dataset:
    return rowmill.open([str(path) for path in sorted(server.folder.glob("*"))])


def known(server: ObjectServer, tag: str | None = "sha") -> list[RemoteFile]:
    files = sorted(server.folder.glob("*"))
    return [RemoteFile(f"{server.origin}/{path.name}", path.stat().st_size, tag) for path in files]


def ids(dataset: rowmill.Dataset) -> list[int]:
    return [row["id"] for row in dataset]


def test_rows_and_fingerprint_are_those_of_the_files(server: ObjectServer) -> None:
    there, here = rowmill.open(server.urls()), local(server)
    assert (there.num_rows, there.fingerprint, there.schema) == (here.num_rows, here.fingerprint, here.schema)
    assert list(there) == list(here)
    assert [shard["path"] for shard in there._plan.source.rust.shards()] == server.urls()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_stream_is_that_of_the_files(server: ObjectServer, data: st.DataObject) -> None:
    ranks = data.draw(st.integers(1, 3))
    mode = data.draw(st.sampled_from(["window", "shard", "row", "none"]))
    seed, lanes = data.draw(st.integers(0, 99)), data.draw(st.sampled_from([1, 4, 64]))
    names = data.draw(st.lists(st.sampled_from(["id", "text", "tokens", "maybe"]), unique=True, min_size=1))
    threads = data.draw(st.integers(0, 2))

    def stream(dataset: rowmill.Dataset) -> list[list[Any]]:
        shuffled = dataset.select_columns(names).shuffle(seed, mode=mode, num_lanes=lanes)
        return [list(shuffled.shard(ranks, rank).loader(num_threads=threads)) for rank in range(ranks)]

    assert stream(rowmill.open(server.urls())) == stream(local(server))


@pytest.mark.parametrize("container", ["stream", "file", "parquet", "tar"])
def test_every_format_is_read_by_ranges(container: str, tmp_path: Path) -> None:
    write_shards(tmp_path / "other", container=container)
    with ObjectServer(tmp_path / "other") as server:
        there = rowmill.open(server.urls())
        assert there.fingerprint == local(server).fingerprint
        assert list(there.shuffle(3)) == list(local(server).shuffle(3))


def test_a_cursor_moves_between_a_url_and_its_file(server: ObjectServer) -> None:
    there = rowmill.open(server.urls(), columns=["id"]).shuffle(5).batch(4)
    loader = there.loader()
    iterator = iter(loader)
    seen = [next(iterator)["id"].tolist() for _ in range(5)]
    state = loader.state_dict()
    loader.close()
    here = local(server).select_columns(["id"]).shuffle(5).batch(4)
    whole = [batch["id"].tolist() for batch in here]
    for again in (rowmill.open(server.urls(), columns=["id"]).shuffle(5).batch(4), here):
        again.load_state_dict(state)
        assert seen + [batch["id"].tolist() for batch in again] == whole


def test_what_was_opened_before_costs_one_look_and_what_is_known_none(server: ObjectServer) -> None:
    rowmill.open(server.urls())
    server.asked.clear()
    rowmill.open(server.urls())
    assert len(server.asked) == len(server.urls())
    assert server.sent_bytes == len(server.urls())
    server.asked.clear()
    files = known(server)
    opened = open_files(files, immutable=True)
    assert server.asked
    server.asked.clear()
    again = open_files(files, immutable=True)
    assert (again.num_rows, again.fingerprint, server.asked) == (opened.num_rows, opened.fingerprint, [])
    assert ids(again) == ids(local(server))


def test_an_index_of_urls_moves_to_another_machine(server: ObjectServer, tmp_path: Path) -> None:
    files = known(server)
    open_files(files, immutable=True, index_dir=tmp_path / "index")
    (tmp_path / "index").rename(tmp_path / "elsewhere")
    server.asked.clear()
    assert open_files(files, immutable=True, index_dir=tmp_path / "elsewhere").num_rows == local(server).num_rows
    assert not server.asked


def test_only_the_columns_asked_for_are_fetched(tmp_path: Path) -> None:
    folder = tmp_path / "wide"
    folder.mkdir()
    count = 40_000
    table = pa.table({f"c{at}": pa.array(range(at, at + count), pa.int64()) for at in range(8)})
    pq.write_table(table, folder / "x.parquet", row_group_size=10_000, compression=None, use_dictionary=False)
    with ObjectServer(folder) as server:
        ds = rowmill.open(server.urls(), columns=["c3", "c6"])
        server.asked.clear()
        assert sum(row["c3"] for row in ds) == sum(range(3, 3 + count))
        columns = 2 * 8 * count
        assert columns <= server.sent_bytes <= 1.1 * columns + (64 << 10)


@pytest.mark.parametrize("has_index", [True, False])
def test_pages_of_large_row_groups_are_fetched_alone(tmp_path: Path, has_index: bool) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    count = 3_000_000
    table = pa.table({"id": pa.array(range(count), pa.int64()), "other": pa.array(range(count), pa.int64())})
    pq.write_table(
        table, folder / "x.parquet", row_group_size=count, compression=None, use_dictionary=False,
        write_page_index=has_index,
    )  # fmt: skip
    with ObjectServer(folder) as server:
        rowmill.remote.configure(cache=False)
        ds = rowmill.open(server.urls(), columns=["id"])
        assert ds._plan.source.rust.num_blocks > 1
        server.asked.clear()
        assert ds.fetch([count - 1, 5]) == [{"id": count - 1}, {"id": 5}]
        if has_index:
            assert server.sent_bytes < 8 * count
        batches = ds.batch(1 << 16).with_format("numpy")
        assert sum(int(batch["id"].sum()) for batch in batches) == count * (count - 1) // 2


def test_faults_that_pass_change_nothing(server: ObjectServer) -> None:
    faults: list[int | str] = [503, "cut", 429, 500, "cut", 502, 504]
    server.fault = lambda _, before: faults[before // 5 % len(faults)] if before % 5 == 0 else None
    rowmill.remote.configure(cache=False)
    before = rowmill.remote.stats()["retries"]
    loader = rowmill.open(server.urls()).shuffle(1).loader()
    assert [row["id"] for row in loader] == ids(local(server).shuffle(1))
    assert rowmill.remote.stats()["retries"] > before
    assert loader.stats()["remote"]["requests"] > 0


def test_a_server_that_stays_down_is_told_and_the_stream_goes_on_later(server: ObjectServer) -> None:
    rowmill.remote.configure(cache=False)
    ds = rowmill.open(server.urls()).shuffle(1)
    server.fault = lambda *_: 503
    with pytest.raises(rowmill.UnreachableError, match="503"):
        list(ds)
    assert issubclass(rowmill.UnreachableError, ConnectionError)
    server.fault = None
    assert ids(ds.set_epoch(0)) == ids(local(server).shuffle(1))


def test_an_object_that_changes_is_an_error(server: ObjectServer) -> None:
    rowmill.remote.configure(cache=False)
    ds = rowmill.open(server.urls())
    server.etag = "2"
    with pytest.raises(rowmill.CorruptShardError, match="changed"):
        list(ds)


def test_errors_are_typed(server: ObjectServer) -> None:
    with pytest.raises(rowmill.MissingShardError, match="404"):
        rowmill.open(f"{server.origin}/nothing.parquet")
    server.token = "Bearer right"
    with pytest.raises(rowmill.AccessDeniedError, match="401"):
        rowmill.open(server.urls())
    server.token = None
    server.fault = lambda *_: "whole"
    assert ids(rowmill.open(server.urls())) == ids(local(server))


def test_a_token_is_sent_to_its_origin_only_and_stands_nowhere(
    server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ObjectServer(server.folder, fault=lambda *_: "away", token="Bearer s3cret") as door:
        door.elsewhere = server.origin
        rowmill.remote.set_token(door.origin, "s3cret")
        ds = rowmill.open(door.urls(), index_dir=tmp_path / "index").shuffle(1)
        assert ids(ds) == ids(local(server).shuffle(1))
        assert {request.authorization for request in door.asked} == {"Bearer s3cret"}
        assert {request.authorization for request in server.asked} == {None}
        written = b"".join(path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file())
        for text in (written, pickle.dumps(ds), repr(ds).encode(), str(ds.state_dict()).encode()):
            assert b"s3cret" not in text


def test_a_spawned_process_finds_its_token_anew(server: ObjectServer, tmp_path: Path) -> None:
    server.token = "Bearer from-the-environment"
    code = "import pickle, sys; ds = pickle.load(open(sys.argv[1], 'rb')); print(sum(row['id'] for row in ds))"
    rowmill.remote.set_token(server.origin, "from-the-environment")
    ds = open_files(known(server, tag=None), credentials=((server.origin, "env:MY_TOKEN"),))
    (tmp_path / "ds.pickle").write_bytes(pickle.dumps(ds))

    def run(**env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, str(tmp_path / "ds.pickle")]
        return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)

    done = run(MY_TOKEN="from-the-environment")
    assert done.stdout.strip() == str(sum(ids(local(server)))), done.stderr
    assert "AccessDeniedError" in run(MY_TOKEN="wrong", ROWMILL_CACHE=str(tmp_path / "fresh")).stderr


def test_blocks_come_from_the_disk_the_second_time(server: ObjectServer) -> None:
    ds = rowmill.open(server.urls()).shuffle(1)
    first = ids(ds)
    server.asked.clear()
    again = rowmill.open(server.urls()).shuffle(1)
    server.asked.clear()
    assert ids(again) == first
    assert server.asked == []
    rowmill.remote.configure(cache=False)
    assert ids(rowmill.open(server.urls()).shuffle(1)) == first
    assert server.asked


def test_forked_workers_read_on_their_own(server: ObjectServer) -> None:
    from torch.utils.data import DataLoader

    ds = rowmill.open(server.urls()).shuffle(2)
    expected = sorted(ids(ds))
    loader = DataLoader(ds, batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert sorted(row["id"] for row in loader) == expected


def test_a_signature_in_a_url_is_written_nowhere(server: ObjectServer, tmp_path: Path) -> None:
    urls = [f"{url}?X-Amz-Signature=s3cret" for url in server.urls()]
    ds = rowmill.open(urls, index_dir=tmp_path / "index")
    assert ids(ds) == ids(local(server))
    assert all(request.path.endswith("s3cret") for request in server.asked)
    written = b"".join(path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file())
    assert b"s3cret" not in written + pickle.dumps(ds)
    with pytest.raises(ValueError, match="netrc") as raised:
        rowmill.open("https://user:s3cret@example.org/x.parquet")
    assert "s3cret" not in str(raised.value)


def test_text_is_fetched_once_and_converted(tmp_path: Path) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "x.jsonl").write_text('{"id": 1}\n{"id": 2}\n')
    with ObjectServer(folder) as server:
        assert ids(rowmill.open(server.urls())) == [1, 2]
        server.asked.clear()
        assert ids(rowmill.open(server.urls())) == [1, 2]
        assert server.sent_bytes <= 1


def test_other_urls_come_through_fsspec(server: ObjectServer) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path in sorted(server.folder.glob("*")):
        memory.pipe(f"/rowmill-test/{path.name}", path.read_bytes())
    ds = rowmill.open("memory://rowmill-test/*.parquet").shuffle(4)
    assert ids(ds) == ids(local(server).shuffle(4))
    with pytest.raises(rowmill.MissingShardError):
        rowmill.open("memory://rowmill-test/nothing.parquet")


def test_what_was_damaged_on_its_way_is_fetched_once_more(tmp_path: Path) -> None:
    folder = tmp_path / "checked"
    folder.mkdir()
    table = pa.table({"id": list(range(3000)), "text": [f"{row} " * 50 for row in range(3000)]})
    pq.write_table(table, folder / "x.parquet", row_group_size=500, write_page_checksum=True, compression="none")
    with ObjectServer(folder) as server:
        # The footer and every block, each once: what the cache keeps of a damaged answer is no answer either.
        flipped: set[tuple[int, int]] = set()

        def flip(asked: Asked, _: int) -> str | None:
            is_first = (asked.start, asked.stop) not in flipped and asked.stop - asked.start > 1
            flipped.add((asked.start, asked.stop))
            return "flip" if is_first else None

        server.fault = flip
        for _ in range(2):
            ds = rowmill.open(server.urls(), index_dir=tmp_path / "index", force_reindex=True)
            assert [row["text"] for row in ds.loader(num_threads=1)] == table["text"].to_pylist()
        assert len(flipped) > 3
        # One that stays damaged is an error, at its step.
        server.etag, server.fault = "2", lambda asked, _: "flip" if asked.stop - asked.start > 20_000 else None
        with pytest.raises(rowmill.CorruptShardError):
            list(rowmill.open(server.urls(), index_dir=tmp_path / "index"))


def test_a_server_that_wants_an_hour_keeps_nobody_longer_than_patience(server: ObjectServer) -> None:
    expected = list(rowmill.open(server.folder).shuffle(seed=1))
    rowmill.remote.configure(patience=1, cache=False)
    ds = rowmill.open(server.urls()).shuffle(seed=1)
    server.fault = lambda *_: "later"
    with pytest.raises(rowmill.UnreachableError):
        list(ds)
    server.fault = None
    assert list(ds) == expected


def test_a_token_belongs_to_what_lies_below_its_url(tmp_path: Path) -> None:
    write_shards(tmp_path / "all" / "one", container="parquet", columns=["id"])
    write_shards(tmp_path / "all" / "two", container="parquet", columns=["id"])
    tokens = {"one": "Bearer first", "two": "Bearer second"}
    with ObjectServer(tmp_path / "all") as served:
        served.fault = lambda asked, _: None if asked.authorization == tokens[asked.path.split("/")[1]] else 401
        urls = {name: [f"{served.origin}/{name}/shard-{at}.parquet" for at in (0, 2)] for name in tokens}
        rowmill.remote.set_token(f"{served.origin}/one/", "first")
        rowmill.remote.set_token(f"{served.origin}/two", "second")
        both = [rowmill.open(urls[name]).shuffle(1) for name in tokens]
        rows = [iter(ds) for ds in both]
        # In turns: neither takes the other's place.
        pairs = list(zip(*rows, strict=True))
        assert all(one["id"] == two["id"] for one, two in pairs)
        rowmill.remote.set_token(f"{served.origin}/two", "wrong")
        with pytest.raises(rowmill.AccessDeniedError, match=rf"{served.origin}/two/.*HF_TOKEN"):
            rowmill.open(urls["two"], force_reindex=True)
        assert len(list(rowmill.open(urls["one"], force_reindex=True))) == 63


def read_ids(ds: rowmill.Dataset, queue: Any) -> None:
    """In a process of its own: it finds what it needs in the dataset, or nowhere."""
    try:
        queue.put(sorted(row["id"] for row in ds))
    except rowmill.RowmillError as error:
        queue.put(type(error).__name__)


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_started_process_has_the_token_and_no_other_pickle(server: ObjectServer, method: str) -> None:
    server.token = "Bearer s3cret"
    rowmill.remote.set_token(server.origin, "s3cret")
    ds = rowmill.open(server.urls()).shuffle(1)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=read_ids, args=(ds, queue))
    process.start()
    found = queue.get(timeout=120)
    process.join()
    assert found == ids(local(server))
    # What is pickled for anybody else: a file, another machine.
    assert b"s3cret" not in pickle.dumps(ds)
    assert "s3cret" not in repr(vars(ds._plan.source))


def test_spawned_workers_read_with_a_token(server: ObjectServer) -> None:
    from torch.utils.data import DataLoader

    server.token = "Bearer s3cret"
    rowmill.remote.set_token(server.origin, "s3cret")
    rowmill.remote.configure(cache=False)
    for ds in (rowmill.open(server.urls()), rowmill.open(server.urls(), lanes_over="files").shuffle(1, num_lanes=2)):
        loader = DataLoader(ds.select_columns(["id"]), batch_size=None, num_workers=2, multiprocessing_context="spawn")
        assert sorted(row["id"] for row in loader) == ids(local(server))


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_an_address_of_the_hub_is_not_asked_for_offline(
    server: ObjectServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.origin)
    monkeypatch.setenv(name, "1")
    for ask in (
        lambda: rowmill.open(server.urls()),
        lambda: rowmill.open(server.urls(), lanes_over="files"),
        lambda: rowmill.open(f"{server.origin}/x.jsonl"),
        lambda: open_files(known(server)),
    ):
        with pytest.raises(rowmill.OfflineError, match=r"shard-0\.parquet|x\.jsonl"):
            ask()
    assert server.asked == []
    # Other servers are nobody's business.
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.test")
    assert len(ids(rowmill.open(server.urls()))) == 70


def test_a_filter_by_expression_skips_row_groups(server: ObjectServer) -> None:
    rowmill.remote.configure(cache=False)
    condition = pc.field("id") < 9
    for ds in (rowmill.open(server.urls()), local(server)):
        loader = ds.select_columns(["id", "text"]).shuffle(1, num_lanes=2).filter(condition).loader()
        assert sorted(row["id"] for row in loader) == list(range(9))
        # Row groups of 6: two of 23 rows' four, none of the other files'.
        assert loader.stats()["blocks_pruned"] == 2 + 7 + 2


def test_files_are_opened_when_their_lane_comes_to_them(server: ObjectServer) -> None:
    rowmill.remote.configure(cache=False)
    ds = rowmill.open(server.urls(), lanes_over="files").shuffle(1, num_lanes=2).select_columns(["id"]).batch(3)
    assert server.asked == []
    assert ds._plan.source.fingerprint
    batches = iter(ds)
    next(batches)
    assert server.asked
    state = json.loads(json.dumps(batches.state_dict()))
    again = rowmill.open(server.urls(), lanes_over="files").shuffle(1, num_lanes=2).select_columns(["id"]).batch(3)
    again.load_state_dict(state)
    assert [batch["id"].tolist() for batch in again] == [batch["id"].tolist() for batch in batches]
    # A list that knows sizes has the fingerprint of the files.
    told = open_files(known(server), lanes_over="files")
    assert told.fingerprint == rowmill.open(server.folder, lanes_over="files").fingerprint
