"""What processes of this machine share instead of asking again: small JSON files, each behind a lock.

A revision is asked for once a job: its ranks, and processes that waited while one asked, take that answer, so that all
of them read the same commit and the number of requests does not grow with theirs.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.hub.listing import write_whole

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["job_name", "lock_of", "read_record", "record_path", "share_answer"]

# Of a job that is started again under the same name: a requeued one goes on with the commit that it began with.
_MOST_SECONDS = 7 * 24 * 3600


def record_path(folder: Path, *parts: Any) -> Path:
    """Where the answer to a question is kept."""
    digest = hashlib.blake2b(json.dumps(parts, default=str).encode(), digest_size=16)
    return folder / f"{digest.hexdigest()}.json"


def lock_of(folder: Path, *parts: Any) -> BaseFileLock:
    """The lock of what ``parts`` name, among those in a folder: the system's, which dies with its holder."""
    from filelock import FileLock

    path = record_path(folder, *parts).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def read_record(path: Path) -> dict[str, Any] | None:
    """A record; None where there is none, or a damaged one."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def share_answer(path: Path, ask: Callable[[], str]) -> str:
    """What ``ask`` answers, asked by one process for all that wait for it, or once for all ranks of a job."""
    from filelock import FileLock

    begun, job = time.time(), job_name()
    if (kept := _fitting(path, job, None)) is not None:
        return kept
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The system's lock, which dies with its holder.
        lock = FileLock(f"{path}.lock")
        lock.acquire()
    except OSError:
        # A cache that cannot be written shares nothing.
        return ask()
    try:
        if (kept := _fitting(path, job, begun)) is not None:
            return kept
        asked = time.time()
        answer = ask()
        write_whole(path, {"answer": answer, "asked": asked, "job": job})
        return answer
    finally:
        lock.release()


def _fitting(path: Path, job: str | None, begun: float | None) -> str | None:
    record = read_record(path)
    if record is None or not isinstance(record.get("answer"), str) or not isinstance(record.get("asked"), float):
        return None
    is_of_job = job is not None and record.get("job") == job and record["asked"] > time.time() - _MOST_SECONDS
    # Asked after this process wanted to know: as fresh as an answer of its own.
    is_fresh = begun is not None and begun <= record["asked"] <= time.time()
    return str(record["answer"]) if is_of_job or is_fresh else None


def job_name() -> str | None:
    """What the ranks of one job on one machine have in common, and no other job; None for a process alone."""
    environment = os.environ
    if "SLURM_JOB_ID" in environment and "SLURM_STEP_ID" in environment:
        return f"slurm {environment['SLURM_JOB_ID']}.{environment['SLURM_STEP_ID']}"
    try:
        num_ranks = int(environment.get("WORLD_SIZE", "1"))
    except ValueError:
        return None
    if num_ranks < 2:
        return None
    named = [environment.get(name, "") for name in ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT")]
    return f"ranks {' '.join(named)} of {os.getppid()} begun {_begin_of(os.getppid())}"


def _begin_of(process: int) -> str:
    """When a process began, in the system's own clock, so that a number that is used again is another."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError, ValueError):
        return ""
