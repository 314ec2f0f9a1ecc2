"""Limits of reading over networks, the cache on disk, and what it all cost; of this process and those it forks."""

from __future__ import annotations

import os
from typing import Any, Literal

from rowmill import _rust
from rowmill.arguments import positive

__all__ = ["configure", "stats"]


def configure(
    *,
    connections: int | None = None,
    ahead_bytes: int | None = None,
    requests_per_second: float | None = None,
    max_attempts: int | None = None,
    patience: float | None = None,
    first_wait: float | None = None,
    longest_wait: float | None = None,
    timeout: float | None = None,
    cache: bool | Literal["auto"] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_bytes: int | None = None,
) -> None:
    """Changes how this process reads over networks; what is None stays as it is.

    Call it before the first dataset is opened: connections and memory are set up once.

    Args:
        connections: Requests at a time (32).
        ahead_bytes: Memory for bytes that are fetched ahead (an eighth of the memory, at most 1 GiB).
        requests_per_second: Requests of this process, whatever it reads (500).
        max_attempts: Tries of a request where the server does not say when to come back (8).
        patience: Seconds that a request may take, all its tries together (300).
        first_wait: Seconds before the second try; twice as long before each next one (0.25).
        longest_wait: The longest of these waits (60).
        timeout: Seconds for a connection, an answer, and each part of it (30).
        cache: Whether fetched blocks are kept on disk: "auto" where the whole data set fits into ``cache_bytes``. False
            keeps nothing at all.
        cache_dir: Where; ``blocks`` in rowmill's cache folder when None.
        cache_bytes: How much; a fifth of the free disk, at most 64 GiB, when None.
    """
    for name, value in (("connections", connections), ("max_attempts", max_attempts), ("ahead_bytes", ahead_bytes)):
        if value is not None:
            positive(name, value, 1)
    _rust.set_remote_limits(
        connections=connections,
        ahead_bytes=ahead_bytes,
        requests_per_second=requests_per_second,
        max_attempts=max_attempts,
        patience=patience,
        first_wait=first_wait,
        longest_wait=longest_wait,
        timeout=timeout,
    )
    if cache is not None or cache_dir is not None or cache_bytes is not None:
        _rust.set_remote_cache(
            is_on=cache is not False,
            folder=None if cache_dir is None else os.path.abspath(os.path.expanduser(cache_dir)),
            budget=cache_bytes,
            keeps_blocks=None if cache in (None, "auto") else bool(cache),
        )


def stats() -> dict[str, Any]:
    """What reading over networks has cost this process so far.

    Returns:
        requests; fetched_bytes; retries; redirects; waits and wait_seconds (of readers for bytes to come); cache_hits
        and cache_bytes (found on disk).
    """
    return _rust.remote_stats()
