"""take and skip: a range of rows, of positions, of samples or of batches."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Clip", "clip_range"]


@dataclass(frozen=True, slots=True)
class Clip:
    """Keeps ``[start, stop)`` of what reaches this stage; ``stop=None`` keeps the rest.

    ``shuffled`` tells whether a shuffle stood before it in the chain: rows of the shuffled order are taken
    then, rows in storage order otherwise (and a later shuffle shuffles what was taken).
    """

    start: int
    stop: int | None
    shuffled: bool

    def describe(self) -> str:
        return f"clip({self.start},{self.stop},{'order' if self.shuffled else 'storage'})"


def clip_range(outer: tuple[int, int], clip: Clip) -> tuple[int, int]:
    """``clip`` applied to the range that earlier stages left."""
    start, stop = outer
    first = min(start + clip.start, stop)
    last = stop if clip.stop is None else min(start + clip.stop, stop)
    return first, max(first, last)
