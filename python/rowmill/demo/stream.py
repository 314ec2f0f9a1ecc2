"""What a job was handed, step by step: one log a rank, and the digests of whole global steps made from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["log_path", "read_steps", "row_digests", "step_digests", "stream_digest"]


def log_path(folder: Path, rank: int) -> Path:
    """Where a rank writes its log."""
    return folder / f"stream-{rank}.jsonl"


def row_digests(ids: list[str], tokens: Any) -> list[str]:
    """One digest a row, of its id and its tokens; ``tokens`` is int64 [rows, length], in NumPy."""
    return [
        hashlib.sha256(row_id.encode() + row.tobytes()).hexdigest()[:16]
        for row_id, row in zip(ids, tokens, strict=True)
    ]


def read_steps(folder: Path, num_ranks: int) -> dict[int, list[str]]:
    """Digests of the rows of each global step that all ranks have logged, in order of position."""
    logs = [dict(_entries(log_path(folder, rank))) for rank in range(num_ranks)]
    steps = sorted(set.intersection(*(set(log) for log in logs)))
    # Rank r of R owns the positions p = r (mod R), so the ranks' rows come in turn.
    return {step: [row for rows in zip(*(log[step] for log in logs), strict=True) for row in rows] for step in steps}


def _entries(path: Path) -> Iterator[tuple[int, list[str]]]:
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        # A process that was killed may have left half a line.
        if line.endswith("\n"):
            entry = json.loads(line)
            yield entry["step"], entry["rows"]


def step_digests(steps: dict[int, list[str]]) -> dict[int, str]:
    """One digest a global step."""
    return {step: stream_digest(rows) for step, rows in steps.items()}


def stream_digest(texts: Iterable[str]) -> str:
    """One digest of many."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
