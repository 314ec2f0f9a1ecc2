"""Which epoch comes next, known alike to a dataset and to its copies in DataLoader workers.

A DataLoader copies the dataset into its workers, so a count kept in the object would start anew with every
copy and the second epoch would silently be the first again. The counts live in anonymous memory that the
parent and its workers share instead.
"""

from __future__ import annotations

import mmap
from multiprocessing import context, sharedctypes
from typing import Any

__all__ = ["EpochBoard"]

_MAX_WORKERS = 1024
_UNSET = -1
# Slots before the workers' own.
_BASE, _WORKERS_ACTIVE, _MAIN, _FIRST_WORKER = range(4)
_NUM_SLOTS = _FIRST_WORKER + _MAX_WORKERS


class EpochBoard:
    """A board of numbers shared by a dataset and its copies: the base epoch and each consumer's next one."""

    def __init__(self, base: int = 0) -> None:
        self._memory: Any = mmap.mmap(-1, 8 * _NUM_SLOTS)
        self._slots = memoryview(self._memory).cast("q")
        self.reset(base)

    def reset(self, base: int) -> None:
        """Makes ``base`` the epoch of every consumer's next pass."""
        self._slots[:] = _EMPTY
        self._slots[_BASE] = base
        self._slots[_WORKERS_ACTIVE] = 0

    @property
    def workers_active(self) -> bool:
        """Whether the newest pass is one of DataLoader workers, of which this process sees nothing."""
        return bool(self._slots[_WORKERS_ACTIVE])

    def next_epoch(self, worker: tuple[int, int] | None) -> int:
        """The epoch of the next pass of ``worker`` = (num_workers, id), or of the main process for None."""
        return max(self._main_next(), self._workers_next(worker[0] if worker else None))

    def has_begun(self, worker: tuple[int, int] | None) -> bool:
        """Whether this consumer began a pass since the last reset."""
        return bool(self._slots[_slot(worker)] != _UNSET)

    def begin(self, worker: tuple[int, int] | None, epoch: int) -> None:
        """Notes that this consumer's pass over ``epoch`` begins."""
        self._slots[_WORKERS_ACTIVE] = worker is not None
        self._slots[_slot(worker)] = epoch

    def forget(self, worker: tuple[int, int] | None) -> None:
        """Makes this consumer one that has not begun, and leaves the others alone."""
        self._slots[_slot(worker)] = _UNSET

    def finish(self, worker: tuple[int, int] | None, next_epoch: int) -> None:
        """Notes that this consumer's pass is over."""
        self._slots[_slot(worker)] = next_epoch

    def _main_next(self) -> int:
        main = self._slots[_MAIN]
        return int(self._slots[_BASE] if main == _UNSET else main)

    def _workers_next(self, num_workers: int | None) -> int:
        """The slowest worker's: a pass that was abandoned while some had already read to its end is not over."""
        slots = self._slots[_FIRST_WORKER:]
        if num_workers is None:
            begun = [slot for slot in slots if slot != _UNSET]
            return min(begun, default=_UNSET)
        base = self._slots[_BASE]
        return min(base if slot == _UNSET else slot for slot in slots[:num_workers])

    def __getstate__(self) -> dict[str, Any]:
        if context.get_spawning_popen() is None:
            # An ordinary pickle (a checkpoint, another machine) takes the count along, not the memory.
            return {"base": self.next_epoch(None)}
        if isinstance(self._memory, mmap.mmap):
            self._share_by_descriptor()
        return {"shared": self._memory}

    def _share_by_descriptor(self) -> None:
        """Moves to memory that a spawned child can inherit: its descriptor travels, it has no name."""
        shared = sharedctypes.RawArray("q", _NUM_SLOTS)
        slots = memoryview(shared).cast("B").cast("q")
        slots[:] = self._slots
        self._memory, self._slots = shared, slots

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "base" in state:
            self.__init__(state["base"])  # type: ignore[misc]
            return
        self._memory = state["shared"]
        self._slots = memoryview(self._memory).cast("B").cast("q")


def _slot(worker: tuple[int, int] | None) -> int:
    return _MAIN if worker is None else _FIRST_WORKER + worker[1] % _MAX_WORKERS


_EMPTY = memoryview(_UNSET.to_bytes(8, "little", signed=True) * _NUM_SLOTS).cast("q")
