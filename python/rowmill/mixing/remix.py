"""Going on from a mix's cursor: with the same mix, or with other weights and sources from there on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rowmill.cursor import moved_source
from rowmill.exceptions import StateMismatchError
from rowmill.holes import expand
from rowmill.lanes import lane_rows
from rowmill.mixing.history import History, read_history, source_difference, weight_difference
from rowmill.mixing.packed_rows import packed_documents
from rowmill.mixing.source import Component, MixedSource
from rowmill.mixing.weights import Steps, same_shares

if TYPE_CHECKING:
    from rowmill.plan import Plan

__all__ = ["resumed"]


def resumed(plan: Plan, state: Any, *, strict: bool, allow_remix: bool) -> tuple[Plan, Any]:
    """``plan`` with the past that ``state`` tells of, and ``state`` as one of it; as they are where there is no mix.

    Raises:
        StateMismatchError: The mix is another one than the cursor's, and ``allow_remix`` does not say that it may be.
    """
    source = plan.source
    if not isinstance(source, MixedSource) or not isinstance(state, Mapping) or not state.get("mix"):
        return plan, state
    past = read_history(state["mix"])
    components, given = source.given
    if not strict or past.stopping != plan.stopping or past.unit != given.unit or _other_order(plan, state):
        # What cannot be a change of the mix is named by the check of the cursor.
        return plan.with_(source=source.with_history(components, given)), state
    _refuse_other_data(components, past, source.revisions, state)
    if _goes_on(given, past):
        made = _joined(components, past), past
    else:
        made = _remixed(plan, components, given, past, state, allow_remix)
    joined = source.with_history(*made)
    _refuse_missing(plan, joined, state)
    made_plan = plan.with_(source=joined)
    known = made_plan.identity.as_cursor()
    told = {name: known[name] for name in ("fingerprint", "num_rows", "mix", "revisions") if name in known}
    return made_plan, {**state, **told}


def _other_order(plan: Plan, state: Mapping[str, Any]) -> bool:
    order = state.get("order")
    return not isinstance(order, Mapping) or any(order.get(key) != value for key, value in plan.order.as_dict().items())


def _refuse_other_data(
    components: tuple[Component, ...], past: History, revisions: Mapping[str, str], state: Mapping[str, Any]
) -> None:
    for component in components:
        known = past.sources.get(component.name)
        if known is not None and known[0] != component.digest:
            origin = revisions.get(component.name)
            now = f" (it is read at {origin}; revision= names another commit)" if origin else ""
            if moved := moved_source({component.name: origin} if origin else {}, state.get("revisions")):
                raise StateMismatchError(
                    f"the cursor belongs to other data: {moved}; restore it by revision=, or give it a name of its own "
                    "and add it with allow_remix=True"
                )
            raise StateMismatchError(
                f"source {component.name!r} of the mix has other data, or another order, than the cursor's; restore "
                f"it{now}, or give it a name of its own and add it with allow_remix=True"
            )


def _goes_on(given: History, past: History) -> bool:
    """Whether the mix that was asked for is the cursor's, as it was changed last."""
    ours, theirs = given.last_shares, past.last_shares
    is_known = all(name in past.sources for name in given.sources)
    is_same = [step[:2] for step in ours] == [step[:2] for step in theirs] and all(
        same_shares(one, other) for (_, _, one), (_, _, other) in zip(ours, theirs, strict=True)
    )
    return is_known and is_same


def _joined(components: tuple[Component, ...], past: History) -> tuple[Component, ...]:
    """The sources of the cursor in their order, those without data included, and new ones behind them."""
    known = {component.name: component for component in components}
    joined = [
        known.get(name) or Component(name, None, digest, num_rows) for name, (digest, num_rows) in past.sources.items()
    ]
    return (*joined, *(component for component in components if component.name not in past.sources))


def _remixed(
    plan: Plan,
    components: tuple[Component, ...],
    given: History,
    past: History,
    state: Mapping[str, Any],
    allow_remix: bool,
) -> tuple[tuple[Component, ...], History]:
    if plan.mixes_tokens and allow_remix:
        raise StateMismatchError(
            'the shares of a mix with unit="tokens" are kept lane by lane, and a lane that stands in a document cannot '
            "change them there; keep the mix, or begin anew with the other weights"
        )
    if not allow_remix:
        difference = source_difference(given, past) or weight_difference(given, past)
        raise StateMismatchError(
            f"the cursor belongs to another mix: {difference}. Restore the mix it was taken from, or pass "
            "allow_remix=True to change the mix from here on"
        )
    if plan.epochs_per_pass is not None:
        raise StateMismatchError(
            "a mix whose epochs end is not changed on its way, since their end would move; use "
            'stopping="repeat" or .repeat(), with .take(steps) after .batch for an end'
        )
    joined, source = _joined(components, past), plan.source
    assert isinstance(source, MixedSource), "only mixes come here"
    names = [component.name for component in joined]
    steps: Steps = tuple(
        (start, tuple(dict(zip(given.sources, weights, strict=True)).get(name, 0.0) for name in names), ramp)
        for start, weights, ramp in given.changes[0][1]
    )
    known = tuple(component for component in joined if component.name in past.sources)
    position = _first_free(plan, source.with_history(known, past), state)
    if position < past.changes[-1][0]:
        raise StateMismatchError(
            f"the mix was changed from sample {past.changes[-1][0]} on already, and the cursor has not come so far; "
            "go on with that mix until then, or take the cursor from before the change"
        )
    sources = {component.name: (component.digest, component.num_rows) for component in joined}
    return joined, History(past.stopping, past.unit, sources, (*past.changes, (position, steps)))


