"""A folder over HTTP on loopback: ranges, ETags, faults on demand, every request counted."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any


@dataclass
class Asked:
    """A request as it came."""

    path: str
    start: int
    stop: int
    authorization: str | None


# A status to answer with instead, or None: given the request and how many came before it.
Fault = Callable[[Asked, int], "int | str | None"]


@dataclass
class ObjectServer:
    """Serves the files of a folder.

    Attributes:
        fault: Asked before each answer: a status, "cut" (half of the body), "flip" (a bit in its middle), "whole" (no
            notice of Range), "away" (sent on to ``elsewhere``), "later" (429, come back in an hour), or None.
        token: What ``Authorization`` must be, where it is set.
        latency: Seconds before an answer.
        etag: Stands in each ETag: another one is another version.
    """

    folder: Path
    fault: Fault | None = None
    token: str | None = None
    latency: float = 0.0
    etag: str = "1"
    elsewhere: str | None = None
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> ObjectServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def urls(self, pattern: str = "*") -> list[str]:
        """The files' URLs, sorted by name."""
        return [f"{self.origin}/{path.name}" for path in sorted(self.folder.glob(pattern))]

    @property
    def sent_bytes(self) -> int:
        return sum(request.stop - request.start for request in self.asked)


def _handler(server: ObjectServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = server.folder / self.path.lstrip("/").split("?")[0]
            content = path.read_bytes() if path.is_file() else b""
            span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            start, stop = (int(span[1]), min(int(span[2]) + 1, len(content))) if span else (0, len(content))
            request = Asked(self.path, start, stop, self.headers.get("Authorization"))
            before = len(server.asked)
            server.asked.append(request)
            time.sleep(server.latency)
            fault = server.fault(request, before) if server.fault else None
            if fault == "away":
                self._answer(302, {"Location": f"{server.elsewhere}{self.path}"}, b"")
            elif fault == "later":
                self._answer(429, {"Retry-After": "3600"}, b"")
            elif isinstance(fault, int):
                self._answer(fault, {"Retry-After": "0.05"} if fault == 429 else {}, b"")
            elif server.token is not None and request.authorization != server.token:
                self._answer(401, {}, b"")
            elif not path.is_file():
                self._answer(404, {}, b"")
            else:
                headers: dict[str, Any] = {"ETag": f'"{server.etag}-{len(content)}"'}
                if fault == "whole" or not span:
                    self._answer(200, headers, content)
                else:
                    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
                    body = bytearray(content[start:stop])
                    if fault == "flip":
                        body[len(body) // 2] ^= 1
                    self._answer(206, headers, bytes(body), is_cut=fault == "cut")

        def _answer(self, status: int, headers: dict[str, Any], body: bytes, is_cut: bool = False) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": len(body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if is_cut else body)
            self.close_connection = is_cut

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
