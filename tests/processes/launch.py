"""Starts Python processes that see what this one sees."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

GENEROUS = 120  # seconds; only a hang takes them


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry), "OMP_NUM_THREADS": "1"}


def start(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **options,
    )


def finish(process: subprocess.Popen[str], timeout: float = GENEROUS) -> str:
    try:
        output, errors = process.communicate(timeout=timeout)
    finally:
        process.kill()
    assert process.returncode == 0, (output[-1000:], errors[-3000:])
    return output
