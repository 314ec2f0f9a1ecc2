"""The receipt of what a consumer of lanes has delivered, digested some thousand samples at a time."""

from __future__ import annotations

from typing import Any

from rowmill import _rust
from rowmill.lanes import lane_rows
from rowmill.plan import Plan
from rowmill.receipts import Parts, Receipt, receipt_of, receipt_seed

__all__ = ["Tally"]

# Numbers: few enough that a cursor costs next to nothing, many enough that a sample does.
_DIGESTED_AT_ONCE = 8192


class Tally:
    """Counts samples; outlives the iterator, and holds nothing of its engine.

    A sample is marked by some items of a flat list: of documents that Python packs its number in the job and
    ``Lane.made_of``; of a row its number, and its lane's epoch, row, samples emitted of the group, and ``made_of``.
    """

    def __init__(self, plan: Plan, first_epoch: int, begun: Parts) -> None:
        self._parts, self._order = begun, plan.rust_order
        self._key = {"seed": receipt_seed(plan.identity.fingerprint), "first_epoch": first_epoch}
        # Of each lane's rows that are read, the element of the first.
        num_lanes, positions = plan.order.num_lanes, plan.position_range
        self._first = [lane_rows(lane, num_lanes, positions)[0] for lane in range(num_lanes)]
        self.is_packed, self._is_grouped = plan.pipeline.packs_python_rows, plan.pipeline.group_size > 1
        self._waiting: list[Any] = []

    def add(self, marks: list[Any]) -> None:
        """Counts the samples of ``marks`` as delivered."""
        self._waiting += marks
        if len(self._waiting) >= _DIGESTED_AT_ONCE:
            self._digest()

    def receipt(self) -> Receipt:
        """What was delivered so far."""
        self._digest()
        return receipt_of(self._parts)

    def _digest(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        if self.is_packed:
            samples = list(zip(waiting[::2], waiting[1::2], strict=True))
            self._parts = _rust.add_samples(self._parts, samples, **self._key)
            return
        self._parts = _rust.add_rows(
            self._parts, waiting, order=self._order, firsts=self._first, is_grouped=self._is_grouped, **self._key
        )
