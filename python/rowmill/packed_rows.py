"""Which documents are in a step of packed samples: by arithmetic where their tokens were counted, else by reading."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from rowmill import _rust
from rowmill.cursor import Cursor, check_cursor
from rowmill.equal_steps import Agreed, clipped, lane_totals, packed_steps
from rowmill.exceptions import OutOfRangeError, SchemaMismatchError
from rowmill.lane_places import Beginning
from rowmill.lanes import Lane, check_lanes
from rowmill.mixing.packed_rows import Documents, mixed_samples, packed_documents, spans
from rowmill.placement import Placement
from rowmill.plan import Plan
from rowmill.token_index import how_to_build

__all__ = ["PackedRow", "packed_rows_at"]

# More samples than any lane has.
_FAR = 1 << 62


@dataclass(frozen=True)
class PackedRow:
    """One row of a batch of packed samples.

    Attributes:
        rank: The rank whose batch it is in.
        row: Which row of that batch.
        sample: The sample's number in the pass, over all ranks.
        documents: Of each document in it the row id, and which of its tokens: the first, and the one after the last.
    """

    rank: int
    row: int
    sample: int
    documents: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class _Pick:
    """A sample of a lane, and where it goes."""

    rank: int
    row: int
    lane: int
    number: int


def packed_rows_at(plan: Plan, num_shards: int, step: int, epoch: int, state: Cursor | None = None) -> list[PackedRow]:
    """The rows of step ``step`` of the pass, rank by rank; those that only pad the step are left out.

    Args:
        plan: What is packed.
        num_shards: Ranks of the job.
        step: Step of the pass that begins with ``epoch``, or that ``state`` is of.
        epoch: First epoch of the pass.
        state: A cursor of all lanes to begin at: what has to be read without counts begins there.

    Raises:
        SchemaMismatchError: Python functions make the documents.
        OutOfRangeError: The pass has no such step, or the cursor stands behind it.
    """
    plan.refuse_files("which documents are in a step")
    if plan.pipeline.packs_python_rows:
        raise SchemaMismatchError(
            "Python functions before .pack make the documents, and which of them a step holds only reading tells: ask "
            "for .pack(..., document_ids=True), or put .cache() behind the functions"
        )
    cursor = None if state is None else check_cursor(state, plan.identity, strict=True)
    check_lanes(plan.order.num_lanes, Placement(num_shards, 0))
    first_epoch = cursor["first_epoch"] if cursor else epoch
    totals, drops = lane_totals(plan, first_epoch), plan.remainder_for(num_shards) == "drop"
    picks: list[_Pick] = []
    lanes: dict[int, Lane] = {}
    # Of lanes that may end the last samples before the step, of which it is not known that they are there.
    supposed: dict[int, int] = {}
    dealt: list[list[tuple[int, int]]] | None = None
    for rank in range(num_shards):
        placement = Placement(num_shards, rank)
        begun = Beginning.of(plan, placement, cursor, epoch)
        before = begun.deal.steps_before + begun.done
        at = step + plan.pipeline.batches[0] - before
        if at < 0:
            raise OutOfRangeError(f"step {step} is before the cursor, which stands after {before} steps")
        last = plan.pipeline.batches[1]
        agreed = Agreed() if totals is None else packed_steps(plan, placement, begun, cursor)
        if any(end is not None and at + before >= end for end in (last, agreed.steps)):
            raise OutOfRangeError(_out_of_range(step))
        lanes.update({lane.index: lane for lane in begun.lanes})
        if agreed.deal is not None:
            dealt = dealt or _rust.dealt_step(agreed.deal, plan.batch_size or 1, at)
            found = [_Pick(rank, row, *sample) for row, sample in enumerate(dealt[rank])]
        else:
            found, reached = _picks(plan, begun.lanes, totals, rank, at)
            supposed.update(reached if totals is None and plan.epochs_per_pass is not None else {})
        picks += () if drops and len(found) < (plan.batch_size or 1) else found
    if not picks:
        raise OutOfRangeError(_out_of_range(step))
    return _read(plan, first_epoch, lanes, picks, supposed)


def _picks(
    plan: Plan, lanes: Sequence[Lane], totals: Sequence[int] | None, rank: int, at: int
) -> tuple[list[_Pick], dict[int, int]]:
    """The samples of a rank's step ``at``: its lanes take turns, those that have ended are left out.

    And the last sample of each lane up to the step's end, where it has one.
    """
    size = plan.batch_size or 1
    ranges = {}
    for lane in lanes:
        first, stop = clipped(plan, lane.index, _FAR if totals is None else totals[lane.index])
        ranges[lane.index] = max(first, lane.num_samples), stop

    def before(number: int) -> int:
        return sum(max(min(stop, number) - first, 0) for first, stop in ranges.values())

    # The round that the first sample of the step is in.
    number = bisect_right(range(_FAR), at * size, key=before) - 1
    place = before(max(number, 0)) - at * size
    picks: list[_Pick] = []
    number = max(number, 0)
    reached = {index: min(stop, number) - 1 for index, (first, stop) in ranges.items() if first < min(stop, number)}
    most = max((stop for _, stop in ranges.values()), default=0)
    while len(picks) < size and number < most:
        for index, (first, stop) in sorted(ranges.items()):
            if first <= number < stop:
                if place < size:
                    reached[index] = number
                if 0 <= place < size:
                    picks.append(_Pick(rank, place, index, number))
                place += 1
        number += 1
    return picks, reached


def _read(
    plan: Plan, first_epoch: int, lanes: dict[int, Lane], picks: Sequence[_Pick], supposed: dict[int, int]
) -> list[PackedRow]:
    numbers: dict[int, list[int]] = {}
    for lane, number in [*((pick.lane, pick.number) for pick in picks), *supposed.items()]:
        numbers.setdefault(lane, []).append(number)
    asked = {index: (min(found), max(found) - min(found) + 1) for index, found in numbers.items()}
    if plan.mixes_samples:
        samples = mixed_samples(plan, first_epoch, lanes, asked)
    else:
        samples = _samples(plan, first_epoch, lanes, asked)
    if any((lane, max(found)) not in samples for lane, found in numbers.items()):
        raise OutOfRangeError(
            f"a lane ends before this step, and where the others go on then only counts of all documents tell: "
            f"{how_to_build(plan)}"
        )
    num_lanes = plan.order.num_lanes
    return [
        PackedRow(pick.rank, pick.row, pick.number * num_lanes + pick.lane, samples[pick.lane, pick.number])
        for pick in picks
    ]


def _samples(
    plan: Plan, first_epoch: int, lanes: dict[int, Lane], asked: dict[int, tuple[int, int]]
) -> dict[tuple[int, int], Documents]:
    """The documents of the samples asked for of each lane, by lane and number."""
    documents_of = packed_documents(plan, first_epoch, plan.epochs_per_pass)
    found = documents_of.samples([(lanes[index].plain, wanted) for index, wanted in asked.items()])
    return {
        (index, first + at): spans(documents)
        for (index, (first, _)), made in zip(asked.items(), found, strict=True)
        for at, documents in enumerate(made)
    }


def _out_of_range(step: int) -> str:
    return f"step {step} is out of range: the pass ends before"
