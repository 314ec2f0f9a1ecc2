"""The route to a file's bytes: directly, or by a signed URL to another host that expires."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

from hub_server.reading import find_commit
from hub_server.repos import Repo
from hub_server.users import may_read
from hub_server.wire import Answer, Call, HubError

if TYPE_CHECKING:
    from hub_server.server import HubServer


def resolve(hub: HubServer, call: Call, repo: Repo, rest: str) -> Answer:
    revision, _, path = rest.partition("/")
    commit, path = find_commit(hub, repo, unquote(revision)), unquote(path)
    headers = {"X-Repo-Commit": commit.sha}
    if not may_read(call.user, repo):
        text = f"Access to dataset {repo.id} is restricted. You must have access to it and be authenticated to access."
        raise HubError(401 if call.user is None else 403, "GatedRepo", text, headers)
    entry = commit.files.get(path)
    if entry is None:
        raise HubError(404, "EntryNotFound", "Entry not found", headers)
    headers |= {"ETag": f'"{entry.etag}"', "Content-Type": "application/octet-stream"}
    if not entry.is_lfs:
        return Answer(headers=headers, blob=entry.blob)
    headers |= {"X-Linked-Etag": f'"{entry.etag}"', "X-Linked-Size": str(entry.blob.size)}
    if not hub.redirects:
        return Answer(headers=headers, blob=entry.blob)
    hub.contents[entry.etag] = entry.blob
    return Answer(status=302, headers={**headers, "Location": signed_url(hub, entry.etag)})


def signed_url(hub: HubServer, sha256: str, **more: str) -> str:
    """Where the content lies, for as long as the signature holds."""
    expires = f"{time.time() + hub.url_seconds:.3f}"
    query = "".join(f"&{name}={value}" for name, value in more.items())
    return f"{hub.cdn_endpoint}/{sha256}?Expires={expires}&Signature={_sign(hub, sha256, expires)}{query}"


def _sign(hub: HubServer, sha256: str, expires: str) -> str:
    return hashlib.sha256(f"{hub.secret} {sha256} {expires}".encode()).hexdigest()[:32]


def check_signature(hub: HubServer, call: Call, sha256: str) -> None:
    expires, signature = call.query.get("Expires", ["0"])[-1], call.query.get("Signature", [""])[-1]
    if signature != _sign(hub, sha256, expires) or time.time() > float(expires):
        raise HubError(403, None, "Request has expired")


def from_cdn(hub: HubServer, call: Call) -> Answer:
    """What a signed URL leads to: GET a content, PUT one or a part of one, POST that the parts are all."""
    sha256 = call.path.strip("/")
    check_signature(hub, call, sha256)
    if call.method == "PUT":
        return hub.receive(sha256, call.query.get("part", [""])[-1], call.body)
    if call.method == "POST":
        parts = hub.parts.pop(sha256, {})
        return hub.receive(sha256, "", b"".join(parts[number] for number in sorted(parts, key=int)))
    blob = hub.contents.get(sha256)
    if blob is None:
        raise HubError(404, None, "no such object")
    return Answer(headers={"ETag": f'"{sha256}"', "Content-Type": "application/octet-stream"}, blob=blob)
