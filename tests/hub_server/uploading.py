"""Routes of an upload: which files go to LFS, the objects themselves, and the commit that names them."""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from hub_server.blobs import LFS_BYTES, LFS_SUFFIXES, Blob, Entry
from hub_server.reading import find_commit
from hub_server.repos import Repo
from hub_server.resolving import signed_url
from hub_server.wire import Answer, Call, HubError

if TYPE_CHECKING:
    from hub_server.server import HubServer


def preupload(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    files = find_commit(hub, repo, unquote(rest)).files
    answers = []
    for file in call.json()["files"]:
        path = file["path"]
        is_lfs = path.lower().endswith(LFS_SUFFIXES) or file["size"] > LFS_BYTES
        answer = {"path": path, "uploadMode": "lfs" if is_lfs else "regular", "shouldIgnore": False}
        if path in files:
            answer["oid"] = files[path].etag
        answers.append(answer)
    return Answer.json({"files": answers})


def lfs_batch(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    asked = call.json()
    objects = [_upload_of(hub, repo, wanted["oid"], wanted["size"]) for wanted in asked["objects"]]
    return Answer.json({"transfer": "multipart" if hub.part_bytes else "basic", "objects": objects})


def _upload_of(hub: HubServer, repo: Repo, oid: str, size: int) -> dict[str, Any]:
    wanted: dict[str, Any] = {"oid": oid, "size": size}
    if oid in hub.contents:
        return wanted
    upload: dict[str, Any] = {"href": signed_url(hub, oid), "header": {}}
    if hub.part_bytes:
        parts = range(1, math.ceil(size / hub.part_bytes) + 1)
        urls = {f"{part:05}": signed_url(hub, oid, part=str(part)) for part in parts}
        # The client sends no token with the completion: the URL itself is what it is allowed by.
        upload = {"href": signed_url(hub, oid), "header": {"chunk_size": str(hub.part_bytes), **urls}}
    wanted["actions"] = {"upload": upload, "verify": {"href": f"{hub.endpoint}{_lfs_path(repo)}/verify"}}
    return wanted


def _lfs_path(repo: Repo) -> str:
    return f"{'/datasets' if repo.kind == 'dataset' else ''}/{repo.id}.git/info/lfs/objects"


def lfs_verify(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    asked = call.json()
    held = hub.contents.get(asked["oid"])
    if held is None or held.size != asked["size"]:
        raise HubError(404, None, "the object did not arrive")
    return Answer.json({})


def commit(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    base = find_commit(hub, repo, unquote(rest))
    if header.get("parentCommit") and not base.sha.startswith(header["parentCommit"]):
        raise HubError(412, None, "A commit has happened since. Please refresh and try again.")
    entries, deleted = {}, []
    for line in lines:
        value = line["value"]
        if line["key"] == "file":
            entries[value["path"]] = Entry(Blob(base64.b64decode(value["content"])), False)
        elif line["key"] == "lfsFile":
            if value["oid"] not in hub.contents:
                raise HubError(400, None, f"LFS pointer pointed to a file that does not exist: {value['path']}")
            entries[value["path"]] = Entry(hub.contents[value["oid"]], True)
        elif line["key"] in ("deletedFile", "deletedFolder"):
            deleted.append(value["path"])
    branch, more = unquote(rest), {}
    if call.flag("create_pr"):
        branch = repo.pull_request(base.sha)
        more["pullRequestUrl"] = f"{hub.endpoint}/datasets/{repo.id}/discussions/{repo.num_pull_requests}"
    if not branch.startswith("refs/") and f"refs/heads/{branch}" not in repo.refs:
        raise HubError(404, "RevisionNotFound", f"{branch} is no branch")
    sha = repo.commit(entries=entries, delete=deleted, branch=branch, message=header["summary"])
    url = f"{hub.endpoint}{'/datasets' if repo.kind == 'dataset' else ''}/{repo.id}/commit/{sha}"
    return Answer.json({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": "", **more})


def validate_yaml(hub: HubServer, call: Call) -> Answer:
    return Answer.json({"errors": [], "warnings": []})
