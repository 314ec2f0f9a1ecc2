"""A progress bar for what takes over a second, and only on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Report", "progress_bar"]

_PATIENCE = 1.0


# Takes how much is done, and of how much.
Report = Callable[[float, float], None]


@contextmanager
def progress_bar(title: str) -> Iterator[Report]:
    """Yields what is to be told of the progress; draws on stderr, and nothing stays behind."""
    # Asked of the stream itself: rich takes anything for a terminal where FORCE_COLOR is set.
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    bar = _Bar(title)
    try:
        yield bar
    finally:
        bar.close()


class _Bar:
    def __init__(self, title: str) -> None:
        self._title = title
        self._begun = time.monotonic()
        self._progress: Any = None

    def __call__(self, done: float, total: float, /) -> None:
        if self._progress is None:
            if time.monotonic() - self._begun < _PATIENCE:
                return
            self._start()
        self._progress.update(self._task, completed=done, total=total)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(self._title)
        self._progress.start()

    def close(self) -> None:
        """Takes the bar off the screen."""
        if self._progress is not None:
            self._progress.stop()
