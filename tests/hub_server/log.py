"""Every request that came, and what it was answered."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Request:
    """One request.

    Attributes:
        host: "hub", or "cdn" for the place where signed URLs lead.
        path: As it was asked for, with its query.
        token: The token it carried, or None.
        status: What it was answered; 0 while it runs, and where the connection was cut before.
        sent: Bytes of the body that went out.
    """

    host: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None
    status: int = 0
    sent: int = 0
    second: float = field(default_factory=time.monotonic)

    @property
    def range(self) -> str | None:
        return self.headers.get("range")

    def __str__(self) -> str:
        return f"{self.host} {self.method} {self.path} {self.range or ''} -> {self.status}"


class Log:
    """Requests in the order they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[Request] = []

    def add(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    def find(self, method: str | None = None, path: str = "", host: str | None = None) -> list[Request]:
        """Those of a method, whose path matches a regular expression."""
        with self._lock:
            seen = list(self._requests)
        return [
            request
            for request in seen
            if method in (None, request.method) and host in (None, request.host) and re.search(path, request.path)
        ]

    def clear(self) -> None:
        with self._lock:
            self._requests.clear()
