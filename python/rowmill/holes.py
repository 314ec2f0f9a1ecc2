"""Positions that were passed over: workers stop at different places, and what lies between is a hole.

A run is ``[first, length, stride, count]``: the k-th piece covers ``first + k * stride`` and the ``length - 1``
positions after it. A cursor with position D and H holes says: of all positions below D + H, exactly the holes
have not been delivered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rowmill.exceptions import StateMismatchError

__all__ = ["Runs", "compress", "drop_first", "expand"]

Runs = tuple[tuple[int, int, int, int], ...]

# Far above what workers of one job can be apart; a cursor that claims more is damaged.
_MAX_HOLES = 1 << 20


def expand(runs: Sequence[Sequence[int]]) -> list[int]:
    """The positions of ``runs`` in ascending order.

    Raises:
        StateMismatchError: The runs are malformed, overlap, or claim an absurd number of positions.
    """
    try:
        checked = [(first, length, stride, count) for first, length, stride, count in runs]
    except (TypeError, ValueError):
        raise StateMismatchError(f"the cursor's holes {runs!r} are no list of [first, length, stride, count]") from None
    if any(not all(isinstance(number, int) for number in run) or min(run) < 0 for run in checked):
        raise StateMismatchError("the cursor's holes hold something that is no position")
    if sum(max(length, 1) * count for _, length, _, count in checked) > _MAX_HOLES:
        raise StateMismatchError(f"the cursor claims more than {_MAX_HOLES} holes; it is damaged")
    positions = sorted(
        first + piece * stride + offset
        for first, length, stride, count in checked
        for piece in range(count)
        for offset in range(length)
    )
    if len(set(positions)) != len(positions):
        raise StateMismatchError("the cursor's holes overlap; it is damaged")
    return positions


def compress(positions: Iterable[int]) -> Runs:
    """The fewest runs that a greedy pass over ascending ``positions`` finds."""
    runs: list[list[int]] = []
    for first, length in _pieces(positions):
        if runs and runs[-1][1] == length:
            last_first, _, stride, count = runs[-1]
            step = first - (last_first + (count - 1) * stride)
            if count == 1 or step == stride:
                runs[-1][2:] = [step, count + 1]
                continue
        runs.append([first, length, length, 1])
    return tuple((first, length, stride, count) for first, length, stride, count in runs)


def drop_first(runs: Runs, number: int) -> Runs:
    """``runs`` without their first ``number`` positions: those have been delivered since."""
    return compress(expand(runs)[number:]) if number and runs else runs


def _pieces(positions: Iterable[int]) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    for position in positions:
        if pieces and sum(pieces[-1]) == position:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + 1)
        else:
            pieces.append((position, 1))
    return pieces
