"""What goes wrong on demand: rules that are asked before each answer."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from hub_server.log import Request


@dataclass
class Fault:
    """A rule: which requests it strikes, how often, and what happens to them.

    Attributes:
        path: Regular expression that is searched for in the path with its query.
        host: "hub" or "cdn"; both when None.
        times: Requests that it strikes; every one when None.
        skip: Matching requests that it lets through first.
        share: Part of the matching requests that it strikes, by a seeded draw.
        status: Answered instead of what was asked for, with ``headers``, ``code`` and ``message`` as the Hub has them.
        latency: Seconds before anything is answered.
        disconnect: The connection is closed before any answer.
        cut: The connection is closed after so many bytes of the body, short of the promised length.
        truncate: Only so many bytes are the body, and the headers say so.
        flip: Places in the body whose bits are turned over.
        ignore_range: The whole file comes, with status 200.
        drop_headers: Headers that are left out.
    """

    method: str | None = None
    path: str = ""
    host: str | None = None
    times: int | None = None
    skip: int = 0
    share: float = 1.0
    seed: int = 0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None
    message: str = "a fault that a test asked for"
    latency: float = 0.0
    disconnect: bool = False
    cut: int | None = None
    truncate: int | None = None
    flip: tuple[int, ...] = ()
    ignore_range: bool = False
    drop_headers: tuple[str, ...] = ()
    struck: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def strikes(self, request: Request) -> bool:
        """Whether this request is one; counts."""
        if self.method not in (None, request.method) or self.host not in (None, request.host):
            return False
        if self.times is not None and self.struck >= self.times:
            return False
        if not re.search(self.path, request.path) or self._random.random() >= self.share:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.struck += 1
        return True


class Faults:
    """The rules that are on, first come first served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._rules.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def strike(self, request: Request) -> Fault:
        """The fault for a request; one that does nothing where no rule is for it."""
        with self._lock:
            return next((rule for rule in self._rules if rule.strikes(request)), Fault())
