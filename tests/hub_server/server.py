"""The server: two listening sockets (the Hub, and the host of signed URLs), their routes and the switches."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hub_server import managing, reading, resolving, uploading
from hub_server.blobs import Blob
from hub_server.faults import Fault, Faults
from hub_server.log import Log, Request
from hub_server.repos import Repo
from hub_server.users import User, may_see, may_write
from hub_server.wire import Answer, Call, Handler, HubError

RepoRoute = Callable[["HubServer", Call, Repo, str], Answer]

_REPO = r"(?P<repo>[^/]+(?:/[^/]+)??)"
_API = re.compile(
    rf"/api/(?P<kind>dataset|model)s/{_REPO}"
    r"(?:/(?P<word>revision|tree|paths-info|refs|commits|preupload|commit|branch|tag|settings|auth-check)"
    r"(?:/(?P<rest>.*))?)?"
)
_FILE = re.compile(rf"/(?P<kind>datasets/|){_REPO}/resolve/(?P<rest>.*)")
_LFS = re.compile(rf"/(?P<kind>datasets/|){_REPO}\.git/info/lfs/objects/(?P<word>batch|verify)")
_READS: dict[tuple[str, str | None], RepoRoute] = {
    ("GET", None): reading.info,
    ("GET", "revision"): reading.info,
    ("GET", "tree"): reading.tree,
    ("POST", "paths-info"): reading.paths_info,
    ("GET", "refs"): reading.refs,
    ("GET", "commits"): reading.commits,
    ("GET", "auth-check"): managing.auth_check,
}
_WRITES: dict[tuple[str, str | None], RepoRoute] = {
    ("POST", "preupload"): uploading.preupload,
    ("POST", "commit"): uploading.commit,
    ("POST", "branch"): managing.branch,
    ("DELETE", "branch"): managing.branch,
    ("POST", "tag"): managing.tag,
    ("DELETE", "tag"): managing.tag,
    ("PUT", "settings"): managing.settings,
}
_LFS_ROUTES: dict[str, RepoRoute] = {
    "batch": uploading.lfs_batch,
    "verify": uploading.lfs_verify,
}


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    # 64 workers knock at once.
    request_queue_size = 256

    def __init__(self, hub: HubServer, host: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub, self.host = hub, host
        self._connections: set[Any] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""

    def stop(self) -> None:
        self.shutdown()
        for connection in list(self._connections):
            super().shutdown_request(connection)
        self.server_close()
        self._thread.join()


class HubServer:
    """A Hub that listens as soon as it is made; a context manager.

    Attributes:
        endpoint: What HF_ENDPOINT is set to.
        cdn_endpoint: The other host, to which signed URLs of LFS files lead and where they are uploaded.
        redirects: Whether LFS files are served by a redirect there, as the real Hub does.
        url_seconds: How long a signed URL holds.
        page_size: Items of a page of a tree listing.
        short_shas: Whether the first characters of a sha are a revision.
        part_bytes: Size of the parts of an upload; whole objects when 0.
        latency: Seconds before any answer.
        bytes_per_second: Speed of one connection's bodies; unbounded when 0.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.log, self.faults = Log(), Faults()
        self.repos: dict[tuple[str, str], Repo] = {}
        self.users: dict[str, User] = {}
        self.contents: dict[str, Blob] = {}
        self.parts: dict[str, dict[str, bytes]] = {}
        self.secret = secrets.token_hex(8)
        self.redirects, self.url_seconds, self.page_size = False, 3600.0, 1000
        self.short_shas, self.part_bytes, self.latency, self.bytes_per_second = True, 0, 0.0, 0
        self.routes: dict[str, Callable[[Call], Answer]] = {"hub": self._route, "cdn": self._route_cdn}
        self._listeners = _Listener(self, "hub"), _Listener(self, "cdn")
        self.endpoint, self.cdn_endpoint = (listener.url for listener in self._listeners)

    # What a test sets up.

    def add_user(self, name: str, token: str, *, role: str = "write", orgs: tuple[str, ...] = ()) -> User:
        self.users[token] = User(name, role, orgs)
        return self.users[token]

    def create_repo(
        self, name: str, files: Mapping[str, bytes | str | Path] | None = None, *, kind: str = "dataset", **what: Any
    ) -> Repo:
        """A repository with one commit of these files; ``what`` are attributes of ``Repo``."""
        with self.lock:
            repo = self.repos[kind, name] = Repo(name, kind, **what)
            if files:
                repo.commit(files)
            return repo

    def fault(self, fault: Fault | None = None, **rule: Any) -> Fault:
        """Switches a fault on, given as a rule or its attributes."""
        fault = Fault(**rule) if fault is None else fault
        self.faults.add(fault)
        return fault

    def expire_urls(self) -> None:
        """No signed URL that was given out holds any more."""
        self.secret = secrets.token_hex(8)

    # What a test looks at.

    def requests(self, method: str | None = None, path: str = "", host: str | None = None) -> list[Request]:
        """The requests so far of a method, whose path matches a regular expression."""
        return self.log.find(method, path, host)

    def count(self, method: str | None = None, path: str = "", host: str | None = None) -> int:
        return len(self.requests(method, path, host))

    def forget(self) -> None:
        """Empties the log."""
        self.log.clear()

    # What routes ask.

    def user(self, token: str | None) -> User | None:
        if token is None:
            return None
        if token not in self.users:
            raise HubError(401, None, "Invalid credentials in Authorization header")
        return self.users[token]

    def visible_repos(self, user: User | None, kind: str) -> Iterator[Repo]:
        return (repo for (its_kind, _), repo in self.repos.items() if its_kind == kind and may_see(user, repo))

    def receive(self, sha256: str, part: str, body: bytes) -> Answer:
        """An uploaded object, or a part of one."""
        if part:
            self.parts.setdefault(sha256, {})[part] = body
        elif hashlib.sha256(body).hexdigest() != sha256:
            raise HubError(400, None, "the object is not what its name says")
        else:
            self.contents[sha256] = Blob(body)
        return Answer(headers={"ETag": f'"{hashlib.md5(body).hexdigest()}"'})

    def _route(self, call: Call) -> Answer:
        fixed = {
            ("GET", "/api/whoami-v2"): reading.whoami,
            ("POST", "/api/validate-yaml"): uploading.validate_yaml,
            ("POST", "/api/repos/create"): managing.create_repo,
            ("DELETE", "/api/repos/delete"): managing.delete_repo,
        }
        if (call.method, call.path) in fixed:
            return fixed[call.method, call.path](self, call)
        if call.path in ("/api/datasets", "/api/models"):
            return reading.search(self, call, call.path[5:-1])
        if found := _FILE.fullmatch(call.path):
            return resolving.resolve(self, call, self._repo(call, found, "read"), found["rest"])
        if found := _LFS.fullmatch(call.path):
            return _LFS_ROUTES[found["word"]](self, call, self._repo(call, found, "write"), "")
        if found := _API.fullmatch(call.path):
            key, rest = (call.method, found["word"]), found["rest"] or ""
            if key in _WRITES:
                return _WRITES[key](self, call, self._repo(call, found, "write"), rest)
            if key in _READS:
                return _READS[key](self, call, self._repo(call, found, "read"), rest)
        raise HubError(404, None, f"no route for {call.method} {call.path}")

    def _route_cdn(self, call: Call) -> Answer:
        return resolving.from_cdn(self, call)

    def _repo(self, call: Call, found: re.Match[str], access: str) -> Repo:
        kind = "dataset" if found["kind"].startswith("dataset") else "model"
        repo = self.repos.get((kind, found["repo"]))
        if repo is None or not may_see(call.user, repo):
            # The Hub does not tell strangers what there is.
            raise HubError(401 if call.user is None else 404, "RepoNotFound", "Repository not found")
        if access == "write" and not may_write(call.user, repo.owner):
            raise HubError(403, None, "Forbidden: pass a token with write access")
        return repo

    def close(self) -> None:
        for listener in self._listeners:
            listener.stop()

    def __enter__(self) -> HubServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
