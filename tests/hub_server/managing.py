"""Routes that make and unmake repositories, branches and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from hub_server.reading import find_commit
from hub_server.repos import Repo
from hub_server.users import may_write
from hub_server.wire import Answer, Call, HubError

if TYPE_CHECKING:
    from hub_server.server import HubServer


def create_repo(hub: HubServer, call: Call) -> Answer:
    asked = call.json()
    if call.user is None:
        raise HubError(401, None, "Invalid username or password.")
    namespace, kind = asked.get("organization") or call.user.name, asked.get("type") or "model"
    name = f"{namespace}/{asked['name']}"
    url = f"{hub.endpoint}{'/datasets' if kind == 'dataset' else ''}/{name}"
    if not may_write(call.user, namespace):
        raise HubError(403, None, f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"')
    if (kind, name) in hub.repos:
        text = "You already created this dataset repo"
        return Answer.json({"error": text, "url": url}, 409, {"X-Error-Message": text})
    is_private = asked.get("visibility") == "private" or bool(asked.get("private"))
    hub.create_repo(name, kind=kind, private=is_private)
    return Answer.json({"url": url, "name": name, "id": name})


def delete_repo(hub: HubServer, call: Call) -> Answer:
    asked = call.json()
    key = asked.get("type") or "model", "/".join(filter(None, (asked.get("organization"), asked["name"])))
    if key not in hub.repos or not may_write(call.user, hub.repos[key].owner):
        raise HubError(404, "RepoNotFound", "Repository not found")
    del hub.repos[key]
    return Answer.json({})


def branch(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    name = unquote(rest)
    if call.method == "DELETE":
        return _delete(repo, f"refs/heads/{name}")
    if f"refs/heads/{name}" in repo.refs:
        raise HubError(409, None, f"Reference {name} already exists")
    repo.branch(name, find_commit(hub, repo, call.json().get("startingPoint") or "main").sha)
    return Answer.json({})


def tag(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    if call.method == "DELETE":
        return _delete(repo, f"refs/tags/{unquote(rest)}")
    name = call.json()["tag"]
    if f"refs/tags/{name}" in repo.refs:
        raise HubError(409, None, f"Tag reference {name} already exists")
    repo.tag(name, find_commit(hub, repo, unquote(rest)).sha)
    return Answer.json({})


def _delete(repo: Repo, ref: str) -> Answer:
    if ref not in repo.refs:
        raise HubError(404, "RevisionNotFound", f"{ref} does not exist")
    del repo.refs[ref]
    return Answer.json({})


def settings(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    asked = call.json()
    repo.gated = asked.get("gated", repo.gated)
    repo.private = asked.get("visibility", "private" if repo.private else "public") == "private"
    return Answer.json({"private": repo.private, "gated": repo.gated})


def auth_check(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    if rest == "write" and not may_write(call.user, repo.owner):
        raise HubError(403, None, "You don't have write access")
    return Answer.json({})
