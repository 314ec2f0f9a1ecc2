"""What a cursor says of a mix: its sources, its weights, and when these were changed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rowmill.exceptions import StateMismatchError
from rowmill.mixing.weights import Steps, by_name, same_shares

__all__ = [
    "MIX_VERSION",
    "STOPPING",
    "UNITS",
    "History",
    "mix_difference",
    "read_history",
    "source_difference",
    "weight_difference",
]

# Of what decides which source gives which sample; as in Rust's mix.
MIX_VERSION = 1

STOPPING = ("first_exhausted", "all_exhausted", "repeat")
UNITS = ("samples", "tokens")

_DIGEST = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class History:
    """A mix, as far as a cursor knows it.

    Attributes:
        stopping: When it ends.
        sources: By name the digest of a source's data and order, and its rows; in the order of the schedule.
        changes: From which sample on which steps count, the first from 0 on.
    """

    stopping: str
    unit: str
    sources: dict[str, tuple[str, int]]
    changes: tuple[tuple[int, Steps], ...]

    def as_cursor(self) -> dict[str, Any]:
        """As it stands in a cursor."""
        return {
            "version": MIX_VERSION,
            "stopping": self.stopping,
            "unit": self.unit,
            "sources": {name: list(source) for name, source in self.sources.items()},
            "history": [
                [position, [[start, ramp, list(weights)] for start, weights, ramp in steps]]
                for position, steps in self.changes
            ],
        }

    @property
    def last_shares(self) -> list[tuple[int, bool, dict[str, float]]]:
        """The steps of the last change, by name."""
        return by_name(self.changes[-1][1], list(self.sources))


def read_history(part: Any) -> History:
    """The history in a cursor's ``mix``.

    Raises:
        StateMismatchError: It is none, or another version's.
    """
    if isinstance(part, Mapping) and part.get("version") != MIX_VERSION:
        raise StateMismatchError(
            f"the cursor's mix has version {part.get('version')!r}, this rowmill makes {MIX_VERSION}; use the rowmill "
            "that took it"
        )
    try:
        sources = {str(name): (digest, rows) for name, (digest, rows) in part["sources"].items()}
        changes = tuple(
            (position, tuple((start, tuple(map(float, weights)), ramp) for start, ramp, weights in steps))
            for position, steps in part["history"]
        )
        history = History(str(part["stopping"]), str(part["unit"]), sources, changes)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise _damaged() from None
    if not _is_sound(history):
        raise _damaged()
    return history


def _is_sound(history: History) -> bool:
    sources = all(
        isinstance(digest, str) and _DIGEST.fullmatch(digest) and _is_count(rows)
        for digest, rows in history.sources.values()
    )
    steps = all(
        _is_count(start)
        and isinstance(ramp, bool)
        and 0 < len(weights) <= len(history.sources)
        and _are_shares(weights)
        for _, steps in history.changes
        for start, weights, ramp in steps
    )
    positions = [position for position, _ in history.changes]
    return (
        history.stopping in STOPPING
        and history.unit in UNITS
        and sources
        and steps
        and all(steps and not steps[-1][2] for _, steps in history.changes)
        and positions[:1] == [0]
        and all(map(_is_count, positions))
        and positions == sorted(positions)
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _are_shares(weights: tuple[float, ...]) -> bool:
    return all(0 <= weight < math.inf for weight in weights) and any(weights)


def _damaged() -> StateMismatchError:
    return StateMismatchError("the cursor's mix is not what a mix's cursor holds; it is damaged")


def mix_difference(ours: Mapping[str, Any] | None, theirs: Any) -> str | None:
    """Names the first thing in which two cursors' mixes differ; None where they do not."""
    if ours == theirs:
        return None
    if ours is None:
        return "the dataset is no mix, the cursor's is one"
    if theirs is None:
        return "the dataset is a mix, the cursor's is none"
    one, other = read_history(ours), read_history(theirs)
    if one.stopping != other.stopping:
        return f"the mix's stopping is {one.stopping!r}, the cursor's {other.stopping!r}"
    if one.unit != other.unit:
        return f"the mix's unit is {one.unit!r}, the cursor's {other.unit!r}"
    return (
        source_difference(one, other)
        or weight_difference(one, other)
        or (
            "the mix was changed at another sample; load the cursor into the dataset, with ds.load_state_dict(cursor), "
            "which takes its history over"
        )
    )


def source_difference(one: History, other: History) -> str | None:
    """Names a source that only one of two mixes has, or that is another one."""
    for name, (digest, _) in one.sources.items():
        if name not in other.sources:
            return f"the mix has a source {name!r}, the cursor's has none of that name"
        if digest != other.sources[name][0]:
            return f"source {name!r} has other data, or another order, than the cursor's"
    gone = [name for name in other.sources if name not in one.sources]
    return f"the mix has no source {gone[0]!r}, which the cursor's has" if gone else None


def weight_difference(one: History, other: History) -> str | None:
    """Names a source whose weight is another one."""
    ours, theirs = one.last_shares, other.last_shares
    if [step[:2] for step in ours] != [step[:2] for step in theirs]:
        return "the mix has another schedule of weights than the cursor's"
    for (_, _, our_shares), (_, _, their_shares) in zip(ours, theirs, strict=True):
        if not same_shares(our_shares, their_shares):
            names = [*our_shares, *their_shares]
            name = next((name for name in names if our_shares.get(name) != their_shares.get(name)), names[0])
            one_share, other_share = our_shares.get(name, 0), their_shares.get(name, 0)
            return f"source {name!r} has the share {one_share:.6g}, the cursor's {other_share:.6g}"
    return None
