"""A file that others fill and one thread writes: hashed as it grows, and brought to the disk behind its end."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Outflow"]

# So much waits to be written at most: who fills the file waits for the disk only beyond that.
_QUEUED_BYTES = 64 << 20
# Written at a time.
_WRITTEN_BYTES, _WRITTEN_BUFFERS = 4 << 20, 512
# So much waits to be brought to the disk, before that begins.
_SYNC_BYTES = 32 << 20


class Outflow:
    """What is written to it stands in ``path``, on the disk, once it has arrived.

    A file object as pyarrow takes it. Buffers are kept as they are until they are written: nobody may change them.
    The end of a block in which it was opened is the file's, and does not wait.
    """

    closed = False

    def __init__(self, path: Path) -> None:
        self._path, self._num_bytes = path, 0
        self._digest = hashlib.sha256()
        self._waiting: deque[memoryview] = deque()
        self._num_waiting = 0
        self._changed = threading.Condition()
        self._trouble: BaseException | None = None
        self._syncing = ThreadPoolExecutor(1, thread_name_prefix="rowmill-sync")
        self._synced: Future[None] | None = None
        self._num_synced = 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        self._thread = threading.Thread(target=self._run, name="rowmill-write", daemon=True)
        self._thread.start()

    def write(self, data: Any) -> int:
        """Takes a buffer, and waits where too much of what came before is not written yet."""
        buffer = memoryview(data)
        with self._changed:
            while self._num_waiting > _QUEUED_BYTES and self._trouble is None:
                self._changed.wait()
            self._raise_trouble()
            if buffer.nbytes:
                self._waiting.append(buffer.cast("B"))
                self._num_waiting += buffer.nbytes
                self._changed.notify_all()
        return buffer.nbytes

    def flush(self) -> None:
        """Nothing is held back."""

    def end(self) -> None:
        """Nothing more comes; does not wait."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def arrive(self) -> dict[str, Any]:
        """Waits until all is on the disk; the size and the digest of what is there.

        Raises:
            OSError: Something did not get there.
        """
        try:
            self.end()
            self._thread.join()
            self._raise_trouble()
            if self._synced is not None:
                self._synced.result()
            os.fsync(self._descriptor)
        finally:
            self._let_go()
        return {"num_bytes": self._num_bytes, "sha256": self._digest.hexdigest()}

    def abandon(self) -> None:
        """Lets go of the file as it is."""
        with self._changed:
            self._waiting.clear()
        self.end()
        self._thread.join()
        self._let_go()

    def __enter__(self) -> Outflow:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.end()
        else:
            self.abandon()

    def _let_go(self) -> None:
        self._syncing.shutdown()
        os.close(self._descriptor)

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _run(self) -> None:
        try:
            while buffers := self._next():
                self._write(buffers)
                for buffer in buffers:
                    self._digest.update(buffer)
                self._sync()
        except BaseException as trouble:
            with self._changed:
                self._trouble = trouble
                self._waiting.clear()
                self._changed.notify_all()

    def _next(self) -> list[memoryview]:
        """What is written now; empty where nothing comes any more."""
        with self._changed:
            while not self._waiting and not self.closed:
                self._changed.wait()
            buffers: list[memoryview] = []
            num_bytes = 0
            while self._waiting and len(buffers) < _WRITTEN_BUFFERS and num_bytes < _WRITTEN_BYTES:
                buffers.append(self._waiting.popleft())
                num_bytes += buffers[-1].nbytes
            self._num_waiting -= num_bytes
            self._changed.notify_all()
            return buffers

    def _write(self, buffers: list[memoryview]) -> None:
        left = deque(buffers)
        while left:
            written = self._write_some(left)
            self._num_bytes += written
            while left and written >= left[0].nbytes:
                written -= left.popleft().nbytes
            if written:
                left[0] = left[0][written:]

    def _write_some(self, buffers: deque[memoryview]) -> int:
        if hasattr(os, "writev"):
            return os.writev(self._descriptor, buffers)
        return os.write(self._descriptor, buffers[0])

    def _sync(self) -> None:
        """Begins to bring what there is to the disk, unless that is under way."""
        if self._num_bytes - self._num_synced < _SYNC_BYTES or (self._synced is not None and not self._synced.done()):
            return
        if self._synced is not None:
            self._synced.result()
        self._num_synced = self._num_bytes
        self._synced = self._syncing.submit(os.fsync, self._descriptor)
