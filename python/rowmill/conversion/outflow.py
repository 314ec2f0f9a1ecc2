"""A file that others fill and one thread writes: hashed as it grows, and on the disk behind its end."""

from __future__ import annotations

import hashlib
import mmap
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from rowmill.conversion.disk_file import DiskFile

__all__ = ["Outflow"]

# So much waits to be written at most: who fills the file waits for the disk only beyond that.
_QUEUED_BYTES = 64 << 20
# Written at a time: enough for a disk to be busy with. One such chunk is filled while the other is written.
_CHUNK_BYTES = 8 << 20


class Outflow:
    """What is written to it stands in ``path``, on the disk, once it has arrived.

    A file object as pyarrow takes it. Buffers are copied beside the caller's work: nobody may change them.
    The end of a block in which it was opened is the file's, and does not wait.
    """

    closed = False

    def __init__(self, path: Path) -> None:
        self._num_bytes = 0
        self._digest = hashlib.sha256()
        self._waiting: deque[memoryview] = deque()
        self._num_waiting = 0
        self._changed = threading.Condition()
        self._trouble: BaseException | None = None
        self._chunk, self._filled = _page_aligned(), 0
        self._spare: np.ndarray | None = None
        self._file = DiskFile(path)
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="rowmill-disk")
        self._written: Future[None] | None = None
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
            self._wait_for_disk()
            self._file.sync()
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
        self._disk.shutdown()
        self._file.close()

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _run(self) -> None:
        try:
            while (buffer := self._next()) is not None:
                self._pour(buffer)
            self._pass_on()
        except BaseException as trouble:
            with self._changed:
                self._trouble = trouble
                self._waiting.clear()
                self._changed.notify_all()

    def _next(self) -> memoryview | None:
        """What is written now; None where nothing comes any more."""
        with self._changed:
            while not self._waiting and not self.closed:
                self._changed.wait()
            if not self._waiting:
                return None
            buffer = self._waiting.popleft()
            self._num_waiting -= buffer.nbytes
            self._changed.notify_all()
            return buffer

    def _pour(self, buffer: memoryview) -> None:
        while buffer.nbytes:
            room = self._chunk[self._filled : self._filled + buffer.nbytes]
            # NumPy copies without the interpreter's lock.
            room[:] = np.frombuffer(buffer, np.uint8, room.nbytes)
            self._filled += room.nbytes
            buffer = buffer[room.nbytes :]
            if self._filled == self._chunk.nbytes:
                self._pass_on()

    def _pass_on(self) -> None:
        """Has the chunk written while the next one is filled."""
        data = self._chunk[: self._filled].data
        self._digest.update(data)
        self._num_bytes += self._filled
        self._wait_for_disk()
        is_whole = self._filled == self._chunk.nbytes
        self._written = self._disk.submit(self._file.write, data, is_aligned=is_whole)
        if is_whole:
            spare = _page_aligned() if self._spare is None else self._spare
            self._chunk, self._spare, self._filled = spare, self._chunk, 0

    def _wait_for_disk(self) -> None:
        if self._written is not None:
            written, self._written = self._written, None
            written.result()


def _page_aligned() -> np.ndarray:
    """A chunk's memory, which nothing has touched."""
    return np.frombuffer(mmap.mmap(-1, _CHUNK_BYTES), np.uint8)
