"""Mixes of packed sources: each sample is of one source, which packs its own documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rowmill import _rust
from rowmill.exceptions import SchemaMismatchError, TopologyError
from rowmill.lanes import lane_rows
from rowmill.mixing.source import MixedSource
from rowmill.token_index import find_index, how_to_build, own_lane_samples, window_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rowmill.dataset import Dataset
    from rowmill.plan import Plan

__all__ = [
    "PackedSource",
    "check_packs",
    "epoch_samples",
    "lane_samples",
    "packed_positions",
    "packed_sources",
    "required_samples",
]

# Table, order, column of ids, the id that ends a document there, the mode, the id that pads, and the counts of its
# documents' tokens.
PackedSource = tuple["_rust.Table", "_rust.Order", str, "int | None", str, int, "_rust.TokenCounts | None"]

# How far apart the epochs lie that a source has in two epochs of a mix; as in Rust's packed::sequences.
EPOCH_SHIFT = 32


def check_packs(sources: Mapping[str, Dataset]) -> None:
    """Raises SchemaMismatchError unless all sources are packed alike, or none is."""
    packs = {name: dataset._plan.pipeline.pack for name, dataset in sources.items()}
    packed = [name for name, pack in packs.items() if pack is not None]
    others = [name for name, pack in packs.items() if pack is None]
    if packed and others:
        raise SchemaMismatchError(
            f"source {packed[0]!r} is packed and source {others[0]!r} is not; give each its .tokenize and .pack, so "
            "that each sample is of one source, or none, and .pack the mix"
        )
    first, *rest = packed or [""]
    for other in rest:
        one, two = packs[first], packs[other]
        assert one is not None, "only packed sources come here"
        assert two is not None, "only packed sources come here"
        for name in ("seq_len", "names", "labels", "cu_seqlens", "flatten"):
            if getattr(one, name) != getattr(two, name):
                raise SchemaMismatchError(
                    f"source {first!r} is packed with {name}={getattr(one, name)!r} and source {other!r} with "
                    f"{getattr(two, name)!r}; samples of a mix are alike: give .pack of each the same"
                )


def packed_sources(
    plan: Plan, io: str = "auto", *, with_counts: bool = False, counts_of_all: bool = False
) -> list[PackedSource]:
    """What the engine packs: of each source its table, order, how, and where it is asked for the tokens of documents.

    ``with_counts`` are those that windows are packed by, ``counts_of_all`` those of others too, where they are there.

    Raises:
        SchemaMismatchError: Windows are packed by counts, which are wanted and not there.
    """
    source = plan.source
    if not isinstance(source, MixedSource) or source.pack is None:
        counts = window_counts(plan) if with_counts else None
        if counts is None and counts_of_all:
            counts = find_index(plan)
        return [_packed(plan, plan.table(io), plan.rust_order, counts)]
    plans = [component.plan for component in source.components]
    # One that has no data any more gives nothing; something must stand in its place.
    standing = next(own for own in plans if own is not None)
    firsts = {id(own): first for first, own in source.placed_plans}
    made = []
    for at, own in enumerate(plans):
        counts = window_counts(own) if own is not None and with_counts else None
        if own is not None and counts is not None:
            counts = _rust.TokenCounts.joined([(firsts[id(own)], counts)])
        made.append(_packed(own or standing, (own or standing).table(io), source.own_order(at), counts))
    return made


def packed_positions(plan: Plan) -> list[tuple[int, int]]:
    """The positions of each source's epochs that are read."""
    source = plan.source
    if not isinstance(source, MixedSource) or source.pack is None:
        return [plan.position_range]
    return [(0, 0) if one.plan is None else one.plan.position_range for one in source.components]


def epoch_samples(plan: Plan, epoch: int) -> int | None:
    """The samples of an epoch of a mix of packed sources that ends, over all ranks; None without token counts."""
    source = plan.source
    assert isinstance(source, MixedSource), "only mixes come here"
    lens = []
    for _, own in source.placed_plans:
        lanes = own_lane_samples(own, epoch << EPOCH_SHIFT)
        if lanes is None:
            return None
        lens.append(lanes)
    return source.schedule.end_of_lanes(lens, plan.stopping)


def required_samples(plan: Plan, first_epoch: int) -> list[int]:
    """The samples of each epoch of a pass; none of a mix without an end, or of what is no mix of packed sources.

    Raises:
        TopologyError: The documents' tokens have not been counted.
    """
    epochs = plan.epochs_per_pass
    if not plan.mixes_samples or epochs is None:
        return []
    known = [epoch_samples(plan, first_epoch + at) for at in range(epochs)]
    found = [samples for samples in known if samples is not None]
    if len(found) < len(known):
        raise TopologyError(
            f"an epoch of a mix of packed sources ends (stopping={plan.stopping!r}) where a source has no sample left, "
            "and without a count of the documents' tokens only reading tells where that is. Count them once, before "
            f'the job: {how_to_build(plan)}. Or mix without an end, with stopping="repeat" or .repeat() (and '
            ".batch(...).take(steps) for one)"
        )
    return found


def lane_samples(plan: Plan, first_epoch: int) -> list[int] | None:
    """The samples that each lane gives in a pass of a mix of packed sources that ends; None without token counts."""
    num_lanes, epochs = plan.order.num_lanes, plan.epochs_per_pass
    assert epochs is not None, "an endless pass is not asked for its end"
    totals = [0] * num_lanes
    for at in range(epochs):
        samples = epoch_samples(plan, first_epoch + at)
        if samples is None:
            return None
        for lane in range(num_lanes):
            totals[lane] += lane_rows(lane, num_lanes, (0, samples))[1]
    return totals


def _packed(plan: Plan, table: _rust.Table, order: _rust.Order, counts: _rust.TokenCounts | None) -> PackedSource:
    pack, tokenize = plan.pipeline.pack, plan.pipeline.tokenize or plan.pipeline.stored_by
    assert pack is not None, "only packed pipelines come here"
    pad_id = pack.pad_id(None if tokenize is None else tokenize.eos)
    return table, order, pack.column, pack.eos, pack.mode, pad_id, counts
