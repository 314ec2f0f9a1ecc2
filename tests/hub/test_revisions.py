"""A revision is a promise: one commit, or an error; never another revision."""

import io
import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_client import run_client
from hub_server import HubServer, Repo

import rowmill

pytest.importorskip("huggingface_hub")


COUNT_ROWS = """
from datasets import load_dataset
def count(revision, token=None):
    return len(load_dataset("alice/final", revision=revision, split="train", token=token))
"""


def parquet(num_rows: int) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(num_rows))}), sink)
    return sink.getvalue()


@pytest.fixture
def repo(hub: HubServer) -> Repo:
    """A private repository of two commits: 100 rows, then 7."""
    made = hub.create_repo("alice/final", {"data/train-00000-of-00001.parquet": parquet(100)}, private=True)
    made.tag("v1")
    made.commit({"data/train-00000-of-00001.parquet": parquet(7)})
    return made


def commit_of(dataset: rowmill.Dataset) -> tuple[int, str]:
    return dataset.num_rows, dataset.state_dict()["revision"].partition("@")[2]


@pytest.mark.usefixtures("home")
def test_every_way_to_name_a_commit_leads_to_it(
    hub: HubServer, repo: Repo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    first, second = repo.refs["refs/tags/v1"], repo.sha
    repo.branch("feature/x", first)
    pull = repo.pull_request(first)
    repo.convert({"default/train/0000.parquet": parquet(3)})
    names = ("v1", "feature/x", pull, first, first[:7], f"refs/heads/feature/x", "refs/tags/v1")  # noqa: F541
    with caplog.at_level(logging.INFO, "rowmill.hub"):
        for name in names:
            assert commit_of(rowmill.load_dataset("alice/final", revision=name)) == (100, first), name
    assert f"v1 is commit {first}" in caplog.text
    assert commit_of(rowmill.load_dataset("alice/final")) == (7, second)
    assert rowmill.load_dataset("alice/final", revision="refs/convert/parquet").num_rows == 3
    hub.forget()
    for name in names:
        assert commit_of(rowmill.load_dataset("alice/final", revision=name, offline=True)) == (100, first), name
    assert commit_of(rowmill.load_dataset("alice/final", offline=True)) == (7, second)
    assert hub.count() == 0


@pytest.mark.usefixtures("home")
def test_the_beginning_of_a_sha_is_looked_for_where_the_server_does_not_know_such(
    hub: HubServer, repo: Repo, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    hub.short_shas = False
    first = repo.refs["refs/tags/v1"]
    assert commit_of(rowmill.load_dataset("alice/final", revision=first[:8])) == (100, first)
    with pytest.raises(rowmill.RevisionNotFoundError, match="no commit that begins so"):
        rowmill.load_dataset("alice/final", revision="0" * 8)


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.usefixtures("home")
def test_what_cannot_be_had_is_an_error_and_nothing_else(repo: Repo, monkeypatch: pytest.MonkeyPatch, offline: bool):
    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    assert rowmill.load_dataset("alice/final").num_rows == 7
    for name in ("v2", "f" * 40, "refs/pr/9", "abcdef0", "../main", "/etc", "a b", "", "main@{1}", "x\\y", "v1..main"):
        with pytest.raises(rowmill.RevisionNotFoundError) as caught:
            rowmill.load_dataset("alice/final", revision=name, offline=offline)
        assert repr(name) in str(caught.value) or name in str(caught.value)


def test_datasets_reads_another_revision_offline_and_we_refuse(
    hub: HubServer, repo: Repo, home: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("datasets")
    first, second = repo.refs["refs/tags/v1"], repo.sha
    load = COUNT_ROWS + "result = [count(revision) for revision in {!r}]"
    counts = run_client(hub, home, load.format([first, second]), HF_TOKEN="hf_of_alice")
    assert counts == [100, 7]
    wrong = run_client(hub, home, load.format([first, "f" * 40]), HF_HUB_OFFLINE="1")
    # The bug that this test is about: both are silently the newest commit in the cache.
    assert wrong == [7, 7]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.forget()
    assert commit_of(rowmill.load_dataset("alice/final", revision=first)) == (100, first)
    with pytest.raises(rowmill.RevisionNotFoundError, match=f"(?s){first}.*hf download alice/final") as caught:
        rowmill.load_dataset("alice/final", revision="f" * 40)
    assert second in str(caught.value)
    assert hub.count() == 0


def test_datasets_reads_another_revision_when_it_is_refused_and_we_do_not(hub: HubServer, repo: Repo, home: Path):
    pytest.importorskip("datasets")
    first = repo.refs["refs/tags/v1"]
    load = COUNT_ROWS + "result = count({!r}, {!r})"
    for revision, number in ((first, 100), ("main", 7)):
        assert run_client(hub, home, load.format(revision, "hf_of_alice")) == number
    # The bug: refused as a stranger, it takes the newest commit in the cache for the one that was asked for.
    assert run_client(hub, home, load.format(first, False)) == 7
    for revision in (first, "v1", "main", None):
        with pytest.raises(rowmill.DatasetNotFoundError, match="private"):
            rowmill.load_dataset("alice/final", revision=revision, token=False)
    assert commit_of(rowmill.load_dataset("alice/final", revision=first, offline=True)) == (100, first)


@pytest.mark.usefixtures("home")
def test_a_hub_that_cannot_be_reached_is_no_reason_to_read_an_old_commit(
    hub: HubServer, repo: Repo, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("rowmill.hub.client.FIRST_WAIT", 0.001)
    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    assert rowmill.load_dataset("alice/final").num_rows == 7
    fault = hub.fault(status=503, path="/api/")
    with pytest.raises(rowmill.OfflineError, match=repo.sha):
        rowmill.load_dataset("alice/final")
    assert fault.struck > 1
    assert rowmill.load_dataset("alice/final", revision=repo.sha).num_rows == 7


@pytest.mark.usefixtures("home")
def test_a_server_that_answers_with_another_commit_is_found_out(
    hub: HubServer, repo: Repo, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    first = repo.refs["refs/tags/v1"]
    real = repo.find
    # A mirror that serves main whatever is asked of it.
    monkeypatch.setattr(repo, "find", lambda revision, **how: real("main", **how))
    with pytest.raises((rowmill.RevisionNotFoundError, rowmill.CorruptShardError), match=first):
        rowmill.load_dataset("alice/final", revision=first)
