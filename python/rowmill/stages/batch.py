"""batch: how many rows a step of this rank has, and what becomes of the last ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rowmill.arguments import positive
from rowmill.exceptions import SchemaMismatchError

__all__ = ["Batch", "Remainder", "group_steps"]

Remainder = Literal["drop", "pad", "keep"]

# Steps whose padding is small already: with 16 batches of 8 rows the padding of normal lengths falls below a tenth.
GROUP_STEPS = 16


@dataclass(frozen=True, slots=True)
class Batch:
    """``batch_size`` rows of each rank a step.

    ``fill_null`` stands for nulls in numeric columns: one number for all, or one by column name. ``group_steps`` is
    how many steps have their rows grouped by the length of ``length_column``.
    """

    batch_size: int
    remainder: Remainder | None = None
    fill_null: Any = None
    group_steps: int | None = None
    length_column: str = "input_ids"

    def describe(self) -> str:
        """What of it decides which rows come when; nothing where rows are not grouped."""
        return f"length_groups({self.group_steps},{self.length_column})" if self.group_steps else ""


def group_steps(asked: int | bool | None, on_error: str) -> int | None:
    """How many steps of rows are grouped by length: as asked, 16 for True, none otherwise.

    Raises:
        SchemaMismatchError: Damaged rows are left out: lengths of what cannot be read are not known.
    """
    if asked is None or asked is False:
        return None
    if on_error == "skip":
        raise SchemaMismatchError('group_by_length needs every row\'s length, which on_error="skip" leaves open')
    return GROUP_STEPS if asked is True else positive("group_by_length", asked, GROUP_STEPS)
