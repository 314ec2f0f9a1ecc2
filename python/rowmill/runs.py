"""Where a pass begins and ends: a plan, a placement and perhaps a cursor, made into one Run."""

from __future__ import annotations

import warnings
from typing import Any

from rowmill import _rust
from rowmill.cursor import Cursor, Run, check_step
from rowmill.exceptions import StateMismatchError, TopologyError
from rowmill.holes import Runs, compress, expand
from rowmill.left_out import Ranges, check_left_out, joined, still_left_out, taken_of
from rowmill.placement import Placement, find_rank, find_worker
from rowmill.plan import Plan
from rowmill.receipts import NO_RECEIPT, Parts

__all__ = [
    "begin_stream",
    "check_skipped_steps",
    "current_placement",
    "dealt",
    "known_left_out",
    "make_run",
    "num_items",
    "partition_of",
    "step_range",
]


def current_placement(plan: Plan) -> Placement:
    """This process's part of the job."""
    num_shards, index = find_rank(plan.rank)
    num_workers, worker = (None if plan.is_dealt else find_worker()) or (1, 0)
    if num_shards > plan.order.num_lanes and plan.is_shuffled and plan.order.mode != "none":
        warnings.warn(
            f"{num_shards} ranks share {plan.order.num_lanes} lanes, so each block of the data is read by about "
            f"{-(-num_shards // plan.order.num_lanes)} ranks; .shuffle(num_lanes={num_shards}) reads each once",
            stacklevel=2,
        )
    return Placement(num_shards, index, num_workers, worker)


def make_run(plan: Plan, placement: Placement, cursor: Cursor | None, epoch: int) -> Run:
    """The pass that begins at ``cursor``, or at the beginning of ``epoch``.

    Raises:
        TopologyError: No step of this topology starts at the cursor's position.
        StateMismatchError: The cursor is one worker's, and this is not that worker.
    """
    first_epoch = cursor["first_epoch"] if cursor else epoch
    start, stop = plan.position_range
    per_epoch, num_epochs = stop - start, plan.epochs_per_pass
    if per_epoch == 0 and num_epochs is None:
        num_epochs = 1  # an endless stream of nothing is nothing
    step = placement.num_shards * (plan.batch_size or 1)
    position, holes, first_item = _begin(plan, placement, cursor, per_epoch, step)
    total = _total(plan, per_epoch, num_epochs, step)
    if cursor is None and total is not None:
        position = min(position, total)  # .skip may leave nothing
    if cursor is not None and total is not None:
        position = _within(position, total - sum(length * count for _, length, _, count in holes), cursor)
    check_step(position, step, total)
    if total is not None and position > total:
        raise StateMismatchError(f"the cursor stands at position {position} of a stream of {total}; it is damaged")
    if position != total:
        _check_groups(plan, cursor, position, step)
    left_out = plan.left_out(step)
    if cursor is not None:
        top = position + sum(length * count for _, length, _, count in holes)
        left_out = still_left_out(known_left_out(cursor), left_out, top)
    return Run(
        identity=plan.identity,
        epoch=first_epoch,
        per_epoch=per_epoch,
        num_epochs=num_epochs,
        total=total,
        position=position,
        holes=holes,
        placement=placement,
        batch_size=plan.batch_size,
        first_item=first_item,
        left_out=left_out,
    )


def known_left_out(cursor: Cursor) -> Ranges:
    """What a cursor says is left out of its pass."""
    return joined((first, end) for first, end in cursor.get("left_out") or ())


def check_skipped_steps(plan: Plan, cursor: Cursor) -> None:
    """Refuses a cursor that does not fit the steps which the dataset skips; see ``check_left_out``."""
    num_shards, _ = find_rank(plan.rank)
    step = num_shards * (plan.batch_size or 1)
    if not plan.skipped_steps and "left_out" not in cursor:
        return
    position = int(cursor["position"])
    if "lanes" in cursor:
        top = int(cursor["lanes"].get("start", position))
    else:
        start, stop = plan.position_range
        position += (cursor["epoch"] - cursor["first_epoch"]) * (stop - start)
        top = position + len(expand(cursor.get("holes", ())))
    check_left_out(cursor, plan.left_out(step), top, step)


def num_items(plan: Plan, placement: Placement) -> int | None:
    """What the rank yields in one pass, all its workers together; None for an endless stream."""
    run = make_run(plan, placement, None, 0)
    return None if run.total is None else _rust.count_items(**partition_of(plan, run))


