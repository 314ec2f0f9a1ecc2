"""How far a dataset has been read: one object for the dataset, its loaders and its iterators alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rowmill.cursor import Cursor
from rowmill.epochs import EpochBoard
from rowmill.exceptions import StateMismatchError

__all__ = ["Progress"]


@dataclass
class Progress:
    """The epoch that comes next, a cursor waiting to be used, and the newest pass of this process."""

    board: EpochBoard = field(default_factory=EpochBoard)
    pending: Cursor | None = None
    current: Callable[[], Cursor] | None = None
    """Gives the cursor of the newest pass; None before the first and after a pass was read to its end."""

    def set_epoch(self, epoch: int) -> None:
        """Makes ``epoch`` the next pass's, from its beginning."""
        self.board.reset(epoch)
        self.pending = self.current = None

    def resume(self, cursor: Cursor, worker: tuple[int, int] | None) -> None:
        """Makes the next pass begin at ``cursor``."""
        if worker is None:
            self.set_epoch(cursor["epoch"])
        else:
            # The board is shared with the other workers, which may be further: touch only our own slot.
            self.board.forget(worker)
        self.pending = cursor

    def begin(self, worker: tuple[int, int] | None) -> tuple[Cursor | None, int]:
        """Begins a pass: the cursor to resume from, used once, and the epoch."""
        cursor = None if self.board.has_begun(worker) else self.pending
        epoch = cursor["epoch"] if cursor else self.epoch(worker)
        self.board.begin(worker, epoch)
        if worker is None:
            self.pending = None
        return cursor, epoch

    def follow(self, current: Callable[[], Cursor]) -> None:
        """Makes this pass the one that :meth:`state` tells of."""
        self.current = current

    def finish(self, worker: tuple[int, int] | None, next_epoch: int, current: Callable[[], Cursor]) -> None:
        """Notes that a pass was read to its end."""
        self.board.finish(worker, next_epoch)
        if self.current == current:
            self.current = None

    def epoch(self, worker: tuple[int, int] | None = None) -> int:
        """The epoch that is being read, or that comes next where the last one is over."""
        return self.board.next_epoch(worker)

    def state(self) -> Cursor | None:
        """The cursor of this process's newest pass or the one that waits; None where the next epoch begins.

        Raises:
            StateMismatchError: The newest pass is one of DataLoader workers, which this process cannot see.
        """
        if self.board.workers_active:
            raise StateMismatchError(
                "this dataset is being read by DataLoader workers, whose place the main process cannot see: a state "
                "taken here would silently be the beginning. Two ways out: read with ds.loader(), which needs no "
                "workers, or use rowmill.DataLoader (or torchdata's StatefulDataLoader) and take its state_dict()"
            )
        if self.pending is not None:
            return self.pending
        return None if self.current is None else self.current()

    def __getstate__(self) -> dict[str, Any]:
        return {"board": self.board, "pending": self.pending}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.board, self.pending, self.current = state["board"], state["pending"], None
