"""Options that several commands share: those of an order."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["Lanes", "Mode", "OneMode", "Seed"]


class Mode(StrEnum):
    """Names of the shuffle modes."""

    window = "window"
    shard = "shard"
    row = "row"
    none = "none"


Seed = Annotated[int, typer.Option(help="Keys every permutation.")]
OneMode = Annotated[Mode, typer.Option(help="How rows are shuffled; none is storage order.")]
Lanes = Annotated[int | None, typer.Option(min=1, help="Lanes of the order.", show_default="64, or 1 with --mode none")]
