"""One version of an object as a file of Python's, for libraries that read files."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rowmill import _rust

__all__ = ["ObjectFile"]


class ObjectFile(io.RawIOBase):
    """Reads an object by ranges, each of them a request; nothing is read ahead."""

    def __init__(self, remote: _rust.RemoteObject) -> None:
        super().__init__()
        self._remote, self._place = remote, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a place, which may lie behind the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: len(self._remote)}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def tell(self) -> int:
        """The place of the next byte."""
        return self._place

    def readinto(self, into: Any) -> int:
        """Fills ``into``, as far as the object reaches."""
        read = self._remote.read(self._place, len(into))
        into[: len(read)] = read
        self._place += len(read)
        return len(read)
