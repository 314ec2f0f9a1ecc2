"""The writing of a cache beside a pass that reads the same rows: one thread a process, one writer a machine."""

from __future__ import annotations

import atexit
import os
import threading
import warnings
from pathlib import Path

from rowmill.caching.build import IN_THE_WAY, remove_damaged, whole_shards
from rowmill.caching.in_blocks import Stopped, opened_cache, write_in_blocks
from rowmill.conversion.disk_errors import explained
from rowmill.plan import Plan
from rowmill.stages import Cached

__all__ = ["Writer", "settled", "writer_of"]

# How long a waiting thread sleeps, and how long the interpreter's exit waits for one that computes.
_PATIENCE_S, _FAREWELL_S = 0.2, 1.0

_writers: dict[tuple[int, str], Writer] = {}


def settled(plan: Plan) -> Plan:
    """The same rows, out of the last cache of the chain that is whole."""
    if plan.cached is not None:
        return plan
    stage = _last(plan)
    shards = None if stage is None else whole_shards(Path(stage.folder))
    if stage is None or shards is None:
        return plan
    cached = opened_cache(stage, shards)
    # Places of the source's order are places of the cache only where their blocks are the same.
    return plan.with_(cached=cached) if cached.rust.block_rows == plan.source.rust.block_rows else plan


def writer_of(plan: Plan) -> Writer | None:
    """What writes the cache of ``plan``, if it has one that is not whole; started here on first use."""
    stage = _last(plan)
    if stage is None or plan.cached is not None:
        return None
    at = (os.getpid(), stage.folder)
    if (writer := _writers.get(at)) is None or writer.is_over:
        _writers[at] = writer = Writer(plan, stage)
    return writer


def _last(plan: Plan) -> Cached | None:
    return next((stage for stage in reversed(plan.stages) if isinstance(stage, Cached)), None)


class Writer:
    """A thread that writes a cache, or waits for the process that does.

    Attributes:
        is_whole: Whether the cache is.
    """

    def __init__(self, plan: Plan, stage: Cached) -> None:
        self.is_whole = False
        before = plan.stages[: max(at for at, one in enumerate(plan.stages) if one is stage)]
        self._plan, self._stage = Plan(plan.source, before), stage
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="rowmill-cache", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, with a cache or without."""
        return not self._thread.is_alive()

    def tell(self) -> None:
        """Warns, once, of what has kept it from going on."""
        error, self._error = self._error, None
        if error is not None:
            warnings.warn(
                f"the rows go on as they are made, and are not kept: the cache {self._stage.folder} is not being "
                f"written any more. {error}",
                stacklevel=2,
            )

    def stop(self) -> None:
        """Ends the thread after what it is computing; what is finished stays."""
        self._stop.set()
        self._thread.join(_FAREWELL_S)

    def _run(self) -> None:
        try:
            self._write()
        except Stopped:
            pass
        except Exception as error:
            self._error = error

    def _write(self) -> None:
        from filelock import FileLock, Timeout

        folder = Path(self._stage.folder)
        with explained(folder, **IN_THE_WAY):
            folder.parent.mkdir(parents=True, exist_ok=True)
            # The system's lock, which dies with its holder.
            lock = FileLock(f"{folder}.lock")
            while not self._stop.is_set():
                try:
                    with lock.acquire(timeout=_PATIENCE_S):
                        if whole_shards(folder) is None:
                            remove_damaged(folder)
                            write_in_blocks(self._plan, self._stage, self._stop)
                        self.is_whole = True
                        return
                except Timeout:
                    continue


def _stop_all() -> None:
    for (process, _), writer in _writers.items():
        if process == os.getpid():
            writer.stop()


atexit.register(_stop_all)
