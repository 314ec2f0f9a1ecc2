"""Cases beside each other in slices of half a second: a machine whose speed changes from second to second slows all.

Whole runs one after the other (`tables.run_all`) are some ten seconds apart, in which a virtual machine may lose or win
half of its speed: ratios of 1.7 cannot be told by them.
"""

import json
import select
import statistics
import subprocess
import tempfile
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from tables import LONGEST_START, Case, NotInstalled, Options, command_of, problem_of, variables

SLICE_SECONDS = 0.5


def num_slices(options: Options) -> int:
    """As much time as whole runs would take."""
    return max(round(options.runs * options.seconds / SLICE_SECONDS), 1)


def turns_of(options: Options) -> str:
    """For the note under a table."""
    return f"{num_slices(options)} slices of {SLICE_SECONDS:g} s in turns"


def in_turns(cases: list[Case], options: Options) -> dict[str, dict[str, Any]]:
    """Each case's slices and their median; a case that fails is left out of the turns from then on."""
    with ExitStack() as stack:
        running = {case.name: stack.enter_context(Sliced(case, options)) for case in cases}
        for _ in range(num_slices(options)):
            for each in running.values():
                each.turn()
    return {name: each.result() for name, each in running.items()}


class Sliced:
    """A process of `slices.py`, which sleeps while it has no turn."""

    def __init__(self, case: Case, options: Options) -> None:
        self.problem = ""
        self.rates: list[float] = []
        self.first_s = 0.0
        self.stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process
        try:
            self.process = subprocess.Popen(
                command_of(case, "slices.py", options),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.stderr,
                text=True,
                env=variables(),
            )
        except NotInstalled as problem:
            self.problem = str(problem)

    def __enter__(self) -> Self:
        # One starts after the other: two that start at once would tell of long first items.
        self.first_s = self._answer(LONGEST_START).get("first_s", 0.0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if hasattr(self, "process"):
            self.process.kill()
            self.process.communicate()
        self.stderr.close()

    def turn(self) -> None:
        """Measures one slice."""
        if self.problem:
            return
        self.process.stdin.write(f"{SLICE_SECONDS}\n")
        self.process.stdin.flush()
        if "rate" in (answer := self._answer(LONGEST_START)):
            self.rates.append(answer["rate"])

    def result(self) -> dict[str, Any]:
        """As `tables.merged` has it, and the slices in their order."""
        if self.problem:
            return {"problem": self.problem}
        return {"rate": statistics.median(self.rates), "first_s": self.first_s, "slices": self.rates}

    def _answer(self, seconds: float) -> dict[str, Any]:
        if self.problem:
            return {}
        # A line is written whole, and is the only one.
        line = self.process.stdout.readline() if select.select([self.process.stdout], [], [], seconds)[0] else None
        if line:
            return json.loads(line)
        self.stderr.seek(0)
        self.problem = "did not finish" if line is None else problem_of(self.stderr.read(), self.process.wait())
        return {}
