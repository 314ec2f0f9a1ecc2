"""How many steps a pass over lanes has, where all ranks must take the same number of them.

Ranks whose lanes hold more would wait for the others in a collective for ever: what each lane gives is known
before the first step, or there is no first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rowmill import _rust
from rowmill.cursor import Cursor
from rowmill.exceptions import StateMismatchError, TopologyError
from rowmill.lane_places import Beginning, Deal
from rowmill.lanes import check_lanes, lane_rows
from rowmill.left_out import taken_of
from rowmill.mixing.sequences import lane_samples as mixed_lane_samples
from rowmill.placement import Placement
from rowmill.plan import Plan
from rowmill.token_index import how_to_build, lane_samples, why_uncountable

__all__ = [
    "DEAL_VERSION",
    "Agreed",
    "PlainDeal",
    "clipped",
    "deals",
    "lane_totals",
    "packed_steps",
    "packed_total",
    "samples_left",
    "steps_of",
]

# More samples than any lane gives.
_FAR = 1 << 62

# Ranks, this one, each lane's first sample and the one after its last, and the samples of all that were taken.
PlainDeal = tuple[int, int, list[tuple[int, int]], int]

# How ranks deal samples once lanes have ended; stands in their cursors.
DEAL_VERSION = 1


@dataclass(frozen=True)
class Agreed:
    """What all ranks know before the first step.

    Attributes:
        steps: Steps of this consumer in the whole pass, those done included; None where ranks need not agree.
        deal: How the samples of all lanes are dealt; None where each rank goes on with its own lanes to their end.
    """

    steps: int | None = None
    deal: PlainDeal | None = None


def clipped(plan: Plan, lane: int, total: int) -> tuple[int, int]:
    """The range of a lane's ``total`` samples that .skip and .take leave."""
    start, stop = plan.pipeline.samples
    first, last = lane_rows(lane, plan.order.num_lanes, (start, start if stop is None else stop))
    return first, total if stop is None else min(last, total)


def samples_left(
    plan: Plan, deal: Deal, cursor: Cursor | None, ranges: Sequence[tuple[int, int]], steps_done: int
) -> list[int]:
    """Samples left for this consumer's like on each rank; ``ranges`` are those of each lane's samples."""
    num_lanes = plan.order.num_lanes
    groups = [range(one, num_lanes, deal.num_consumers) for one in deal.on_each_rank()]
    stored = (cursor or {}).get("lanes", {"of": 1, "samples": [0] * num_lanes})
    if stored["of"] == 1:
        samples = stored["samples"]
        return [sum(max(ranges[at][1] - max(ranges[at][0], samples[at]), 0) for at in group) for group in groups]
    # A rank's own state says nothing of the others' lanes, but they have taken as many steps.
    done = steps_done * (plan.batch_size or 1)
    return [max(sum(max(ranges[at][1] - ranges[at][0], 0) for at in group) - done, 0) for group in groups]


def steps_of(left: Sequence[int], size: int, remainder: str) -> int:
    """Steps that all ranks take of the samples left on each."""
    return min(left) // size if remainder == "drop" else -(-max(left) // size)


def packed_steps(plan: Plan, placement: Placement, begun: Beginning, cursor: Cursor | None) -> Agreed:
    """The steps of a pass, and whose samples they hold.

    Raises:
        TopologyError: Only reading would tell, or a rank has no documents at all.
    """
    if placement.num_shards == 1:
        return Agreed()
    remainder = plan.remainder_for(placement.num_shards)
    if plan.epochs_per_pass is None:
        _check_documents(plan, begun.deal)
    if remainder == "keep" or _is_endless(plan):
        return Agreed()
    totals = lane_totals(plan, begun.first_epoch)
    if totals is None:
        raise TopologyError(_unknown_end(plan, placement.num_shards))
    done = begun.deal.share(begun.deal.steps_before) + begun.done
    ranges = [clipped(plan, lane, total) for lane, total in enumerate(totals)]
    taken = done * placement.num_shards * (plan.batch_size or 1)
    if _is_dealt(plan, begun.deal, cursor, ranges, taken):
        steps = _dealt_steps(plan, placement.num_shards, ranges, taken, remainder)
        return Agreed(done + steps, (placement.num_shards, placement.index, ranges, taken))
    left = samples_left(plan, begun.deal, cursor, ranges, done)
    return Agreed(done + steps_of(left, plan.batch_size or 1, remainder))


def deals(plan: Plan) -> bool:
    """Whether ranks deal the samples of all lanes of a pass, so that its steps are the same for any number of ranks.

    Packed sources that are mixed have lanes of equal length in an epoch.
    """
    return plan.epochs_per_pass is not None and not plan.mixes_samples


