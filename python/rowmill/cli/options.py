"""Options that several commands share: those of an order, and columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["Columns", "Lanes", "Mode", "OneMode", "Seed", "as_columns"]


class Mode(StrEnum):
    """Names of the shuffle modes."""

    window = "window"
    shard = "shard"
    row = "row"
    none = "none"


Seed = Annotated[int, typer.Option(help="Keys every permutation.")]
OneMode = Annotated[Mode, typer.Option(help="How rows are shuffled; none is storage order.")]
Lanes = Annotated[int | None, typer.Option(min=1, help="Lanes of the order.", show_default="64, or 1 with --mode none")]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns", "--column", "-c", help="Only these, with commas between; may be given again.", show_default=False
    ),
]


def as_columns(given: Iterable[str] | None, known: Sequence[str]) -> list[str] | None:
    """The columns that were asked for, None for all; a name that has a comma in it is one column.

    Raises:
        ValueError: A column is not there, or named twice.
    """
    names = [name for part in given or () for name in ([part] if part in known else part.split(","))]
    for name in names:
        if name not in known:
            raise ValueError(f"-c: there is no column {name!r}; the columns are {', '.join(known)}")
        if names.count(name) > 1:
            raise ValueError(f"-c: column {name!r} is named twice")
    return names or None
