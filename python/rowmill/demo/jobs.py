"""Training jobs of real processes: started, followed, killed, and never left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rowmill.demo.train import Settings
from rowmill.exceptions import RowmillError

__all__ = ["run_job"]

Follow = Callable[[dict[str, Any]], None]


def run_job(settings: Settings, follow: Follow, *, kill_at: int | None = None) -> None:
    """Runs all ranks of a job; ``follow`` is told of each step of rank 0.

    Args:
        settings: Of rank 0; the others differ in their rank only.
        follow: Takes a dict with the step and its loss.
        kill_at: The step after which the job is killed with SIGKILL; None lets it end.

    Raises:
        RowmillError: A rank failed; the text has the last of what it wrote to stderr.
    """
    Path(settings.folder).mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        ranks = [stack.enter_context(_Rank(replace(settings, rank=rank))) for rank in range(settings.num_ranks)]
        for entry in ranks[0].entries():
            follow(entry)
            if entry["step"] == kill_at:
                for rank in ranks:
                    rank.kill()
                return
        failures = [text for rank in ranks if (text := rank.finish())]
        if failures:
            raise RowmillError(f"the demo's job failed: {'; '.join(failures)}")


class _Rank:
    """One process of a job."""

    def __init__(self, settings: Settings) -> None:
        self._index = settings.rank
        self._errors = Path(settings.folder, f"stderr-{settings.rank}.txt")
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rowmill.demo.train", settings.as_json()],
                stdout=subprocess.PIPE if settings.rank == 0 else subprocess.DEVNULL,
                stderr=errors,
                env=_environment(settings.num_ranks),
                text=True,
            )

    def entries(self) -> Iterator[dict[str, Any]]:
        """What rank 0 says of each step."""
        for line in self._process.stdout or ():
            # Some versions of gloo greet on stdout.
            if line.startswith("{"):
                yield json.loads(line)

    def kill(self) -> None:
        """Ends the process by SIGKILL (TerminateProcess on Windows): it gets no chance to tidy up."""
        self._process.kill()
        self._process.wait()

    def finish(self) -> str | None:
        """Waits for the end; what went wrong, if anything did."""
        status = self._process.wait()
        if status == 0:
            return None
        words = self._errors.read_text(errors="replace").strip().splitlines()
        return f"rank {self._index} ended with status {status} ({words[-1] if words else 'it wrote no word'})"

    def __enter__(self) -> _Rank:
        return self

    def __exit__(self, *reason: object) -> None:
        with suppress(OSError):
            self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _environment(num_ranks: int) -> dict[str, str]:
    """The environment without another job's ranks."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    made = {name: value for name, value in os.environ.items() if name not in names}
    if num_ranks > 1 and sys.platform in ("linux", "darwin"):
        # All ranks are on this machine, whose own name may not resolve.
        made.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    # The child imports the rowmill that its parent is.
    made["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [made.get("PYTHONPATH")])])
    return made
