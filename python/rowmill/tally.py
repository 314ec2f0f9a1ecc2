"""The receipt of what a consumer of lanes has delivered, digested some thousand samples at a time."""

from __future__ import annotations

from typing import Any

from rowmill import _rust
from rowmill.lanes import Lane, lane_rows
from rowmill.plan import Plan
from rowmill.receipts import Parts, Receipt, receipt_of, receipt_seed

__all__ = ["Tally"]

# Numbers: few enough that a cursor costs next to nothing, many enough that a sample does.
_DIGESTED_AT_ONCE = 8192


class Tally:
    """Counts samples; outlives the iterator, and holds nothing of its engine.

    A sample is marked by some items of a flat list: of one that tells its rows its number in the job and those
    (``rows_of``); of a row its number, and its lane's epoch, row, samples emitted of the group, and ``made_of``.
    """

    def __init__(self, plan: Plan, first_epoch: int, begun: Parts) -> None:
        self._parts, self._order = begun, plan.rust_order
        self._key = {"seed": receipt_seed(plan.identity.fingerprint), "first_epoch": first_epoch}
        # Of each lane's rows that are read, the element of the first.
        num_lanes, positions = plan.order.num_lanes, plan.position_range
        self._first = [lane_rows(lane, num_lanes, positions)[0] for lane in range(num_lanes)]
        self._is_packed, self._is_grouped = plan.pipeline.packs_python_rows, plan.pipeline.is_grouped
        # Documents that Python packs, or rows of files whose numbers no order knows: each sample tells its rows.
        self.is_told = self._is_packed or plan.is_over_files
        self._waiting: list[Any] = []

    def rows_of(self, lane: Lane) -> Any:
        """Of samples that tell their rows: those of the one that ``lane`` has just handed out."""
        if self._is_packed:
            return lane.made_of
        return [(lane.row_id, lane.emitted - 1, 0) if self._is_grouped else (lane.row_id, 0, lane.made_of)]

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
        if self.is_told:
            samples = list(zip(waiting[::2], waiting[1::2], strict=True))
            self._parts = _rust.add_samples(self._parts, samples, **self._key)
            return
        self._parts = _rust.add_rows(
            self._parts, waiting, order=self._order, firsts=self._first, is_grouped=self._is_grouped, **self._key
        )
