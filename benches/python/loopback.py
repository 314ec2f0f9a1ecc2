"""The tests' Hub on loopback, 20 ms away, and the real clients in processes of their own."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from hub_client import run_client
from hub_server import HubServer

LATENCY = 0.02
REPO = "bench/data"


@dataclass
class Bench:
    """A Hub with one repository, and a folder for what clients keep."""

    hub: HubServer
    folder: Path
    sha: str

    def run(self, code: str, home: str, **environment: str) -> Any:
        """Runs a client's code with a home of its own; what it stored in ``result``."""
        place = self.folder / home
        return run_client(self.hub, place, code, ROWMILL_CACHE=str(place / "rowmill"), **environment)


@contextmanager
def served(files: Mapping[str, bytes | str | Path]) -> Iterator[Bench]:
    """A Hub that has these files."""
    with tempfile.TemporaryDirectory() as folder, HubServer() as hub:
        repo = hub.create_repo(REPO, files)
        for entry in repo.commits[repo.sha].files.values():
            # Hashes are made when they are first asked for; no client shall wait for that.
            entry.describe("")
        hub.latency = LATENCY
        yield Bench(hub, Path(folder), repo.sha)
