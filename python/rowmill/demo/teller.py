"""How the demo speaks: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Teller"]

_LINES_A_PHASE = 8

Told = Callable[[int, float], None]


class Teller:
    """Says what happens; says nothing when it is made quiet."""

    def __init__(self, console: Console | None = None, *, is_quiet: bool = False) -> None:
        self._console = console or Console(quiet=is_quiet, soft_wrap=True, highlight=False)

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text)

    @contextmanager
    def phase(self, name: str, num_steps: int) -> Iterator[Told]:
        """A part of the training; what it yields is told the number of each step and its loss."""
        if not self._console.is_terminal:
            self.say(name)
            yield self._lines(num_steps)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(name, total=num_steps, loss="-")
            yield lambda step, loss: progress.update(task, completed=step + 1, loss=f"{loss:.3f}")

    def _lines(self, num_steps: int) -> Told:
        every = max(num_steps // _LINES_A_PHASE, 1)

        def tell(step: int, loss: float) -> None:
            if (step + 1) % every == 0:
                self.say(f"  step {step + 1:4} of {num_steps}: loss {loss:.3f}")

        return tell
