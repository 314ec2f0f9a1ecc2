"""A script over many damaged files, in a process of its own: how it ended, and what it took."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

# Of the script itself: the most memory it ever had.
PEAK_BYTES = """
def peak_bytes():
    # What getrusage tells of a new process begins at its parent's peak.
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
"""


@dataclass
class Mutants:
    """What the script told: how often each outcome was, its peak of memory, and all of its lines."""

    outcomes: dict[str, int]
    peak: int
    lines: list[str]


def run_mutants(script: str, *arguments: object, timeout: float) -> Mutants:
    """Runs a script that prints "seed ..." for what must not be, and ends in a line of outcomes and one of its peak."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert not [line for line in lines if line.startswith("seed")], done.stdout[:3000]
    outcomes = eval(lines[-2].removeprefix("outcomes "))
    return Mutants(outcomes, int(lines[-1].removeprefix("peak ")), lines)
