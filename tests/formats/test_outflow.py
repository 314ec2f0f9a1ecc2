"""Files written by a thread of their own: what arrives is what was given, and a full disk is told to who gave it."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowmill.conversion.outflow import Outflow


def writers() -> list[str]:
    return [
        thread.name for thread in threading.enumerate() if thread.name.startswith(("rowmill-write", "rowmill-disk"))
    ]


@given(st.lists(st.binary(max_size=20_000), max_size=12), st.integers(1, 9000), st.sampled_from([4096, 12288]))
def test_what_arrives_is_what_was_given_however_little_is_written_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], most: int, chunk: int
) -> None:
    path, write = tmp_path_factory.mktemp("out") / "file", os.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:most]))
        patch.setattr("rowmill.conversion.outflow._QUEUED_BYTES", 1000)
        patch.setattr("rowmill.conversion.outflow._CHUNK_BYTES", chunk)
        patch.setattr("rowmill.conversion.disk_file._SYNC_BYTES", 5000)
        with Outflow(path) as file:
            for part in parts:
                assert file.write(part) == len(part)
        told = file.arrive()
    whole = b"".join(parts)
    assert path.read_bytes() == whole
    assert told == {"num_bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    assert not writers()


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="no such flag here")
@pytest.mark.parametrize("refusal", [None, "fcntl", "write"])
def test_whole_chunks_go_past_the_page_cache_where_the_file_system_lets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str | None
) -> None:
    fcntl = pytest.importorskip("fcntl")
    write, control, direct = os.write, fcntl.fcntl, []

    def told(descriptor: int, data: memoryview) -> int:
        is_direct = bool(control(descriptor, fcntl.F_GETFL) & os.O_DIRECT)
        direct.append(is_direct)
        if refusal == "write" and is_direct:
            raise OSError(errno.EINVAL, "Invalid argument")
        return write(descriptor, data)

    def controlled(descriptor: int, command: int, flags: int = 0) -> int:
        if refusal == "fcntl" and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return int(control(descriptor, command, flags))

    monkeypatch.setattr(os, "write", told)
    monkeypatch.setattr(fcntl, "fcntl", controlled)
    monkeypatch.setattr("rowmill.conversion.outflow._CHUNK_BYTES", 8192)
    whole = os.urandom(3 * 8192 + 100)
    with Outflow(tmp_path / "file") as file:
        for start in range(0, len(whole), 1000):
            file.write(whole[start : start + 1000])
    assert file.arrive()["num_bytes"] == len(whole)
    assert (tmp_path / "file").read_bytes() == whole
    if refusal is not None:
        # Asked once at most; all of it arrives through the cache.
        assert direct == ([True] if refusal == "write" else []) + [False] * 4
    elif direct[0]:
        assert direct == [True, True, True, False]


def test_numbers_are_written_as_they_lie(tmp_path: Path) -> None:
    numbers = np.arange(1000, dtype=np.uint16)
    with Outflow(tmp_path / "file") as file:
        file.write(numbers)
        file.write(numbers[:0])
    assert file.arrive()["num_bytes"] == 2000
    assert np.array_equal(np.fromfile(tmp_path / "file", np.uint16), numbers)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_is_told_and_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    monkeypatch.setattr("rowmill.conversion.outflow._QUEUED_BYTES", 1000)
    monkeypatch.setattr("rowmill.conversion.outflow._CHUNK_BYTES", 4096)

    def fill() -> None:
        with Outflow(tmp_path / "file") as file:
            for _ in range(100):
                file.write(bytes(1000))
        file.arrive()

    with pytest.raises(OSError, match="No space") as caught:
        fill()
    assert caught.value.errno == errno.ENOSPC
    assert not writers()