def dealt(plan: Plan, run: Run, positions: list[int]) -> list[int]:
    """The positions of the order whose rows stand at these of a pass: others where rows are grouped by length.

    The lengths of the runs that they are in are read for that.
    """
    if plan.groups is None:
        return positions
    stream = _rust.Stream(
        table=plan.table(), order=plan.rust_order, output="row_lists", dtypes=[], fill_null=[], padding=None,
        groups=plan.groups, receipt_seed=0, counts_tokens=False, num_threads=None, prefetch_batches=None,
        prefetch_bytes=None, wrap=None, pin=None,
    )  # fmt: skip
    begin_stream(stream, plan, run)
    return stream.dealt(positions)


def begin_stream(stream: _rust.Stream, plan: Plan, run: Run, skipped: int = 0, receipt: Parts = NO_RECEIPT) -> None:
    """Places a stream of the engine where a run begins."""
    stream.begin(
        epoch=run.epoch,
        per_epoch=run.per_epoch,
        first_position=plan.position_range[0],
        first_item=run.first_item,
        skipped=skipped,
        receipt=receipt,
        **partition_of(plan, run),
    )


def step_range(step: int, run: Run, remainder: str) -> str:
    """What is to be said of a step that a pass does not have."""
    if run.total is None:
        return f"step {step} is out of range: steps are counted from 0"
    full, rest = divmod(max(run.total - run.position, 0), run.step)
    number = taken_of(run.steps_left_out, full + (1 if rest and remainder != "drop" else 0))
    known = f"{number} steps, 0 to {number - 1}" if number else "no step"
    return f"step {step} is out of range: a pass has {known} of {run.step} rows (ranks x batch size)"


def partition_of(plan: Plan, run: Run) -> dict[str, Any]:
    """The arguments by which Rust deals positions to this consumer."""
    placement = run.placement
    return {
        "num_positions": run.total,
        "num_shards": placement.num_shards,
        "index": placement.index,
        "num_workers": placement.num_workers,
        "worker": placement.worker,
        "batch_size": run.batch_size,
        "remainder": plan.remainder_for(placement.num_shards),
        "start": run.position,
        "holes": list(run.holes),
        "left_out": list(run.steps_left_out),
    }


def _check_groups(plan: Plan, cursor: Cursor | None, position: int, step: int) -> None:
    """Raises TopologyError where steps of another size cut the run of lengths that a cursor stands in otherwise."""
    if plan.groups is None or cursor is None:
        return
    before = (cursor.get("num_shards") or 1) * (cursor.get("batch_size") or 1)
    steps = plan.groups[0]
    if before != step and (position % (steps * before) or position % (steps * step)):
        raise TopologyError(
            f"the cursor stands inside of a run of {steps} steps of {before} rows that were grouped by length, and a "
            f"step of this job has {step}: ranks x batch size must stay {before} here; it may change where runs of "
            "both sizes end"
        )


def _begin(plan: Plan, placement: Placement, cursor: Cursor | None, per_epoch: int, step: int) -> tuple[int, Runs, int]:
    if cursor is None:
        return plan.pipeline.batches[0] * step, (), 0
    position = (cursor["epoch"] - cursor["first_epoch"]) * per_epoch + cursor["position"]
    holes = compress(expand(cursor.get("holes", ())))
    worker = cursor.get("worker")
    if worker is None:
        return position, holes, 0
    mine = {"id": placement.worker, "num_workers": placement.num_workers, "shard": placement.index}
    theirs = {name: worker.get(name) for name in mine}
    if theirs != mine:
        raise StateMismatchError(
            f"this is the state of worker {theirs['id']} of {theirs['num_workers']} on rank {theirs['shard']}, not of "
            f"worker {mine['id']} of {mine['num_workers']} on rank {mine['shard']}; to go on with another number of "
            "workers pass the whole StatefulDataLoader state through rowmill.merge_states"
        )
    return position, holes, worker["items"]


def _within(position: int, last: int, cursor: Cursor) -> int:
    """``position``, or ``last`` where states of workers counted the rows that a short last step did not have."""
    step = cursor.get("num_shards", 1) * (cursor.get("batch_size") or 1)
    return last if last < position < last + step else position


def _total(plan: Plan, per_epoch: int, num_epochs: int | None, step: int) -> int | None:
    stop = plan.pipeline.batches[1]
    ends = [
        None if num_epochs is None else per_epoch * num_epochs,
        None if stop is None else stop * step,
    ]
    return min((end for end in ends if end is not None), default=None)
