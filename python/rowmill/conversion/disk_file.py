"""A file that is written once, from its beginning to its end, past the page cache where its file system allows it.

Of a terabyte that is written nobody reads the beginning soon: in the page cache it would take the place of what a
training beside it reads, and bringing it there costs more than the disk does (measured: 2.5 s of a core a gigabyte
on a virtual machine, 0.15 s past it).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

__all__ = ["DiskFile"]

# What a disk writes at least, on any that is known: data past the cache comes in whole blocks, from memory at such
# an address.
_BLOCK_BYTES = 4096
# So much lies in the cache at most where it has to go through it.
_SYNC_BYTES = 32 << 20
_DIRECT = getattr(os, "O_DIRECT", 0)


class DiskFile:
    """What is written to it is on the disk once it was synced."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        self._is_direct, self._may_be_direct = False, bool(_DIRECT)
        self._num_unsynced = 0

    def write(self, data: memoryview, *, is_aligned: bool) -> None:
        """Writes all of ``data``; ``is_aligned`` says that it is whole blocks, begins a page and follows such data."""
        self._direct(is_aligned)
        while data.nbytes:
            written = self._write_some(data)
            self._num_unsynced += written
            data = data[written:]
            if written % _BLOCK_BYTES:
                self._direct(False)
        if not self._is_direct and self._num_unsynced >= _SYNC_BYTES:
            self.sync()

    def sync(self) -> None:
        """Brings to the disk what was written."""
        os.fsync(self._descriptor)
        self._num_unsynced = 0

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._descriptor)

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except OSError as refusal:
            # Some file systems take the flag and then refuse the data, or blocks of this size.
            if refusal.errno not in (errno.EINVAL, errno.EOPNOTSUPP) or not self._is_direct:
                raise
            self._may_be_direct = False
            self._direct(False)
            return os.write(self._descriptor, data)

    def _direct(self, wanted: bool) -> None:
        """Goes past the cache or through it from here on."""
        wanted = wanted and self._may_be_direct
        if wanted == self._is_direct:
            return
        import fcntl

        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | _DIRECT if wanted else flags & ~_DIRECT)
        except OSError:
            if not wanted:
                raise
            self._may_be_direct = wanted = False
        self._is_direct = wanted
