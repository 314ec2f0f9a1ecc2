"""The mix that a process that is killed reads, and the test that knows what it should have read."""

from __future__ import annotations

from pathlib import Path

import rowmill


def mixed(data: str) -> rowmill.Dataset:
    """The first file as one source and the others as another."""
    first, *others = (str(path) for path in sorted(Path(data).glob("*.arrow")))
    sources = {"first": rowmill.open(first).shuffle(seed=1), "others": rowmill.open(others).shuffle(seed=2)}
    return rowmill.mix(sources, {"first": 0.3, "others": 0.7}, seed=5)
