"""Pushing: what arrives, in one commit, once, with a proof; and what happens where something goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_client import run_client
from hub_server import HubServer
from shards import row, write_shards
from typer.testing import CliRunner

import rowmill
from rowmill.cli.main import app
from rowmill.exceptions import AccessDeniedError, CorruptShardError, SchemaMismatchError, StateMismatchError
from rowmill.hub.pushing import push
from rowmill.hub.settings import Settings
from rowmill.hub.verifying import verify

pytest.importorskip("huggingface_hub")
yaml = pytest.importorskip("yaml")
# huggingface_hub's way of uploading, to which its HTTP library has taken a dislike.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.usefixtures("as_alice"),
]
REPO = "alice/demo"
COLUMNS = ["id", "text", "tokens"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_shards(tmp_path / "data", columns=COLUMNS)
    return tmp_path / "data"


def files_of(hub: HubServer, sha: str | None = None) -> dict[str, Any]:
    repo = hub.repos["dataset", REPO]
    return dict(repo.commits[sha or repo.sha].files)


def card_of(hub: HubServer) -> tuple[dict[str, Any], str]:
    text = files_of(hub)["README.md"].blob.read().decode()
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def test_a_folder_arrives_in_one_commit_with_a_card_and_a_tag(hub: HubServer, data: Path, tmp_path: Path) -> None:
    pushed = push(data, REPO, license="cc-by-4.0", tag="v1", shard_bytes=2000, deep=True)
    repo = hub.repos["dataset", REPO]
    assert repo.private
    assert pushed.sha == repo.sha == repo.refs["refs/tags/v1"]
    assert len(repo.commits) == 2  # the empty one, and ours
    assert pushed.num_rows == {"train": 70}
    assert pushed.report.ok
    assert pushed.report.facts["splits"] == {"train": 70}
    shards = sorted(path for path in files_of(hub) if path.endswith(".parquet"))
    assert len(shards) == pushed.num_files > 1
    assert shards[0] == f"data/train-00000-of-{len(shards):05d}.parquet"
    assert set(files_of(hub)) == {*shards, "README.md", ".rowmill/default.json"}
    tables = []
    for path in shards:
        (tmp_path / "one.parquet").write_bytes(files_of(hub)[path].blob.read())
        tables.append(pq.read_table(tmp_path / "one.parquet"))
        assert pq.ParquetFile(tmp_path / "one.parquet").metadata.row_group(0).column(0).has_offset_index
    rows = pa.concat_tables(tables).to_pylist()
    assert rows == [{name: row(index)[name] for name in COLUMNS} for index in range(70)]
    metadata, body = card_of(hub)
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}
    ]
    assert metadata["dataset_info"]["splits"][0]["num_examples"] == 70
    assert [one["name"] for one in metadata["dataset_info"]["features"]] == COLUMNS
    assert metadata["size_categories"] == ["n<1K"]
    assert "| train | 70 |" in body
    assert rowmill.open(data).fingerprint in body
    # What was made for the push is gone.
    assert not list((tmp_path / "rowmill" / "push").glob("*"))


def test_the_real_client_reads_what_was_pushed(hub: HubServer, data: Path, home: Path) -> None:
    pytest.importorskip("datasets")
    push(data, REPO, split="test")
    code = f"""
