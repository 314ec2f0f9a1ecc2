"""Where the sources of each lane of a mix stand, as cursors hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rowmill.cursor import SOURCE_LISTS

__all__ = ["flat_sources", "sources_of"]


def flat_sources(lanes: Sequence[Sequence[tuple[int, int]]]) -> dict[str, list[int]]:
    """Where the sources of each lane stand, as it is in a cursor: one list of rows and one of what was taken."""
    width = max(map(len, lanes))
    filled = [[*sources, *[(0, 0)] * (width - len(sources))] for sources in lanes]
    return {name: [source[at] for sources in filled for source in sources] for at, name in enumerate(SOURCE_LISTS)}


def sources_of(lanes: Mapping[str, Any]) -> list[list[tuple[int, int]]]:
    """Where the sources of each lane stand, by a cursor's lanes."""
    rows, taken = (lanes.get(name) or [] for name in SOURCE_LISTS)
    width, pairs = len(rows) // max(len(lanes["rows"]), 1), list(zip(rows, taken, strict=True))
    return [pairs[at * width : (at + 1) * width] for at in range(len(lanes["rows"]))]
