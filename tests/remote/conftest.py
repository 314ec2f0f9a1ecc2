"""Objects of a loopback server, read without patience, and a cache of their own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from remote.object_server import ObjectServer
from shards import write_shards

import rowmill.remote


@pytest.fixture(autouse=True)
def _impatient(tmp_path: Path) -> None:
    rowmill.remote.configure(
        first_wait=0.005,
        longest_wait=0.05,
        max_attempts=6,
        patience=20,
        timeout=5,
        cache="auto",
        cache_dir=tmp_path / "blocks",
        cache_bytes=1 << 30,
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ObjectServer]:
    """Uneven Parquet shards over HTTP."""
    write_shards(tmp_path / "data", container="parquet")
    with ObjectServer(tmp_path / "data") as served:
        yield served