def _first_free(plan: Plan, past: MixedSource, state: Mapping[str, Any]) -> int:
    """The first sample that nobody has had, nor any after it: where a change may take effect."""
    lanes, first = state.get("lanes"), plan.position_range[0]
    if lanes is None:
        if "worker" in state:
            raise StateMismatchError(
                "this is the state of one of several DataLoader workers; make one cursor of all with "
                "rowmill.merge_states, then change the mix"
            )
        return first + int(state["position"]) + len(expand(state.get("holes", ())))
    if lanes["of"] != 1:
        raise StateMismatchError(
            "this is the state of one of several ranks or workers, whose lanes stand elsewhere; make one cursor of all "
            "with rowmill.merge_states, then change the mix"
        )
    num_lanes = plan.order.num_lanes
    if plan.mixes_samples:
        # Samples come in the order of their positions, whatever lane they are of.
        return max((own - 1) * num_lanes + lane + 1 if own else 0 for lane, own in enumerate(lanes["samples"]))
    begun = _begun(plan, past, state)
    return max((lane_rows(lane, num_lanes, (first, first))[0] + own) * num_lanes for lane, own in enumerate(begun))


def _begun(plan: Plan, past: MixedSource, state: Mapping[str, Any]) -> list[int]:
    """Of each lane the elements that have been begun: what they are must not change."""
    lanes, pack = state["lanes"], plan.pipeline.pack
    emitted = lanes.get("emitted") or [0] * len(lanes["rows"])
    if pack is not None and pack.mode == "best_fit" and any(emitted):
        groups = _group_lens(plan, past, state, emitted)
        return [row + length for row, length in zip(lanes["rows"], groups, strict=True)]
    group = 1 if pack is not None else plan.pipeline.group_size
    return [row + group if some else row for row, some in zip(lanes["rows"], emitted, strict=True)]


def _group_lens(plan: Plan, past: MixedSource, state: Mapping[str, Any], emitted: Sequence[int]) -> list[int]:
    """The documents of the group that each lane stands in, 0 where it stands between groups.

    They are known by their counts, or read once more, as going on from the cursor reads them anyway.
    """
    lanes = state["lanes"]
    if plan.pipeline.packs_python_rows:
        raise StateMismatchError(
            "the cursor stands inside of groups that best fit has put together of documents that Python functions "
            'make, and where these end only reading tells; a mix before such a .pack(mode="best_fit") cannot change '
            'there. Use "concat", or keep the mix'
        )
    weights = dict(zip(past.history.sources, past.history.changes[-1][1][-1][1], strict=False))
    gone = [one.name for one in past.components if one.plan is None and weights.get(one.name)]
    if gone:
        raise StateMismatchError(
            f"source {gone[0]!r} is no more in the mix, but the cursor stands inside of groups that best fit has put "
            "together, which may hold documents of it; keep it with the weight 0 for now"
        )
    epochs = lanes.get("epochs") or [0] * len(lanes["rows"])
    inside = {
        index: (index, state["epoch"] + epoch, row, some, samples, ())
        for index, (epoch, row, some, samples) in enumerate(
            zip(epochs, lanes["rows"], emitted, lanes["samples"], strict=True)
        )
        if some
    }
    before = plan.with_(source=past)
    found = packed_documents(before, state["first_epoch"], None).group_lens(list(inside.values()))
    lens = dict(zip(inside, found, strict=True))
    return [lens.get(index, 0) for index in range(len(emitted))]


def _refuse_missing(plan: Plan, source: MixedSource, state: Mapping[str, Any]) -> None:
    """Sources without data must have nothing left to give, to any lane and in any hole."""
    gone = [at for at, component in enumerate(source.components) if component.plan is None]
    if not gone:
        return
    is_needed = _needed_by_lanes if "lanes" in state else _needed_by_positions
    needed = [at for at in gone if is_needed(plan, source, state, at)]
    if needed:
        name = source.components[needed[0]].name
        raise StateMismatchError(
            f"source {name!r} is no more in the mix, but the cursor's lanes are not all past its last sample; keep it "
            "with the weight 0 until they are"
        )


def _needed_by_positions(plan: Plan, source: MixedSource, state: Mapping[str, Any], at: int) -> bool:
    """Whether a source gives a sample to a hole, or to a position before the last change."""
    schedule, first, holes = source.schedule, plan.position_range[0], expand(state.get("holes", ()))
    begin = first + int(state["position"]) + len(holes)
    end = max(begin, source.history.changes[-1][0])
    is_hole = any(schedule.sources(first + hole, first + hole + 1)[0] == at for hole in holes)
    return is_hole or schedule.counts(end)[at] > schedule.counts(begin)[at]


def _needed_by_lanes(plan: Plan, source: MixedSource, state: Mapping[str, Any], at: int) -> bool:
    """Whether a source gives an element to a lane that has not come to the last change."""
    schedule, lanes, num_lanes = source.schedule, state["lanes"], plan.order.num_lanes
    first, last = plan.position_range[0], source.history.changes[-1][0]
    rows = lanes["samples" if plan.mixes_samples else "rows"]
    for lane, row in zip(range(lanes["index"], num_lanes, lanes["of"]), rows, strict=False):
        begin = lane_rows(lane, num_lanes, (first, first))[0] + row
        end = lane_rows(lane, num_lanes, (0, last))[1]
        before = schedule.lane_count_before(at, lane, begin)
        if begin < end and schedule.lane_count_before(at, lane, end) > before:
            return True
    return False
