"""What ``.shuffle`` is told, as the order of a plan."""

from __future__ import annotations

import warnings

from rowmill.arguments import as_seed, positive
from rowmill.exceptions import SchemaMismatchError
from rowmill.plan import WINDOW_BYTES, Mode, OrderSettings, Plan
from rowmill.stages import Clip

__all__ = ["shuffled_order"]


def shuffled_order(
    plan: Plan,
    seed: int | None,
    *,
    mode: Mode,
    window_bytes: int | None,
    num_lanes: int | None,
    reshuffle_each_epoch: bool,
    buffer_size: int | None,
) -> OrderSettings:
    """The order that a shuffle of ``plan`` sets; the arguments are those of ``rowmill.Dataset.shuffle``.

    Raises:
        ValueError: An argument is of another kind.
        SchemaMismatchError: What the plan reads is not shuffled as a whole.
    """
    if mode not in ("window", "shard", "row", "none"):
        raise ValueError(f'mode must be "window", "shard", "row" or "none", not {mode!r}')
    if plan.is_mixed:
        raise SchemaMismatchError("a mix has no shuffle of its own: put .shuffle on each source, before the mix")
    if any(isinstance(stage, Clip) for stage in plan.stages):
        plan.refuse_files("which rows take and skip before a shuffle mean")
    if buffer_size is not None:
        warnings.warn(
            f"buffer_size={buffer_size} has no effect: all rows of the data set are shuffled, and no buffer is needed",
            stacklevel=3,
        )
    return OrderSettings(
        mode=mode,
        seed=as_seed(seed),
        num_lanes=plan.lanes_for(mode, None if num_lanes is None else positive("num_lanes", num_lanes, 1)),
        window_bytes=positive("window_bytes", window_bytes, WINDOW_BYTES),
        reshuffle_each_epoch=bool(reshuffle_each_epoch),
        lanes_over=plan.order.lanes_over,
    )
