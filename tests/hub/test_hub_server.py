"""The loopback Hub is one for the real clients: what they load, list, upload and complain of."""

import io
import urllib.error
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_client import run_client
from hub_server import HubServer

pytest.importorskip("huggingface_hub")


def parquet(start: int, stop: int) -> bytes:
    sink = io.BytesIO()
    rows = range(start, stop)
    pq.write_table(pa.table({"id": list(rows), "text": [f"row {row}" for row in rows]}), sink)
    return sink.getvalue()


def test_hub_clients_snapshot_and_list_trees_of_many_pages_through_signed_redirects(hub: HubServer, tmp_path: Path):
    files = {f"data/train-{shard:05}-of-00007.parquet": parquet(shard * 10, shard * 10 + 10) for shard in range(7)}
    repo = hub.create_repo("alice/demo", {"README.md": "hello", **files})
    first, hub.page_size, hub.redirects = repo.sha, 3, True
    repo.tag("v1")
    repo.commit({"extra.txt": "new"}, delete=["data/train-00006-of-00007.parquet"])
    code = f"""
from pathlib import Path
from huggingface_hub import HfApi, snapshot_download
api = HfApi()
folder = Path(snapshot_download("alice/demo", repo_type="dataset", revision="v1"))
result = {{
    "sha": folder.name,
    "files": sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()),
    "tree": sorted(item.path for item in api.list_repo_tree("alice/demo", repo_type="dataset", recursive=True)),
    "refs": [ref.name for ref in api.list_repo_refs("alice/demo", repo_type="dataset").tags],
    "commits": len(api.list_repo_commits("alice/demo", repo_type="dataset")),
    "short": api.dataset_info("alice/demo", revision={first[:8]!r}).sha,
    "infos": [info.path for info in api.get_paths_info("alice/demo", ["extra.txt", "no"], repo_type="dataset")],
}}
"""
    result = run_client(hub, tmp_path, code, HF_TOKEN="hf_of_alice")
    assert result["sha"] == result["short"] == first
    assert result["files"] == sorted(["README.md", *files])
    assert result["tree"] == sorted(["README.md", "data", "extra.txt", *list(files)[:6]])
    assert (result["refs"], result["commits"], result["infos"]) == (["v1"], 3, ["extra.txt"])
    assert hub.count("GET", host="cdn") == 7
    assert not any(request.token for request in hub.requests(host="cdn"))
    assert all(request.token == "hf_of_alice" for request in hub.requests(host="hub"))