import datasets
ds = datasets.load_dataset({REPO!r}, token="hf_of_alice")
result = [list(ds), len(ds["test"]), sum(ds["test"]["id"]), ds["test"].column_names]
"""
    assert run_client(hub, home, code) == [["test"], 70, 70 * 69 // 2, COLUMNS]


def test_the_same_push_again_does_nothing_and_another_replaces_the_split(hub: HubServer, data: Path) -> None:
    first = push({"train": data, "test": rowmill.open(data).take(5)}, REPO, license="mit", shard_bytes=2000)
    hub.forget()
    again = push({"train": data, "test": rowmill.open(data).take(5)}, REPO, shard_bytes=2000)
    assert (again.sha, again.num_uploaded) == (first.sha, 0)
    assert hub.count("PUT") == hub.count("POST", "/commit/") == 0
    other = push(rowmill.open(data).take(9), REPO)
    assert len(hub.repos["dataset", REPO].commits) == 3
    assert other.report.facts["splits"] == {"train": 9, "test": 5}
    metadata, _ = card_of(hub)
    assert metadata["license"] == "mit"
    assert {one["split"] for one in metadata["configs"][0]["data_files"]} == {"train", "test"}
    assert {one["name"]: one["num_examples"] for one in metadata["dataset_info"]["splits"]} == {"train": 9, "test": 5}


def test_tars_arrive_as_they_lie(hub: HubServer, tmp_path: Path) -> None:
    paths = write_shards(tmp_path / "tars", container="tar", sizes=(5, 4), columns=["id", "text"])
    pushed = push(tmp_path / "tars", REPO, deep=True)
    tree = files_of(hub)
    assert [tree[f"data/train-0000{at}-of-00002.tar"].blob.read() for at in range(2)] == [
        path.read_bytes() for path in paths
    ]
    assert pushed.num_rows == {"train": 9}
    assert all(path.is_file() for path in paths)
    assert verify(REPO, against=tmp_path / "tars", deep=True).ok


def test_columns_and_the_layer_that_is_the_text(hub: HubServer, tmp_path: Path) -> None:
    table = pa.table({"id": [1, 2], "by_ann": ["a", "b"], "by_bob": ["c", "d"], "by_eve": ["e", "f"]})
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "x.parquet")
    push(tmp_path / "data", REPO, column="by_ann", columns=["id", "by_ann", "by_bob"])
    _, body = card_of(hub)
    assert "its column `by_ann`" in body
    assert "`by_bob`, which are not to be joined" in body
    assert "Left out of what it was made of: `by_eve`" in body
    assert json.loads(files_of(hub)[".rowmill/default.json"].blob.read())["column"] == "by_ann"
    for wrong in ({"column": "by_joe"}, {"column": "by_eve", "columns": ["id"]}, {"columns": ["nothing"]}):
        with pytest.raises(SchemaMismatchError, match=r"by_joe|by_eve|nothing"):
            push(tmp_path / "data", REPO, **wrong)


def test_a_card_that_is_there_keeps_its_text(hub: HubServer, data: Path) -> None:
    hub.create_repo(REPO, {"README.md": "---\npretty_name: Mine\nlicense: mit\n---\n# Mine\n\nIt is mine.\n"})
    with pytest.warns(UserWarning, match="is public"):
        push(data, REPO)
    metadata, body = card_of(hub)
    assert (metadata["pretty_name"], metadata["license"]) == ("Mine", "mit")
    assert body.strip().startswith("# Mine\n\nIt is mine.\n\n<!-- rowmill push: begin -->")


def test_a_tag_is_never_moved_and_wrong_names_are_refused_before_anything_is_sent(hub: HubServer, data: Path) -> None:
    first = push(data, REPO, tag="v1")
    assert push(data, REPO, tag="v1").sha == first.sha
    with pytest.raises(StateMismatchError, match="has a tag v1 already"):
        push(rowmill.open(data).take(3), REPO, tag="v1")
    assert hub.repos["dataset", REPO].sha == first.sha
    hub.forget()
    for wrong, told in (
        ({"repo": "demo"}, "owner/demo"),
        ({"config": "a/b"}, "config must"),
        ({"split": "a b"}, "split"),
    ):
        with pytest.raises(ValueError, match=told):
            push(data, **{"repo": REPO, **wrong})
    with pytest.raises(SchemaMismatchError, match="whose number is known"):
        push(rowmill.open(data).batch(4), REPO)
    assert not hub.requests()


@pytest.mark.parametrize("token", ["hf_of_bob", "hf_wrong_one"])
def test_whoever_may_not_write_is_told_without_the_token(hub: HubServer, data: Path, token: str) -> None:
    with pytest.raises(AccessDeniedError) as caught:
        push(data, REPO, token=token)
    assert token not in str(caught.value)


def test_no_file_of_ours_holds_the_token(hub: HubServer, data: Path, tmp_path: Path) -> None:
    push(data, REPO, token="hf_of_alice")
    for path in (tmp_path / "rowmill").rglob("*"):
        assert not path.is_file() or b"hf_of_alice" not in path.read_bytes()
    assert all(b"hf_of_alice" not in entry.blob.read() for entry in files_of(hub).values())


def test_somebody_elses_commit_in_between_stops_ours(hub: HubServer, data: Path) -> None:
    push(data, REPO)
    hub.fault(method="POST", path="/commit/", status=412, times=1)
    with pytest.raises(StateMismatchError, match="meanwhile, and nothing was committed"):
        push(rowmill.open(data).take(4), REPO)
    hub.forget()
    assert push(rowmill.open(data).take(4), REPO).num_rows == {"train": 4}
    assert hub.count("PUT") == 0  # uploaded before


def test_busy_servers_are_waited_for(hub: HubServer, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowmill.hub.client.FIRST_WAIT", 0.01)
    hub.fault(method="POST", path="/preupload/", status=503, times=2)
    hub.fault(method="GET", path="/tree/", status=429, times=1, headers={"Retry-After": "0"})
    assert push(data, REPO).report.ok


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "times": 2, "headers": {"Retry-After": "0"}},
        {"status": 503, "times": 2},
        {"disconnect": True, "times": 2},
        # The commit happens, and its answer is lost.
        {"cut": 0, "times": 1},
    ],
    ids=str,
)
def test_a_commit_is_asked_for_again_and_never_made_twice(
    hub: HubServer, data: Path, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    monkeypatch.setattr("rowmill.hub.client.FIRST_WAIT", 0.01)
    rule = hub.fault(method="POST", path="/commit/", **fault)
    pushed = push(data, REPO)
    assert rule.struck == fault["times"]
    repo = hub.repos["dataset", REPO]
    assert pushed.sha == repo.sha
    assert len(repo.commits) == 2  # the empty one, and ours


def test_a_busy_hub_that_stays_busy_is_told_and_nothing_was_committed(
    hub: HubServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rowmill.hub.client.FIRST_WAIT", 0.01)
    hub.fault(method="POST", path="/commit/", status=429, headers={"Retry-After": "0"})
    with pytest.raises(rowmill.OfflineError, match="could not be reached"):
        push(data, REPO)
    assert len(hub.repos["dataset", REPO].commits) == 1


def test_what_arrives_otherwise_is_never_called_done(hub: HubServer, data: Path) -> None:
    push(data, REPO)
    path = "data/train-00000-of-00001.parquet"
    content = bytearray(files_of(hub)[path].blob.read())
    assert verify(REPO, against=data, deep=True).ok
    assert verify(REPO, deep=True).ok
    content[40] ^= 1
    repo = hub.repos["dataset", REPO]
    repo.commit({path: bytes(content)})
    report = verify(REPO)
    assert not report.ok
    assert f"{path} has other bytes" in report.problems[0]
    assert any("differ" in one or "cannot be read" in one for one in verify(REPO, against=data, deep=True).problems)
    repo.commit({path: bytes(content[:-9])})
    assert any(f"{len(content) - 9:,} bytes" in one for one in verify(REPO).problems)
    repo.commit({}, delete=[path])
    assert verify(REPO).problems == [f"{path} is not there"]
    assert "there is no split train" in verify(REPO, against=data).problems


def test_a_flip_on_the_way_is_found_by_reading_everything(hub: HubServer, data: Path) -> None:
    push(data, REPO)
    hub.fault(method="GET", path="/resolve/.*parquet", flip=(60,))
    assert any("other bytes than the tree says" in one for one in verify(REPO, deep=True).problems)


def test_other_rows_are_found_by_count_and_by_value(hub: HubServer, data: Path, tmp_path: Path) -> None:
    pushed = push(data, REPO)
    fewer = rowmill.open(data).take(69)
    assert verify(REPO, pushed.sha, against={"train": fewer}).problems == ["split train has 70 rows there and 69 here"]
    changed = rowmill.open(data).shuffle(1, mode="row")
    assert "in another order" in verify(REPO, against=changed).problems[0]
    other = changed.rename_columns({changed.schema.names[0]: "another"})
    assert "another" in verify(REPO, against=other).problems[0]
    assert "rows 0 to" in verify(REPO, against=changed, deep=True).problems[0]


def test_files_that_were_put_there_by_other_means_are_compared_one_by_one(hub: HubServer, data: Path) -> None:
    hub.create_repo(REPO).commit_folder(data)
    assert verify(REPO, against=data, deep=True).ok
    (data / "shard-0.arrow").write_bytes(b"\xff" * 8)
    (data / "more.arrow").write_bytes(b"\xff" * 8)
    told = verify(REPO, against=data).problems
    assert "more.arrow is not there" in told
    assert any("bytes there and 8 here" in one for one in told)


def test_a_push_that_does_not_arrive_whole_is_an_error(
    hub: HubServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HubServer, "receive", _loses_bytes(HubServer.receive))
    with pytest.raises(CorruptShardError, match="is not what was pushed"):
        push(data, REPO)


def _loses_bytes(receive: Any) -> Any:
    from hub_server.blobs import Blob

    def receive_less(hub: HubServer, sha256: str, part: str, body: bytes) -> Any:
        answer = receive(hub, sha256, part, body)
        hub.contents[sha256] = Blob(body[:-1] + b"?")
        return answer

    return receive_less


@pytest.mark.processes
def test_a_killed_push_goes_on_and_uploads_nothing_twice(hub: HubServer, tmp_path: Path) -> None:
    write_shards(tmp_path / "data", sizes=(60, 60, 60), columns=COLUMNS)
    command = [sys.executable, "-m", "rowmill", "push", str(tmp_path / "data"), REPO, "--shard-bytes", "2000", "--json"]
    hub.fault(method="PUT", latency=0.3)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while len([one for one in hub.requests("PUT") if one.status == 200]) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        process.wait()
    hub.faults.clear()
    arrived = set(hub.contents)
    assert len(arrived) >= 3
    assert len(hub.repos["dataset", REPO].commits) == 1  # readers saw nothing of it
    hub.forget()
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["num_rows"] == {"train": 180}
    assert told["report"]["ok"]
    sent = [one.path.split("?")[0].rpartition("/")[2] for one in hub.requests("PUT")]
    assert len(sent) == len(set(sent))
    assert not {name for name in sent if name in arrived}
    assert len(hub.repos["dataset", REPO].commits) == 2


def has_begun(hub: HubServer, moment: str) -> bool:
    """Whether a push has come to where it shall be killed."""
    if moment == "making shards":
        return any((Path(os.environ["ROWMILL_CACHE"]) / "push").glob("*/shard-*"))
    method, path = {"committing": ("POST", "/commit/"), "verifying": ("GET", "/tree/[0-9a-f]{40}")}[moment]
    return bool(hub.repos.get(("dataset", REPO))) and hub.count(method, path) > (moment == "verifying")


@pytest.mark.processes
@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
@pytest.mark.parametrize("moment", ["making shards", "committing", "verifying"])
def test_a_push_that_is_killed_anywhere_goes_on_to_one_commit(hub: HubServer, tmp_path: Path, moment: str) -> None:
    write_shards(tmp_path / "data", sizes=(600, 600, 600), columns=COLUMNS)
    command = [sys.executable, "-m", "rowmill", "push", str(tmp_path / "data"), REPO, "--shard-bytes", "9000", "--json"]
    hub.fault(method="POST", path="/commit/", latency=0.5)
    hub.fault(method="GET", path="/tree/", skip=1, latency=0.5)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while not has_begun(hub, moment) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL, "it was over before"
    # What it had asked for may still happen.
    time.sleep(1.0)
    hub.faults.clear()
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["num_rows"] == {"train": 1800}
    assert told["report"]["ok"]
    assert len(hub.repos["dataset", REPO].commits) == 2
    sent = [one.path.split("?")[0] for one in hub.requests("PUT") if one.status == 200]
    assert len(sent) == len(set(sent))
    assert not list((Path(os.environ["ROWMILL_CACHE"]) / "push").glob("*/shard-*"))


def test_the_command_pushes_verifies_and_complains_in_one_paragraph(hub: HubServer, data: Path) -> None:
    def run(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="rowmill")

    made = run("push", data, REPO, "--license", "mit", "--tag", "v1")
    assert made.exit_code == 0, made.output
    assert "verified" in made.stdout
    denied = run("push", data, "carol/demo")
    assert denied.exit_code == 1
    assert denied.stderr.count("\n") == 1
    assert "hf_of_alice" not in denied.output


def test_splits_are_found_by_the_names_of_files(hub: HubServer, tmp_path: Path) -> None:
    for split, number in (("train", 4), ("test", 3)):
        table = pa.Table.from_pylist([{"id": at} for at in range(number)])
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    assert push(tmp_path, REPO, deep=True).num_rows == {"train": 4, "test": 3}
    assert verify(REPO, against=tmp_path).ok


def test_a_dataset_pushes_itself_in_its_order(hub: HubServer, data: Path) -> None:
    ds = rowmill.open(data).shuffle(seed=3, mode="row").shard(1, 0)
    pushed = ds.push_to_hub(REPO, split="test", deep=True)
    assert pushed.num_rows == {"test": 70}
    assert [one["id"] for one in rowmill.load_dataset(REPO, split="test")] == [one["id"] for one in ds]


def test_a_hub_without_xet_is_pushed_to_all_the_same(
    hub: HubServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hf_xet")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    assert push(data, REPO).report.ok
    assert hub.count("GET", "xet-write-token") == 1


def test_values_that_equal_nothing_are_compared_too(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table = pa.table({"score": [1.0, float("nan"), None], "kind": pa.array(["a", "b", "a"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "data" / "x.parquet")
    assert push(tmp_path / "data", REPO, deep=True).report.ok


def test_several_configurations_or_splits_are_never_pushed_as_one(hub: HubServer, tmp_path: Path) -> None:
    card = "---\nconfigs:\n- {config_name: ann, data_files: ann/*}\n- {config_name: bob, data_files: bob/*}\n---\n"
    (tmp_path / "README.md").write_text(card)
    for name in ("ann", "bob"):
        (tmp_path / name).mkdir()
        for split in ("train", "test"):
            pq.write_table(pa.table({"by": [name + split]}), tmp_path / name / f"{split}.parquet")
    with pytest.raises(ValueError, match="choose one of ann, bob"):
        push(tmp_path, REPO)
    with pytest.raises(ValueError, match="has the splits"):
        push(tmp_path / "ann", REPO, split="valid")
    assert push(tmp_path / "ann", REPO, split="test", deep=True).num_rows == {"test": 1}


def test_no_name_of_a_split_leads_elsewhere_and_a_damaged_list_of_them_is_named(
    hub: HubServer, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"'\.\./evil' cannot be the name of a split"):
        push({"../evil": rowmill.open(data)}, REPO)
    (tmp_path / "dataset_dict.json").write_text('{"spl')
    with pytest.raises(CorruptShardError, match=r"dataset_dict\.json is damaged"):
        push(tmp_path, REPO)
    assert ("dataset", REPO) not in hub.repos


def test_the_page_of_a_push_shows_no_password_of_the_endpoint(
    hub: HubServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "shown", "http://shown")
    assert push(data, REPO).url.startswith("http://shown/datasets/")
