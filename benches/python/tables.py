"""What a table is: cases, each run in fresh processes, and the targets that rowmill is held to."""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# Seconds in which a peer must have begun.
LONGEST_START = 600


@dataclass(frozen=True)
class Case:
    """One line of a table: what to call, on which corpus, in which environment of peers.txt."""

    name: str
    target: str
    data: str
    environment: str = "main"
    keywords: dict[str, Any] = field(default_factory=dict)
    # rowmill must be this many times as fast; None where nothing is promised.
    target_ratio: float | None = None
    # For modules that hold rowmill's cases beside its peers'.
    is_own: bool = False

    @property
    def is_ours(self) -> bool:
        return self.is_own or self.target.startswith("peers.rowmill")


@dataclass(frozen=True)
class Options:
    """How large, how long, how often."""

    scale: float = 1.0
    seconds: float = 6.0
    runs: int = 3


def interpreters() -> dict[str, dict[str, str | None]]:
    """Each environment's interpreter, and why it cannot be used where it cannot."""
    notes = Path(sys.prefix) / "peers.json"
    if notes.exists():
        return json.loads(notes.read_text(encoding="utf-8"))
    return {"main": {"python": sys.executable, "problem": None}}


class NotInstalled(Exception):
    """A peer's environment could not be made."""


def command_of(case: Case, script: str, options: Options) -> list[str]:
    """How a script of this folder measures a case, in the case's environment."""
    environment = interpreters().get(case.environment, {"python": sys.executable, "problem": None})
    if environment["problem"]:
        raise NotInstalled(f"not installed: {environment['problem'].splitlines()[-1]}")
    return [
        str(environment["python"]),
        str(HERE / script),
        case.target,
        case.data,
        str(options.scale),
        str(options.seconds),
        json.dumps(case.keywords),
    ]


def variables() -> dict[str, str]:
    """The environment variables of every measured process."""
    return {**os.environ, "TOKENIZERS_PARALLELISM": "false"}


def problem_of(stderr: str, status: int | None) -> str:
    """Why a process has failed, in a line."""
    return (stderr.strip().splitlines() or [f"exit status {status}"])[-1][:200]


def run_once(case: Case, options: Options) -> dict[str, Any]:
    """One fresh process; its last line of output is the result."""
    try:
        done = subprocess.run(
            command_of(case, "measure.py", options),
            capture_output=True,
            text=True,
            timeout=LONGEST_START + options.seconds,
            check=False,
            env=variables(),
        )
    except NotInstalled as problem:
        return {"problem": str(problem)}
    except subprocess.TimeoutExpired:
        return {"problem": "did not finish"}
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        return {"problem": problem_of(done.stderr, done.returncode)}
    return json.loads(lines[-1])


def run_all(cases: list[Case], options: Options) -> dict[str, dict[str, Any]]:
    """Each case's median over the runs; the cases take turns, so that a machine that slows down slows all."""
    results: dict[str, list[dict[str, Any]]] = {case.name: [] for case in cases}
    for turn in range(options.runs):
        for case in cases:
            # What failed once is not tried again.
            if turn == 0 or "problem" not in results[case.name][-1]:
                results[case.name].append(run_once(case, options))
    return {name: merged(each) for name, each in results.items()}


def merged(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of several runs, number by number."""
    last = results[-1]
    if "problem" in last:
        return last
    numbers = {key: value for key, value in last.items() if isinstance(value, int | float)}
    medians = {
        key: statistics.median(result[key] for result in results if isinstance(result.get(key), int | float))
        for key, value in numbers.items()
        if not isinstance(value, bool)
    }
    return {**last, **medians, "rates": [result["rate"] for result in results if "rate" in result]}