def _is_dealt(plan: Plan, deal: Deal, cursor: Cursor | None, ranges: Sequence[tuple[int, int]], taken: int) -> bool:
    """Whether what was delivered so far are the first samples of all lanes together, as the deal goes on with.

    Else (of workers, or by a rowmill that had no deal) each rank goes on with its own lanes to their end.
    """
    if deal.num_workers > 1 or not deals(plan):
        return False
    stored = (cursor or {}).get("lanes")
    if stored is None:
        return True
    if stored["of"] > 1:
        # The other ranks' lanes are not in it, and they must come to the same answer.
        version = stored.get("dealt")
        if version not in (None, DEAL_VERSION):
            raise StateMismatchError(
                f"the cursor's ranks dealt their samples by version {version!r}, and this rowmill knows version "
                f"{DEAL_VERSION}; read it with the rowmill that made it, or a newer one"
            )
        return version is not None
    behind = _rust.lane_samples_at(ranges, taken)
    return all(max(first, own) == at for (first, _), own, at in zip(ranges, stored["samples"], behind, strict=True))


def _dealt_steps(plan: Plan, num_shards: int, ranges: Sequence[tuple[int, int]], taken: int, remainder: str) -> int:
    left = max(sum(max(stop - first, 0) for first, stop in ranges) - taken, 0)
    return steps_of([left], num_shards * (plan.batch_size or 1), remainder)


def packed_total(plan: Plan, placement: Placement, epoch: int) -> int:
    """What a rank without workers yields in the pass that begins with ``epoch``.

    Raises:
        TypeError: The stream is endless, or there is no token-count index.
        TopologyError: The lanes cannot be dealt to the ranks.
    """
    first, last = plan.pipeline.batches
    if _is_endless(plan):
        if last is None:
            raise TypeError("the dataset is endless (.repeat()); it has no length")
        return _taken(plan, first, last)
    check_lanes(plan.order.num_lanes, placement)
    totals = lane_totals(plan, epoch)
    reason = why_uncountable(plan)
    if reason is not None:
        raise TypeError(f"how many samples documents make depends on their tokens, and only reading tells: {reason}")
    if totals is None:
        raise TypeError(
            f"how many samples documents make depends on their tokens; count them once, and the length is known: "
            f"{how_to_build(plan)}"
        )
    deal, remainder = Deal.of(plan, placement, 0), plan.remainder_for(placement.num_shards)
    ranges = [clipped(plan, lane, total) for lane, total in enumerate(totals)]
    left = samples_left(plan, deal, None, ranges, 0)
    if remainder != "keep" and deals(plan):
        number = _dealt_steps(plan, placement.num_shards, ranges, 0, remainder)
    else:
        number = steps_of([left[placement.index]] if remainder == "keep" else left, plan.batch_size or 1, remainder)
    return _taken(plan, first, number if last is None else min(number, last))


def _taken(plan: Plan, first: int, last: int) -> int:
    """The steps from ``first`` to ``last`` that ``skip_steps`` does not leave out."""
    steps = plan.left_out(1)
    return max(taken_of(steps, last) - taken_of(steps, first), 0)


def lane_totals(plan: Plan, first_epoch: int) -> list[int] | None:
    """The samples of each lane before .skip and .take; of an endless stream more than are ever asked for.

    None where only a token-count index would tell, and there is none.
    """
    if plan.epochs_per_pass is not None:
        return mixed_lane_samples(plan, first_epoch) if plan.mixes_samples else lane_samples(plan, first_epoch)
    num_lanes = plan.order.num_lanes
    ranges = (lane_rows(lane, num_lanes, plan.position_range) for lane in range(num_lanes))
    return [_FAR if stop > first else 0 for first, stop in ranges]


def _is_endless(plan: Plan) -> bool:
    return plan.epochs_per_pass is None and plan.pipeline.samples[1] is None


def _check_documents(plan: Plan, deal: Deal) -> None:
    """A rank whose lanes hold no document would yield nothing, for ever, and the others would wait for it."""
    start, stop = plan.position_range
    if stop - start >= deal.num_consumers or start == stop:
        return
    raise TopologyError(
        f"{stop - start} documents are not enough for {deal.num_shards} ranks x {deal.num_workers} workers: some "
        "would have none in any of their lanes, and the others would wait for them. Take fewer ranks or workers"
    )


def _unknown_end(plan: Plan, num_shards: int) -> str:
    last = plan.pipeline.batches[1]
    count = "" if why_uncountable(plan) else f"Count them once, before the job: {how_to_build(plan)}. Or let "
    return (
        f"a finite epoch of packed samples does not end after the same number of steps on all {num_shards} ranks by "
        "itself, and without a count of the documents' tokens only reading tells"
        f"{'' if last is None else '; .take(' + str(last) + ') alone does not change that'}. "
        f"{count or 'Let '}the lanes run on into the next epoch with .repeat() (and "
        '.batch(...).take(steps) for an end); or ask for remainder="keep" where the loop can do with ranks that end at '
        "different steps"
    )
