"""batch: how many rows a step of this rank has, and what becomes of the last ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Batch", "Remainder"]

Remainder = Literal["drop", "pad", "keep"]


@dataclass(frozen=True, slots=True)
class Batch:
    """``batch_size`` rows of each rank a step.

    ``fill_null`` stands for nulls in numeric columns: one number for all, or one by column name.
    """

    batch_size: int
    remainder: Remainder | None = None
    fill_null: Any = None
