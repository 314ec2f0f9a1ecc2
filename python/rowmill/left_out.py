"""Steps that are left out: what ``skip_steps`` asks for, as positions of a pass and as steps of a consumer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rowmill.arguments import count
from rowmill.exceptions import StateMismatchError, TopologyError

__all__ = ["Ranges", "after_taken", "as_ranges", "check_left_out", "from_here", "joined", "still_left_out", "taken_of"]

Ranges = tuple[tuple[int, int], ...]


def as_ranges(ranges: Iterable[Sequence[int]]) -> Ranges:
    """Steps as the caller names them, in order and joined where they meet.

    Raises:
        ValueError: Something is no pair of counts, or ends before it begins.
    """
    pairs = []
    for one in ranges:
        if not isinstance(one, list | tuple) or len(one) != 2:
            raise ValueError(f"skip_steps takes pairs (first, end), not {one!r}")
        first, end = count("first step", one[0]), count("end of steps", one[1])
        if end < first:
            raise ValueError(f"the steps from {first} to {end} end before they begin; pairs are (first, end)")
        pairs.append((first, end))
    return joined(pairs)


def joined(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """Ascending, none empty, no two that meet."""
    made: list[tuple[int, int]] = []
    for first, end in sorted(pair for pair in pairs if pair[0] < pair[1]):
        if made and first <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        else:
            made.append((first, end))
    return tuple(made)


def from_here(ranges: Ranges, position: int, top: int, step: int) -> Ranges:
    """Ranges of positions as steps counted from ``position``; what lies below ``top`` is behind."""
    ahead = ((max(first, top), end) for first, end in ranges if end > top)
    return tuple(((first - position) // step, (end - position) // step) for first, end in ahead)


def after_taken(steps: Ranges, taken: int) -> int:
    """Steps that are behind once ``taken`` have been taken, those left out before the last of them included."""
    if taken == 0:
        return 0
    last = taken - 1
    for first, end in steps:
        if first > last:
            break
        last += end - first
    return last + 1


def taken_of(steps: Ranges, number: int) -> int:
    """How many of the first ``number`` steps are taken."""
    return number - sum(max(min(end, number) - first, 0) for first, end in steps)


def still_left_out(known: Ranges, asked: Ranges, top: int) -> Ranges:
    """What a pass leaves out that goes on from ``top``: what was left out before, and what is asked for from there."""
    behind = ((first, min(end, top)) for first, end in known)
    ahead = ((max(first, top), end) for first, end in asked)
    return joined([*behind, *ahead])


def check_left_out(cursor: Mapping[str, Any], asked: Ranges, top: int, step: int) -> None:
    """Refuses a cursor that has gone past what is to be left out, or that leaves out what is asked for no more.

    Args:
        cursor: A cursor; ``left_out`` are positions counted from the beginning of its pass.
        asked: Positions that are to be left out.
        top: Everything below it has been returned or left out.
        step: Positions of a step of this job.

    Raises:
        StateMismatchError: They do not fit; the text names the steps.
        TopologyError: The steps were of another size when the cursor was taken.
    """
    known = joined((first, end) for first, end in cursor.get("left_out") or ())
    before = (cursor.get("num_shards") or 1) * (cursor.get("batch_size") or 1)
    for first, end in asked:
        if first >= top or _holds(known, (first, min(end, top))):
            continue
        raise StateMismatchError(
            f"steps {first // step} to {end // step} are to be left out, but lie behind this state, which stands at "
            f"step {top // step}: their rows have been returned. Load a state from before step {first // step}, or "
            "take them out of skip_steps"
        )
    for first, end in known:
        if end <= top or _holds(asked, (max(first, top), end)):
            continue
        steps = f"steps {first // before} to {-(-end // before)}"
        if before != step:
            raise TopologyError(
                f"the state leaves out {steps} of {before} rows (ranks x batch size); a step of this job has {step} "
                f"rows: pass skip_steps([({first / step:g}, {end / step:g})]), with sizes for which these are whole"
            )
        raise StateMismatchError(
            f"the state leaves out {steps}, which are still ahead, and this dataset does not: add .skip_steps([("
            f"{first // step}, {end // step})]), or pass strict=False to have them after all"
        )
    behind = [pair for pair in known if pair[0] < top]
    if before != step:
        for first, end in behind:
            twin = (first // before * step, end // before * step)
            if twin[0] >= top and _holds(asked, twin):
                raise TopologyError(
                    f"steps {first // before} to {end // before} were of {before} rows when this state left them out; "
                    f"a step of this job has {step} rows, and the same numbers would leave out other rows. They are "
                    f"behind: take them out of skip_steps, or name them as ({first / step:g}, {end / step:g})"
                )


def _holds(ranges: Ranges, part: tuple[int, int]) -> bool:
    return any(first <= part[0] and part[1] <= end for first, end in ranges)
