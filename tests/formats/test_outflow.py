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
        thread.name for thread in threading.enumerate() if thread.name.startswith(("rowmill-write", "rowmill-sync"))
    ]


@given(st.lists(st.binary(max_size=2000), max_size=40), st.integers(1, 700))
def test_what_arrives_is_what_was_given_however_little_is_written_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], most: int
) -> None:
    path = tmp_path_factory.mktemp("out") / "file"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", lambda descriptor, buffers: os.write(descriptor, buffers[0][:most]), raising=False)
        patch.setattr("rowmill.conversion.outflow._QUEUED_BYTES", 1000)
        patch.setattr("rowmill.conversion.outflow._SYNC_BYTES", 500)
        with Outflow(path) as file:
            for part in parts:
                assert file.write(part) == len(part)
        told = file.arrive()
    whole = b"".join(parts)
    assert path.read_bytes() == whole
    assert told == {"num_bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    assert not writers()


def test_numbers_are_written_as_they_lie(tmp_path: Path) -> None:
    numbers = np.arange(1000, dtype=np.uint16)
    with Outflow(tmp_path / "file") as file:
        file.write(numbers)
        file.write(numbers[:0])
    assert file.arrive()["num_bytes"] == 2000
    assert np.array_equal(np.fromfile(tmp_path / "file", np.uint16), numbers)


@pytest.mark.parametrize("call", ["writev", "fsync"])
def test_a_full_disk_is_told_and_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full, raising=False)
    monkeypatch.setattr("rowmill.conversion.outflow._QUEUED_BYTES", 1000)
    monkeypatch.setattr("rowmill.conversion.outflow._SYNC_BYTES", 500)

    def fill() -> None:
        with Outflow(tmp_path / "file") as file:
            for _ in range(100):
                file.write(bytes(100))
        file.arrive()

    with pytest.raises(OSError, match="No space") as caught:
        fill()
    assert caught.value.errno == errno.ENOSPC
    assert not writers()
