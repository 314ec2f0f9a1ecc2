"""A folder that a download puts files into: one process at a time, whole files only, and nothing beside it."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from rowmill.conversion.disk_errors import explained
from rowmill.exceptions import CorruptShardError
from rowmill.hub.names import check_file_name
from rowmill.hub.records import lock_of
from rowmill.hub.settings import Settings

__all__ = ["TargetFolder"]


class TargetFolder:
    """A folder here, and how files come into it.

    Attributes:
        path: The folder.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Settings) -> None:
        self.path = Path(folder).expanduser().absolute()
        self._locks = settings.records / "locks"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes of the machine from writing there, and tells what to do where it is closed."""
        with (
            explained(self.path, closed="name another folder", full="make some, or name a folder on another disk"),
            lock_of(self._locks, "into", str(self.path.resolve())),
        ):
            yield

    def target(self, path: str, place: str) -> Path:
        """Where a repository's file goes.

        Raises:
            CorruptShardError: Its name, or a link in the folder, leads elsewhere.
        """
        target = self.path / check_file_name(path, place)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(self.path.resolve()):
            raise CorruptShardError(
                f"{target.parent} is a link that leads out of {self.path}; it is not written through", path
            )
        return target

    @contextlib.contextmanager
    def written(self, target: Path) -> Iterator[Path]:
        """A file to write, of this process alone, which is put into its place when it is whole."""
        _remove_left(target)
        part = target.with_name(f"{_stem(target)}{os.getpid()}.part")
        try:
            yield part
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def _stem(target: Path) -> str:
    """How the names of a file's parts begin on this machine: others may write into the same folder."""
    # A name that is nearly too long itself has no room for more.
    name = target.name if len(target.name) < 100 else hashlib.blake2b(target.name.encode(), digest_size=16).hexdigest()
    return f".{name}.{hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()}-"


def _remove_left(target: Path) -> None:
    """Removes parts of this machine's processes that were killed."""
    for left in target.parent.glob(f"{glob.escape(_stem(target))}*.part"):
        number = left.name.removesuffix(".part").rpartition("-")[2]
        if number.isdecimal() and not _is_running(int(number)):
            # On Windows a file that somebody writes stays.
            with contextlib.suppress(OSError):
                left.unlink()


def _is_running(process: int) -> bool:
    if os.name == "nt" or process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
