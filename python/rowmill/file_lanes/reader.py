"""The rows of lanes over files: file after file, the footer of the next one on its way while one is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rowmill.lanes import Lane, LaneReader, lane_rows

if TYPE_CHECKING:
    from rowmill import _rust
    from rowmill.plan import Plan

__all__ = ["FileLaneReader", "lane_reader"]

# Chunks before the end of a file at which the next one is opened: some round trips' worth of rows.
_CHUNKS_AHEAD = 16


def lane_reader(plan: Plan, rust: _rust.Lanes) -> LaneReader:
    """What reads the lanes of a plan."""
    return FileLaneReader(plan, rust) if plan.is_over_files else LaneReader(plan, rust)


class FileLaneReader(LaneReader):
    """Reads lanes of which each is some files after each other.

    A lane's place is (number of the file in the lane, row of that file's own order, samples emitted of a group).
    """

    def announce(self, lanes: Sequence[Lane], first_epoch: int) -> None:
        """Asks for the first rows of all lanes together: one after the other their footers would take many trips."""
        for lane in lanes:
            if self._num_epochs is None or lane.epoch < first_epoch + self._num_epochs:
                self._submit(lane.epoch, self._file(lane.epoch, lane.index, lane.file), lane.row)

    def files_in(self, lane: Lane) -> int:
        """Files of a lane in each epoch."""
        first, stop = lane_rows(lane.index, self._num_lanes, self._positions)
        return stop - first

    def _epoch(self, lane: Lane) -> Iterator[Any]:
        number = self.files_in(lane)
        while lane.file < number:
            yield from self._rows_of(lane)
            lane.file, lane.row, lane.emitted = lane.file + 1, 0, 0

    def _rows_of(self, lane: Lane) -> Iterator[Any]:
        file, has_next = self._file(lane.epoch, lane.index, lane.file), False
        assert file is not None, "a lane is in one of its files"
        while True:
            start = lane.row
            rows = self._rust.take(lane.epoch, file, start, self._chunk)
            left = rows.file_rows - start
            if left > self._chunk:
                self._submit(lane.epoch, file, start + self._chunk)
            if left <= _CHUNKS_AHEAD * self._chunk and not has_next:
                has_next = True
                self._submit(*self._next(lane), 0)
            if left <= 0:
                return
            yield from self._groups(lane, rows, min(self._chunk, left))

    def _next(self, lane: Lane) -> tuple[int, int | None]:
        """Epoch and number of the file after the one that a lane is in; None behind the last."""
        if lane.file + 1 < self.files_in(lane):
            return lane.epoch, self._file(lane.epoch, lane.index, lane.file + 1)
        # Whether the pass goes on into another epoch only the caller knows; where it has no end, it does.
        epoch = lane.epoch + 1
        return epoch, self._file(epoch, lane.index, 0) if self._num_epochs is None else None

    def _file(self, epoch: int, lane: int, number: int) -> int | None:
        """Which file a lane comes to as the ``number``-th of an epoch."""
        first, stop = lane_rows(lane, self._num_lanes, self._positions)
        if first + number >= stop:
            return None
        position = (first + number) * self._num_lanes + lane
        return self._order.row_ids(epoch, position, position + 1)[0]

    def _submit(self, epoch: int, file: int | None, start: int) -> None:
        if file is not None:
            self._rust.submit(epoch, file, start, self._chunk)
