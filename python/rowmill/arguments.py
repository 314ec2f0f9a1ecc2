"""What a caller hands over, checked before anything is done with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rowmill.exceptions import OutOfRangeError, SchemaMismatchError

__all__ = ["as_seed", "check_callable", "check_remainder", "check_row_ids", "count", "positive"]

# Beyond any count of rows, and what 64 bits hold with room for arithmetic.
LARGEST = 1 << 60
REMAINDERS = ("drop", "pad", "keep")


def as_seed(seed: int | None) -> int:
    """The lowest 64 bits of any integer; None is 0."""
    seed = 0 if seed is None else seed
    if type(seed) is not int and not hasattr(seed, "__index__"):
        raise ValueError(f"seed must be an integer, not {seed!r}")
    # Any integer is a seed; the keys are 64 bits wide.
    return int(seed) % (1 << 64)


def check_callable(name: str, function: Any) -> None:
    """A typed error for what is no function."""
    if not callable(function):
        raise SchemaMismatchError(f".{name} takes a function, not {type(function).__name__}")


def positive(name: str, value: int | None, default: int) -> int:
    """A count of at least one; ``default`` for None."""
    value = default if value is None else value
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 < value < LARGEST:
        raise ValueError(f"{name} must be a positive integer, not {value!r}")
    return int(value)


def count(name: str, value: int) -> int:
    """A count of zero or more."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value < LARGEST:
        raise ValueError(f"{name} must be an integer of 0 or more, not {value!r}")
    return int(value)


def check_remainder(remainder: str | None) -> Any:
    """One of the three words, or None."""
    if remainder is not None and remainder not in REMAINDERS:
        raise ValueError(f"remainder must be one of {', '.join(REMAINDERS)}, not {remainder!r}")
    return remainder


def check_row_ids(row_ids: Iterable[int], num_rows: int) -> list[int]:
    """Row ids of a dataset with so many rows."""
    checked = [row_id if type(row_id) is int else count("row id", row_id) for row_id in row_ids]
    for row_id in checked:
        if not 0 <= row_id < num_rows:
            known = f"has rows 0 to {num_rows - 1}" if num_rows else "has no row"
            raise OutOfRangeError(f"row id {row_id} is out of range; the dataset {known}")
    return checked
