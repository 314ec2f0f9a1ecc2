"""An iterator that goes over to a cache as soon as it is whole, between two steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rowmill.caching.background import Writer, settled, writer_of
from rowmill.cursor import Cursor
from rowmill.placement import find_worker
from rowmill.plan import Plan
from rowmill.progress import Progress
from rowmill.states import States

__all__ = ["GoingOver", "over_cache"]

_COUNTS = ("rows", "batches", "bytes")


def over_cache(plan: Plan, progress: Progress, make: Callable[[Plan], Any]) -> Any:
    """The iterator of a pass over ``plan``, out of its cache where that is whole or as soon as it is."""
    plan = settled(plan)
    worker = find_worker()
    # One of a DataLoader's workers is enough.
    writer = writer_of(plan) if worker is None or worker[1] == 0 else None
    return make(plan) if writer is None else GoingOver(plan, progress, make, writer)


class GoingOver(Iterator[Any]):
    """Reads what is being made; and from the step at which the cache is found whole on, what was kept.

    Both are the same stream: a cursor of one is a cursor of the other.
    """

    def __init__(self, plan: Plan, progress: Progress, make: Callable[[Plan], Any], writer: Writer) -> None:
        self._plan, self._progress, self._make = plan, progress, make
        self._writer: Writer | None = writer
        self._before: dict[str, Any] = {}
        self._stream = make(plan)
        self.final_stats: dict[str, Any] = {}

    def __next__(self) -> Any:
        if self._writer is not None:
            self._writer.tell()
            if self._writer.is_whole:
                self._go_over()
        try:
            return next(self._stream)
        except StopIteration:
            self._writer = None
            raise

    def _go_over(self) -> None:
        plan, self._writer = settled(self._plan), None
        if plan.cached is None:
            return
        self._before = {name: value for name, value in self.stats().items() if name in _COUNTS}
        self._progress.resume(self._stream.current()(), find_worker())
        self._stream.close()
        self._stream = self._make(plan)

    def state_dict(self, *, gather: bool = False) -> Cursor:
        """The cursor after what has been returned so far; ``gather`` makes it the whole job's."""
        state: Cursor = self._stream.state_dict(gather=gather)
        return state

    def current(self) -> Callable[[], Cursor]:
        """What gives the cursor of this pass, also when the iterator is gone."""
        current: Callable[[], Cursor] = self._stream.current()
        return current

    def load_state_dict(self, state: States, *, strict: bool = True) -> None:
        """Moves this iterator to ``state``."""
        self._stream.load_state_dict(state, strict=strict)

    def stats(self) -> dict[str, Any]:
        """What the engine did so far."""
        stats = self._stream.stats()
        return {**stats, **{name: stats[name] + value for name, value in self._before.items() if name in stats}}

    def close(self) -> None:
        """Stops the engine's threads."""
        self._stream.close()

    def __del__(self) -> None:
        with_stats = getattr(self, "_stream", None)
        if with_stats is not None:
            try:
                self.final_stats.update(self.stats())
            except Exception:
                return
