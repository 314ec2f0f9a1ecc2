"""`load_dataset("parquet", data_files=...)`: files of the Hub and URLs go the same way as a repository by its name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer

import rowmill
from rowmill.exceptions import DatasetNotFoundError, MissingShardError, OfflineError, RevisionNotFoundError

pytest.importorskip("huggingface_hub")
NUM_ROWS = 3000
FILES = [f"data/train-{index:05d}-of-00003.parquet" for index in range(3)]


def parquet(start: int) -> bytes:
    sink, random = io.BytesIO(), np.random.default_rng(start)
    # Long enough that what is read in one piece beside the short column is little of a file.
    texts = [random.bytes(600).hex() for _ in range(NUM_ROWS)]
    pq.write_table(pa.table({"id": np.arange(start, start + NUM_ROWS), "text": texts}), sink, row_group_size=500)
    return sink.getvalue()


@pytest.fixture
def repo(hub: HubServer, home: Path) -> Any:
    made = hub.create_repo("alice/words", {name: parquet(at * NUM_ROWS) for at, name in enumerate(FILES)})
    made.tag("v1")
    return made


def sent(hub: HubServer) -> int:
    """Bytes of data that left the Hub."""
    return sum(one.sent for one in hub.requests("GET") if "parquet" in one.path or "Signature" in one.path)


def test_files_of_the_hub_are_streamed_by_columns_at_one_commit(repo: Any, hub: HubServer) -> None:
    url = "hf://datasets/alice/words@v1/data/*.parquet"
    size = sum(len(parquet(at * NUM_ROWS)) for at in range(3))
    ds = rowmill.load_dataset("parquet", data_files=url, columns=["id"], streaming=True)
    assert [row["id"] for row in ds.shard(1, 0)] == list(range(3 * NUM_ROWS))
    assert sent(hub) < size / 4
    by_name = rowmill.load_dataset("alice/words", revision="v1", columns=["id"], streaming=True)
    assert ds.state_dict()["revision"] == by_name.state_dict()["revision"] == f"alice/words@{repo.sha}"
    assert ds.fingerprint == by_name.fingerprint
    downloaded = rowmill.load_dataset("parquet", data_files=url, columns=["id"], streaming=False)
    assert downloaded.fingerprint == ds.fingerprint
    hub.forget()
    assert rowmill.load_dataset("parquet", data_files=url, offline=True).num_rows == 3 * NUM_ROWS
    assert not hub.requests()


def test_files_of_several_places_are_read_together(repo: Any, hub: HubServer, home: Path, tmp_path: Path) -> None:
    hub.create_repo("alice/more", {"x.parquet": parquet(9000)})
    (tmp_path / "here.parquet").write_bytes(parquet(12000))
    files = {
        "train": [f"hf://datasets/alice/words/{FILES[0]}", "hf://datasets/alice/more/x.parquet"],
        "test": [str(tmp_path / "here.parquet")],
    }
    for streaming in (True, False):
        ds = rowmill.load_dataset("parquet", data_files=files, split="train+test", streaming=streaming)
        wanted = [first + at for first in (0, 9000, 12000) for at in range(NUM_ROWS)]
        assert [row["id"] for row in ds.shard(1, 0)] == wanted
        assert "revision" not in ds.state_dict()
        assert len(list(home.rglob("*.parquet"))) == (0 if streaming else 2)


@pytest.mark.parametrize("streaming", ["auto", False])
def test_urls_are_read_as_files_of_a_format(repo: Any, hub: HubServer, streaming: Any) -> None:
    url = f"{hub.endpoint}/datasets/alice/words/resolve/v1/{FILES[1]}"
    ds = rowmill.load_dataset("parquet", data_files=url, columns=["id"], streaming=streaming)
    assert [row["id"] for row in ds.shard(1, 0)] == list(range(NUM_ROWS, 2 * NUM_ROWS))
    with pytest.raises(DatasetNotFoundError, match=r"rowmill\.open reads; load_dataset takes it as data_files"):
        rowmill.load_dataset(url)
    with pytest.raises(OfflineError, match="read over the network, which is off"):
        rowmill.load_dataset("parquet", data_files=url, offline=True)


def test_lines_of_json_come_by_their_url(hub: HubServer, home: Path) -> None:
    hub.create_repo("alice/lines", {"a.jsonl": b'{"id": 1}\n{"id": 2}\n'})
    url = f"{hub.endpoint}/datasets/alice/lines/resolve/main/a.jsonl"
    assert [row["id"] for row in rowmill.load_dataset("json", data_files=url).shard(1, 0)] == [1, 2]


def test_file_urls_are_paths_and_chains_go_through_fsspec(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    (tmp_path / "a b.parquet").write_bytes(parquet(0))
    url = f"file://{tmp_path}/a b.parquet"
    assert rowmill.open(url).num_rows == rowmill.open([url]).num_rows == NUM_ROWS
    assert rowmill.open(f"file://{tmp_path}/*.parquet").num_rows == NUM_ROWS
    assert rowmill.load_dataset(f"file://{tmp_path}").num_rows == NUM_ROWS
    assert rowmill.load_dataset("parquet", data_files=url).num_rows == NUM_ROWS
    fsspec.filesystem("memory").pipe("/rows/x.parquet", parquet(0))
    assert rowmill.open("simplecache::memory://rows/x.parquet").num_rows == NUM_ROWS
    assert rowmill.load_dataset("parquet", data_files="simplecache::memory://rows/x.parquet").num_rows == NUM_ROWS
    with pytest.raises(MissingShardError, match="is not there"):
        rowmill.open("simplecache::memory://rows/nothing.parquet")


@pytest.mark.parametrize(
    ("revision", "named"), [(None, "main"), ("v1", "v1"), ("main", "v1"), ("v1", "main"), (None, "sha")]
)
def test_a_repositorys_own_files_may_be_named_with_the_commit_that_is_read(
    repo: Any, revision: str | None, named: str
) -> None:
    at = repo.sha if named == "sha" else named
    url = f"hf://datasets/alice/words@{at}/{FILES[2]}"
    for files in (url, [url], {"train": url}):
        assert rowmill.load_dataset("alice/words", revision=revision, data_files=files).num_rows == NUM_ROWS


def test_files_of_another_commit_are_refused_by_both_names(repo: Any) -> None:
    first = repo.sha
    repo.commit({FILES[0]: parquet(50)})
    for files in (f"hf://datasets/alice/words@v1/{FILES[0]}", [f"hf://datasets/alice/words@{first}/{FILES[0]}"]):
        with pytest.raises(RevisionNotFoundError, match=rf"commit {first}, and alice/words is read at {repo.sha}"):
            rowmill.load_dataset("alice/words", data_files=files)
        assert rowmill.load_dataset("alice/words", revision="v1", data_files=files).num_rows == NUM_ROWS
    # Also where the question was answered while both were one.
    assert rowmill.load_dataset("alice/words", data_files=f"hf://datasets/alice/words@main/{FILES[0]}").num_rows
    repo.commit({FILES[0]: parquet(60)})
    with pytest.raises(RevisionNotFoundError, match="never at two at once"):
        rowmill.load_dataset("alice/words", revision="v1", data_files=f"hf://datasets/alice/words@main/{FILES[0]}")


@pytest.mark.parametrize("files", [{}, [], 3, [None], {"train": []}], ids=str)
def test_data_files_that_name_nothing_are_refused(repo: Any, files: Any) -> None:
    for path in ("alice/words", "parquet"):
        with pytest.raises((ValueError, TypeError), match="data_files"):
            rowmill.load_dataset(path, data_files=files)
