"""One HTTP exchange: what came, what is answered, and how a fault spoils it."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hub_server.blobs import Blob
from hub_server.faults import Fault
from hub_server.log import Request
from hub_server.users import User

_PIECE = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class HubError(Exception):
    """Anything but a success, as the Hub says it."""

    def __init__(
        self, status: int, code: str | None = None, message: str = "", headers: Mapping[str, str] | None = None
    ):
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message or code or str(status), headers or {}


@dataclass
class Call:
    """What came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    token: str | None
    user: User | None

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[-1].lower() in ("1", "true")


@dataclass
class Answer:
    """What is answered; ``blob`` is served by ranges, too."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    blob: Blob | None = None

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        return cls(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    @classmethod
    def error(cls, error: HubError) -> Answer:
        named = {"X-Error-Code": error.code} if error.code else {}
        headers = {**named, "X-Error-Message": error.message, **error.headers}
        return cls.json({"error": error.message}, error.status, headers)


@dataclass
class Exchange:
    """The bytes of an answer to one request, a range of them where one was asked for."""

    answer: Answer
    start: int
    stop: int

    @classmethod
    def of(cls, answer: Answer, asked: str | None, fault: Fault) -> Exchange:
        size = len(answer.body) if answer.blob is None else answer.blob.size
        found = None if answer.blob is None or fault.ignore_range else _RANGE.fullmatch(asked or "")
        if found is None or answer.status != 200:
            return cls(answer, 0, size)
        first, last = found.groups()
        start = int(first) if first else max(0, size - int(last))
        stop = size if not first or not last else min(size, int(last) + 1)
        if start >= size or start >= stop:
            return cls(Answer(status=416, headers={"Content-Range": f"bytes */{size}"}), 0, 0)
        headers = {**answer.headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        return cls(Answer(answer.body, 206, headers, answer.blob), start, stop)

    def read(self, start: int, stop: int) -> bytes:
        if self.answer.blob is None:
            return self.answer.body[self.start + start : self.start + stop]
        return self.answer.blob.read(self.start + start, self.start + stop)


class Handler(BaseHTTPRequestHandler):
    """Serves one connection; ``server.hub`` has the routes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def _serve(self) -> None:
        hub, host = self.server.hub, self.server.host
        headers = {name.lower(): value for name, value in self.headers.items()}
        token = headers.get("authorization", "").removeprefix("Bearer ").strip() or None
        request = Request(host, self.command, self.path, headers, token)
        hub.log.add(request)
        body = self._body(headers)
        fault = hub.faults.strike(request)
        time.sleep(hub.latency + fault.latency)
        if fault.disconnect:
            self._hang_up()
            return
        if fault.status is not None:
            answer = Answer.error(HubError(fault.status, fault.code, fault.message, fault.headers))
        else:
            answer = self._answer(headers, body, token)
        self._send(Exchange.of(answer, headers.get("range"), fault), fault, request)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def _answer(self, headers: Mapping[str, str], body: bytes, token: str | None) -> Answer:
        hub, parts = self.server.hub, urlsplit(self.path)
        route: Callable[[Call], Answer] = hub.routes[self.server.host]
        try:
            user = hub.user(token) if self.server.host == "hub" else None
            query = parse_qs(parts.query, keep_blank_values=True)
            with hub.lock:
                return route(Call(self.command, parts.path, query, headers, body, token, user))
        except HubError as error:
            return Answer.error(error)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", ""):
            return self.rfile.read(int(headers.get("content-length", "0")))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def _send(self, exchange: Exchange, fault: Fault, request: Request) -> None:
        answer, size = exchange.answer, exchange.stop - exchange.start
        size = size if fault.truncate is None else min(size, fault.truncate)
        request.status = answer.status
        self.send_response(answer.status)
        headers = {"Content-Length": str(size), **({"Accept-Ranges": "bytes"} if answer.blob else {}), **answer.headers}
        for name, value in headers.items():
            if name not in fault.drop_headers:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for start in range(0, size, _PIECE):
            stop = min(size, start + _PIECE)
            piece = bytearray(exchange.read(start, stop))
            for place in fault.flip:
                if start <= place < stop:
                    piece[place - start] ^= 0xFF
            if fault.cut is not None and stop > fault.cut:
                self.wfile.write(piece[: max(0, fault.cut - start)])
                self._hang_up()
                return
            self.wfile.write(piece)
            request.sent += len(piece)
            if self.server.hub.bytes_per_second:
                time.sleep(len(piece) / self.server.hub.bytes_per_second)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def handle(self) -> None:
        # The other side may hang up as well: nothing to tell anybody.
        try:
            super().handle()
        except (ConnectionError, TimeoutError, ValueError, OSError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """The log is ``hub.log``."""
