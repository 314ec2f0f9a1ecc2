"""Routes that tell of repositories: their state, files, refs and commits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from hub_server.blobs import git_oid
from hub_server.repos import Commit, Repo
from hub_server.wire import Answer, Call, HubError

if TYPE_CHECKING:
    from hub_server.server import HubServer


def info(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    commit = find_commit(hub, repo, unquote(rest) or "main")
    return Answer.json({**summary(repo, commit), "siblings": [{"rfilename": path} for path in sorted(commit.files)]})


def summary(repo: Repo, commit: Commit) -> dict[str, object]:
    times = {"lastModified": _date(commit), "createdAt": _date(next(iter(repo.commits.values())))}
    facts = {"private": repo.private, "gated": repo.gated, "disabled": False, "tags": [], "downloads": 0, "likes": 0}
    return {"_id": repo.id, "id": repo.id, "author": repo.owner, "sha": commit.sha, **times, **facts}


def find_commit(hub: HubServer, repo: Repo, revision: str) -> Commit:
    commit = repo.find(revision, short=hub.short_shas)
    if commit is None:
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return commit


def tree(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    revision, _, folder = rest.partition("/")
    commit, under = find_commit(hub, repo, unquote(revision)), unquote(folder).strip("/")
    items = list(_items(commit, under, call.flag("recursive")))
    if under and not items:
        raise HubError(404, "EntryNotFound", f"{under} does not exist on {revision}")
    page = min(hub.page_size, int(call.query.get("limit", ["1000"])[-1]))
    start = int(call.query.get("cursor", ["0"])[-1])
    headers = {}
    if start + page < len(items):
        flags = "&".join(f"{name}={values[-1]}" for name, values in call.query.items() if name != "cursor")
        link = f"{hub.endpoint}{call.path}?{flags}{'&' if flags else ''}cursor={start + page}"
        headers["Link"] = f'<{link}>; rel="next"'
    return Answer.json(items[start : start + page], headers=headers)


def _items(commit: Commit, under: str, recursive: bool) -> Iterator[dict[str, object]]:
    prefix, folders = f"{under}/" if under else "", set()
    for path, entry in sorted(commit.files.items()):
        if not path.startswith(prefix):
            continue
        names = path[len(prefix) :].split("/")
        for depth in range(1, len(names)):
            folder = prefix + "/".join(names[:depth])
            if folder not in folders and (recursive or depth == 1):
                folders.add(folder)
                yield {"type": "directory", "path": folder, "oid": git_oid(folder.encode(), "tree"), "size": 0}
        if recursive or len(names) == 1:
            yield entry.describe(path)


def paths_info(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    commit, asked = find_commit(hub, repo, unquote(rest)), parse_qs(call.body.decode()).get("paths", [])
    if call.headers.get("content-type", "").startswith("application/json"):
        asked = call.json()["paths"]
    everything = {item["path"]: item for item in _items(commit, "", True)}
    return Answer.json([everything[path] for path in asked if path in everything])


def refs(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    groups: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
    kinds = {"refs/heads/": "branches", "refs/tags/": "tags", "refs/convert/": "converts"}
    if call.query.get("include_prs"):
        groups["pullRequests"] = []
        kinds["refs/pr/"] = "pullRequests"
    for ref, sha in repo.refs.items():
        for prefix, group in kinds.items():
            if ref.startswith(prefix):
                groups[group].append({"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": sha})
    return Answer.json(groups)


def commits(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    at = find_commit(hub, repo, unquote(rest) or "main")
    return Answer.json(
        [
            {"id": one.sha, "authors": [{"user": repo.owner}], "date": _date(one), "title": one.message, "message": ""}
            for one in repo.history(at)
        ]
    )


def _date(commit: Commit) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(commit.second))


def whoami(hub: HubServer, call: Call) -> Answer:
    if call.user is None:
        raise HubError(401, None, "Invalid username or password.")
    return Answer.json(call.user.describe())


def search(hub: HubServer, call: Call, kind: str) -> Answer:
    wanted, author = call.query.get("search", [""])[-1].lower(), call.query.get("author", [""])[-1]
    found = [
        summary(repo, repo.commits[repo.sha])
        for repo in hub.visible_repos(call.user, kind)
        if wanted in repo.id.lower() and author in ("", repo.owner)
    ]
    return Answer.json(found[: int(call.query.get("limit", ["1000"])[-1])])
