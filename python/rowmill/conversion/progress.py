"""A bar on the terminal for what takes over a second; silence everywhere else."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

__all__ = ["Bar"]

_PATIENCE_S = 1.0


class Bar:
    """Counts towards ``total``; appears after a second, and only where stderr is a terminal."""

    def __init__(self, title: str, total: int, *, is_bytes: bool = False) -> None:
        self._is_bytes = is_bytes
        self.title, self.total, self.done = title, max(total, 1), 0
        self._counts: dict[str, int] = {}
        self._begun = time.monotonic()
        self._is_wanted = sys.stderr.isatty()
        self._shown: Any = None
        self._task: Any = None
        self._lock = threading.Lock()

    def add(self, count: int, **counts: int) -> None:
        """So much more is done; from any thread. ``counts`` of other things are shown as speeds."""
        with self._lock:
            self.done += count
            for name, number in counts.items():
                self._counts[name] = self._counts.get(name, 0) + number
            if self._shown is None and self._is_wanted and time.monotonic() - self._begun > _PATIENCE_S:
                self._show()
            if self._shown is not None:
                # A second pass begins at the beginning again.
                again = self.done > self.total
                done = self.done % self.total if again else self.done
                self._shown.update(self._task, completed=done, speeds=self.speeds())

    def speeds(self) -> str:
        """How much of what was counted a second, such as "5,200 rows/s, 61,000,000 tokens/s"."""
        seconds = max(time.monotonic() - self._begun, 1e-9)
        return ", ".join(f"{number / seconds:,.0f} {name}/s" for name, number in self._counts.items())

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress, TextColumn

        of_bytes = (DownloadColumn(),) if self._is_bytes else ()
        columns = (*Progress.get_default_columns(), *of_bytes, TextColumn("{task.fields[speeds]}"))
        self._shown = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._shown.add_task(self.title, total=self.total, speeds="")
        self._shown.start()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._shown.stop()
