"""Weights and curricula: what a user writes, as the steps of a schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rowmill.arguments import count

__all__ = ["Step", "Steps", "Weights", "as_steps", "by_name", "same_shares"]

Step = tuple[int, tuple[float, ...], bool]
Steps = tuple[Step, ...]
"""The first sample, a weight for each source, and whether the weights go on to the next step's in a line."""

Weights = Mapping[str, float] | Sequence[Mapping[str, Any]] | None

_KEYS = {"start", "weights", "ramp"}


def as_steps(weights: Weights, names: Sequence[str]) -> Steps:
    """The steps that ``weights`` are, with one weight for each of ``names``.

    Raises:
        ValueError: A source has no weight, a weight no source, or numbers and starts are not what they should be.
    """
    if weights is None:
        return ((0, (1.0,) * len(names), False),)
    if isinstance(weights, Mapping):
        return ((0, _numbers(weights, names), False),)
    entries = list(weights)
    if not entries:
        raise ValueError('a schedule of weights has at least one entry, {"start": 0, "weights": {...}}')
    return _curriculum(entries, names)


def _curriculum(entries: list[Mapping[str, Any]], names: Sequence[str]) -> Steps:
    for entry in entries:
        if not isinstance(entry, Mapping) or not {"start", "weights"} <= entry.keys() <= _KEYS:
            raise ValueError(
                f'an entry of a schedule of weights is {{"start": samples, "weights": {{...}}}}, with "ramp": True '
                f"where the weights before go over to it in a line; not {entry!r}"
            )
    if entries[0].get("ramp"):
        raise ValueError('the first entry of a schedule of weights has nothing to come from: leave "ramp" out')
    ramps = [bool(entry.get("ramp")) for entry in entries[1:]]
    return tuple(
        (count("start", entry["start"]), _numbers(entry["weights"], names), ramp)
        for entry, ramp in zip(entries, [*ramps, False], strict=True)
    )


def _numbers(weights: Mapping[str, float], names: Sequence[str]) -> tuple[float, ...]:
    if not isinstance(weights, Mapping):
        raise ValueError(f"weights are a dict from sources to numbers, not {weights!r}")
    for name in weights:
        if name not in names:
            raise ValueError(f"weights name {name!r}, but the sources are {', '.join(names)}")
    for name in names:
        if name not in weights:
            raise ValueError(f"source {name!r} has no weight; give it one, 0 for none")
        if not isinstance(weights[name], int | float) or not 0 <= weights[name] < math.inf:
            raise ValueError(f"the weight of source {name!r} is {weights[name]!r}, no number of 0 or more")
    if not any(weights.values()):
        raise ValueError("all weights are 0; a mix draws from at least one source")
    return tuple(float(weights[name]) for name in names)


def by_name(steps: Steps, names: Sequence[str]) -> list[tuple[int, bool, dict[str, float]]]:
    """Steps with their shares by name; without those that are 0."""
    made = []
    for start, weights, ramp in steps:
        total = sum(weights)
        shares = {name: weight / total for name, weight in zip(names, weights, strict=False) if weight}
        made.append((start, ramp, shares))
    return made


def same_shares(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two sets of shares are the same but for rounding."""
    return one.keys() == other.keys() and all(math.isclose(one[name], other[name], rel_tol=1e-12) for name in one)