@pytest.mark.parametrize("part_bytes", [0, 1000])
def test_upload_folder_arrives_in_one_commit_and_sends_nothing_twice(hub: HubServer, tmp_path: Path, part_bytes: int):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "train.parquet").write_bytes(parquet(0, 300))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    hub.part_bytes = part_bytes
    code = f"""
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("alice/made", repo_type="dataset", private=True)
info = api.upload_folder(folder_path={str(folder)!r}, repo_id="alice/made", repo_type="dataset")
again = api.upload_folder(folder_path={str(folder)!r}, repo_id="alice/made", repo_type="dataset", revision="main")
api.create_tag("alice/made", tag="v1", repo_type="dataset")
request = api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id="alice/made", repo_type="dataset",
                          create_pr=True)
result = [info.oid, again.oid, api.whoami()["name"], request.pr_revision]
"""
    oid, again, name, request = run_client(hub, tmp_path / "home", code, HF_TOKEN="hf_of_alice")
    repo = hub.repos["dataset", "alice/made"]
    assert (repo.private, repo.sha, repo.refs["refs/tags/v1"]) == (True, oid, oid)
    assert (again, name, request) == (oid, "alice", "refs/pr/1")
    assert repo.commits[oid].files["train.parquet"].blob.read() == (folder / "train.parquet").read_bytes()
    assert repo.commits[oid].files["train.parquet"].is_lfs
    assert not repo.commits[oid].files["README.md"].is_lfs
    assert hub.count("PUT", host="cdn") == (1 if not part_bytes else -(-len(parquet(0, 300)) // part_bytes))


def test_datasets_loads_and_streams_a_parquet_repo(hub: HubServer, tmp_path: Path):
    pytest.importorskip("datasets")
    repo = hub.create_repo("alice/demo", {"data/train-00000.parquet": parquet(0, 20), "test.parquet": parquet(20, 25)})
    code = """
import datasets
rows = datasets.load_dataset("alice/demo", split="train")
streamed = datasets.load_dataset("alice/demo", split="test", streaming=True)
result = [list(rows["id"]), [row["id"] for row in streamed], rows.cache_files[0]["filename"]]
"""
    rows, streamed, cached = run_client(hub, tmp_path, code)
    assert (rows, streamed) == (list(range(20)), list(range(20, 25)))
    assert repo.sha in cached


def test_each_fault_of_access_is_the_error_that_the_clients_know(hub: HubServer, tmp_path: Path):
    hub.create_repo("alice/open", {"a.txt": "a"})
    hub.create_repo("alice/private", {"a.txt": "a"}, private=True)
    hub.create_repo("alice/gated", {"a.txt": "a"}, gated="manual")
    code = """
from huggingface_hub import hf_hub_download, HfApi
def name_of(repo, token, revision=None, file="a.txt"):
    try:
        hf_hub_download(repo, file, repo_type="dataset", token=token, revision=revision)
    except Exception as error:
        return type(error).__name__
    return "ok"
result = [
    name_of("alice/open", "hf_wrong"), name_of("alice/open", False), name_of("alice/none", False),
    name_of("alice/none", "hf_of_bob"), name_of("alice/private", False), name_of("alice/private", "hf_of_bob"),
    name_of("alice/gated", False), name_of("alice/gated", "hf_of_bob"), name_of("alice/gated", "hf_of_alice"),
    name_of("alice/open", False, "nope"), name_of("alice/open", False, None, "b.txt"),
]
"""
    missing, local = "RepositoryNotFoundError", "LocalEntryNotFoundError"
    names = run_client(hub, tmp_path, code)
    assert names[1] == "ok"
    assert names[0] in ("HfHubHTTPError", local)
    assert [name.replace(local, missing) for name in names[2:6]] == [missing] * 4
    assert names[6:] == ["GatedRepoError", "GatedRepoError", "ok", "RevisionNotFoundError", "RemoteEntryNotFoundError"]


def get(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def test_ranges_are_served_as_asked_and_faults_come_as_often_as_asked(hub: HubServer):
    hub.create_repo("alice/demo", {"a.bin": bytes(range(100))})
    url = f"{hub.endpoint}/datasets/alice/demo/resolve/main/a.bin"
    assert get(url, Range="bytes=10-19")[:2] == (206, bytes(range(10, 20)))
    assert get(url, Range="bytes=-5")[1] == bytes(range(95, 100))
    assert get(url, Range="bytes=200-")[0] == 416
    hub.fault(ignore_range=True, times=1)
    assert get(url, Range="bytes=10-19")[:2] == (200, bytes(range(100)))
    hub.fault(status=429, headers={"Retry-After": "7"}, skip=1, times=2)
    assert [get(url)[0] for _ in range(4)] == [200, 429, 429, 200]
    hub.fault(status=429, headers={"Retry-After": "7"}, times=1)
    assert get(url)[2]["Retry-After"] == "7"
    hub.fault(flip=(3,), times=1)
    assert get(url)[1] == bytes([0, 1, 2, 252, *range(4, 100)])
    hub.fault(truncate=40, times=1)
    assert get(url)[:2] == (200, bytes(range(40)))
    for rule in ({"disconnect": True}, {"cut": 30}):
        hub.fault(**rule, times=1)
        with pytest.raises((OSError, urllib.error.URLError, ConnectionError, Exception)):
            get(url)
    assert get(url)[0] == 200
    assert hub.requests("GET", "a.bin")[0].range == "bytes=10-19"


def test_a_signed_url_leads_to_the_bytes_until_it_expires(hub: HubServer):
    hub.create_repo("alice/demo", {"a.bin": b"content"})
    hub.redirects = True
    url = f"{hub.endpoint}/datasets/alice/demo/resolve/main/a.bin"
    assert get(url)[1] == b"content"
    signed = hub.cdn_endpoint + hub.requests(host="cdn")[0].path
    assert get(signed)[1] == b"content"
    hub.expire_urls()
    assert get(signed)[0] == 403
    assert get(url)[1] == b"content"
