"""What each source of a mix has given, out of a cursor alone: exact, without a look at the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rowmill.holes import expand
from rowmill.lanes import lane_rows
from rowmill.mixing.sequences import required_samples
from rowmill.mixing.source import MixedSource
from rowmill.source_places import sources_of

if TYPE_CHECKING:
    from rowmill.plan import Plan

__all__ = ["mix_stats", "mixed_sources"]


def mix_stats(plan: Plan, cursor: Mapping[str, Any]) -> dict[str, dict[str, float]] | None:
    """By source: ``rows`` given since the mix began, and ``epochs``, how often that is the whole source.

    Of packed sources it is ``samples``; of a mix by tokens also ``tokens``. Of a pipeline that keeps its place by
    lanes, those of this consumer's lanes that are wholly handed out.
    """
    source = plan.source
    if not isinstance(source, MixedSource) or "worker" in cursor:
        return None
    names = [component.name for component in source.components]
    if source.pack is not None:
        return {name: {"samples": given} for name, given in zip(names, _of_samples(plan, source, cursor), strict=True)}
    tokens: list[int] | None = None
    if source.unit == "tokens":
        counts, tokens = _of_sources(source, cursor)
    elif "lanes" in cursor:
        counts = _of_lanes(plan, source, cursor)
    else:
        counts = _of_positions(plan, source, cursor)
    made: dict[str, dict[str, float]] = {}
    for component, given in zip(source.components, counts, strict=True):
        held = component.num_rows if component.plan is None else _rows_an_epoch(component.plan)
        made[component.name] = {"rows": given, "epochs": given / max(held, 1)}
    for name, given in zip(names, tokens or (), strict=False):
        made[name]["tokens"] = given
    return made


def mixed_sources(plan: Plan) -> dict[str, dict[str, Any]] | None:
    """By source what is known of it, and its share of the mix; None where nothing is mixed."""
    source = plan.source
    if not isinstance(source, MixedSource):
        return None
    _, _, shares = source.history.last_shares[0]
    return {
        component.name: {
            "share": round(shares.get(component.name, 0.0), 12),
            "num_rows": component.num_rows,
            "fingerprint": None if component.plan is None else component.plan.source.fingerprint,
            "order": None if component.plan is None else component.plan.order.as_dict(),
        }
        for component in source.components
    }


def _rows_an_epoch(plan: Plan) -> int:
    start, stop = plan.position_range
    return stop - start


def _of_positions(plan: Plan, source: MixedSource, cursor: Mapping[str, Any]) -> list[int]:
    schedule, total = source.schedule, plan.rust_order.num_positions
    (first, stop), holes = plan.position_range, expand(cursor.get("holes", ()))
    epoch = 0 if total is None else cursor["epoch"]
    before, whole = schedule.counts(first), schedule.counts(stop if epoch else first)
    counts = schedule.counts(first + cursor["position"] + len(holes))
    for hole in holes:
        counts[schedule.sources(first + hole, first + hole + 1)[0]] -= 1
    return [count - left + epoch * (each - left) for count, left, each in zip(counts, before, whole, strict=True)]


def _of_lanes(plan: Plan, source: MixedSource, cursor: Mapping[str, Any]) -> list[int]:
    schedule, lanes, num_lanes = source.schedule, cursor["lanes"], plan.order.num_lanes
    total, positions = plan.rust_order.num_positions, plan.position_range
    epochs = lanes.get("epochs") or [0] * len(lanes["rows"])
    counts = [0] * schedule.num_sources
    for at, (row, ahead) in enumerate(zip(lanes["rows"], epochs, strict=True)):
        lane = lanes["index"] + at * lanes["of"]
        epoch = 0 if total is None else cursor["epoch"] + ahead
        first, stop = lane_rows(lane, num_lanes, positions)
        for index in range(len(counts)):
            before, now, whole = (
                schedule.lane_count_before(index, lane, element)
                for element in (first, first + row, stop if epoch else first)
            )
            counts[index] += now - before + epoch * (whole - before)
    return counts


def _of_samples(plan: Plan, source: MixedSource, cursor: Mapping[str, Any]) -> list[int]:
    """Samples of packed sources: the lanes say how many they gave, and the schedule of which source each was."""
    lanes, num_lanes, schedule = cursor["lanes"], plan.order.num_lanes, source.schedule
    whole = required_samples(plan, cursor["first_epoch"])
    counts = [0] * schedule.num_sources
    for at, element in enumerate(lanes["samples"]):
        lane = lanes["index"] + at * lanes["of"]
        for length in [lane_rows(lane, num_lanes, (0, samples))[1] for samples in whole] or [element]:
            given = min(element, length)
            element -= given
            for index in range(len(counts)):
                counts[index] += schedule.lane_count_before(index, lane, given)
    return counts


def _of_sources(source: MixedSource, cursor: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Documents and tokens of each source of a mix by tokens."""
    rows, tokens = [0] * len(source.components), [0] * len(source.components)
    for lane in sources_of(cursor["lanes"]):
        for at, (row, taken) in enumerate(lane):
            rows[at] += row
            tokens[at] += taken
    return rows, tokens
