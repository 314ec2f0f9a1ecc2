"""Where a pass begins and ends: a plan, a placement and perhaps a cursor, made into one Run."""

from __future__ import annotations

import warnings
from typing import Any

from rowmill import _rust
from rowmill.cursor import Cursor, Run, check_step
from rowmill.exceptions import StateMismatchError
from rowmill.holes import Runs, compress, expand
from rowmill.placement import Placement, find_rank, find_worker
from rowmill.plan import Plan

__all__ = ["current_placement", "make_run", "num_items", "partition_of", "step_range"]


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
    )


def num_items(plan: Plan, placement: Placement) -> int | None:
    """What the rank yields in one pass, all its workers together; None for an endless stream."""
    run = make_run(plan, placement, None, 0)
    return None if run.total is None else _rust.count_items(**partition_of(plan, run))


def step_range(step: int, run: Run, remainder: str) -> str:
    """What is to be said of a step that a pass does not have."""
    if run.total is None:
        return f"step {step} is out of range: steps are counted from 0"
    full, rest = divmod(max(run.total - run.position, 0), run.step)
    number = full + (1 if rest and remainder != "drop" else 0)
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
    }


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
