"""What a job was handed, step by step: one log a rank, and the digests of whole global steps made from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["log_path", "read_receipts", "read_steps", "sample_digests", "step_digests", "stream_digest"]


def log_path(folder: Path, rank: int) -> Path:
    """Where a rank writes its log."""
    return folder / f"stream-{rank}.jsonl"


def sample_digests(batch: dict[str, Any]) -> list[str]:
    """One digest a sample, of its tokens, its labels and its documents; the batch's columns are NumPy's."""
    columns = [batch[name] for name in ("input_ids", "labels", "document_ids")]
    samples = zip(*columns, strict=True)
    return [hashlib.sha256(b"".join(part.tobytes() for part in sample)).hexdigest()[:16] for sample in samples]


def read_receipts(folder: Path, num_ranks: int) -> list[dict[str, Any]]:
    """What each rank of a job that came to its end says to have delivered."""
    entries = (entry for rank in range(num_ranks) for entry in _entries(log_path(folder, rank)))
    return [entry["receipt"] for entry in entries if "receipt" in entry]


def read_steps(folder: Path, num_ranks: int) -> dict[int, list[str]]:
    """Digests of the samples of each global step that all ranks have logged, in order."""
    logs = [_samples(log_path(folder, rank)) for rank in range(num_ranks)]
    steps = sorted(set.intersection(*(set(log) for log in logs)))
    # Rank r of R owns the samples k = r (mod R), so the ranks' come in turn.
    return {step: [one for turn in zip(*(log[step] for log in logs), strict=True) for one in turn] for step in steps}


def _samples(path: Path) -> dict[int, list[str]]:
    return {entry["step"]: entry["samples"] for entry in _entries(path) if "step" in entry}


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        # A process that was killed may have left half a line.
        if line.endswith("\n"):
            yield json.loads(line)


def step_digests(steps: dict[int, list[str]]) -> dict[int, str]:
    """One digest a global step."""
    return {step: stream_digest(samples) for step, samples in steps.items()}


def stream_digest(texts: Iterable[str]) -> str:
    """One digest of many."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
