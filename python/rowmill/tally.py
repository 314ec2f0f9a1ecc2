"""The receipt of what a consumer of lanes has delivered, digested some thousand samples at a time."""

from __future__ import annotations

from typing import Any

from rowmill import _rust
from rowmill.lanes import Lane, lane_rows
from rowmill.plan import Plan
from rowmill.receipts import Parts, Receipt, receipt_of, receipt_seed

__all__ = ["Tally"]

# Few enough that a cursor costs next to nothing, many enough that a sample does.
_DIGESTED_AT_ONCE = 1024


class Tally:
    """Counts samples; outlives the iterator, and holds nothing of its engine."""

    def __init__(self, plan: Plan, first_epoch: int, begun: Parts) -> None:
        self._parts, self._order = begun, plan.rust_order
        self._key = {"seed": receipt_seed(plan.identity.fingerprint), "first_epoch": first_epoch}
        # Of each lane's rows that are read, the element of the first.
        num_lanes, positions = plan.order.num_lanes, plan.position_range
        self._first = [lane_rows(lane, num_lanes, positions)[0] for lane in range(num_lanes)]
        self._is_packed, self._is_grouped = plan.pipeline.packs_python_rows, plan.pipeline.group_size > 1
        self._is_over_files = plan.is_over_files
        self._waiting: list[Any] = []

    def mark(self, lane: Lane, number: int) -> Any:
        """What is to be said of the sample of this number that ``lane`` has just handed out."""
        index = lane.index
        if self._is_packed:
            return number, lane.made_of
        if self._is_over_files:
            place, tokens = (lane.emitted - 1, 0) if self._is_grouped else (0, lane.made_of)
            return number, [(lane.row_id, place, tokens)]
        if self._is_grouped:
            # Which rows of a group made it only its functions know: its first row, and the sample's place.
            return number, lane.epoch, index, self._first[index] + lane.row, lane.emitted - 1, 0
        return number, lane.epoch, index, self._first[index] + lane.row - 1, 0, lane.made_of

    def add(self, marks: list[Any]) -> None:
        """Counts samples as delivered."""
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
        if self._is_packed or self._is_over_files:
            self._parts = _rust.add_samples(self._parts, waiting, **self._key)
        else:
            self._parts = _rust.add_rows(self._parts, waiting, order=self._order, **self._key)
