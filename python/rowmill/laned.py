"""The iterator over a laned pipeline: which lane's turn it is, batches of samples, and its cursor."""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from rowmill import _rust
from rowmill import torch as _torch
from rowmill.cursor import Cursor
from rowmill.document_packer import DocumentPacker
from rowmill.equal_steps import clipped, samples_left, steps_of
from rowmill.exceptions import TopologyError
from rowmill.file_lanes.reader import lane_reader
from rowmill.iterators import ReadOptions, Resumable, consumer_type
from rowmill.lane_places import Beginning, LanePlaces
from rowmill.lanes import Lane, check_lanes
from rowmill.padded import collated, engine_output, shown
from rowmill.placement import find_worker
from rowmill.plan import Plan
from rowmill.progress import Progress
from rowmill.receipts import begin_receipt
from rowmill.runs import current_placement
from rowmill.tally import Tally

__all__ = ["LanedIterator"]


class Samples(Protocol):
    """What reads lanes."""

    def samples(self, lane: Lane, first_epoch: int) -> Iterator[Any]:
        """The samples of ``lane`` from its place on; ``lane`` moves along with what has been taken."""

    def announce(self, lanes: Sequence[Lane], first_epoch: int) -> None:
        """Says before the first sample which lanes will be read."""


@dataclass
class _Turns:
    """Whose turn it is: always the lane whose next sample is globally the first."""

    reader: Samples
    lanes: list[Lane]
    num_lanes: int
    first_epoch: int
    samples: tuple[int, int | None]
    _heap: list[tuple[int, Lane, Iterator[Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for lane in self.lanes:
            self._push(lane, self.reader.samples(lane, self.first_epoch))

    def take(self, touched: list[tuple[Lane, dict[str, Any]]]) -> tuple[Any, Lane, int]:
        """The next sample, its lane, and its number; or StopIteration. Notes in ``touched`` the place before."""
        heap, (first, stop) = self._heap, self.samples
        while heap:
            number, lane, stream = heap[0]
            before = vars(lane).copy()
            sample = next(stream, _END)
            if sample is _END:
                heapq.heappop(heap)
                continue
            touched.append((lane, before))
            turn = number + self.num_lanes
            if stop is None or turn < stop:
                heapq.heapreplace(heap, (turn, lane, stream))
            else:
                heapq.heappop(heap)
            if number >= first:
                return sample, lane, number
        raise StopIteration

    def _push(self, lane: Lane, stream: Iterator[Any]) -> None:
        turn, stop = lane.num_samples * self.num_lanes + lane.index, self.samples[1]
        if stop is None or turn < stop:
            heapq.heappush(self._heap, (turn, lane, stream))


class LanedIterator(Resumable, Iterator[Any]):
    """Samples, or batches of them, of the lanes that this consumer owns."""

    # Whether lanes were told of before the first step.
    _is_announced: bool

    def __init__(self, plan: Plan, progress: Progress, options: ReadOptions) -> None:
        self._plan, self._progress, self._worker = plan, progress, find_worker()
        self._placement = current_placement(plan)
        check_lanes(plan.order.num_lanes, self._placement)
        table = plan.table(options.io, for_stages=True)
        # Documents that Python packs are read as rows: the format is that of the samples.
        is_packed = plan.pipeline.packs_python_rows
        output = "row_lists" if is_packed else engine_output(plan)
        self._rust = _rust.Lanes(
            table=table,
            order=plan.rust_order,
            output=output,
            dtypes=[] if is_packed else list(plan.full_format.dtypes),
            fill_null=[] if is_packed else list(plan.full_format.fill_null),
            padding=plan.pipeline.padding,
            num_threads=options.num_threads,
            prefetch_bytes=options.prefetch_bytes,
            wrap=consumer_type(output),
            pin=_torch.pin_functions() if options.pin_memory else None,
            files=plan.engine_files(options.io, self._placement),
        )
        self.final_stats: dict[str, Any] = {}
        cursor, epoch = progress.begin(self._worker)
        self._begin(cursor, epoch)

    def __next__(self) -> Any:
        while self._is_left_out():
            self._step(lambda samples: None)
        (made, num_rows), marks = self._step(lambda samples: (self._make(samples), len(samples)))
        self._num_rows += num_rows
        self._tally.add(marks)
        return made

    def _step(self, make: Callable[[list[Any]], Any]) -> tuple[Any, list[Any]]:
        """Takes a step and makes something of its samples, and tells which they are; one that fails was not taken."""
        if self._num_steps is not None and self._places.num_steps >= self._num_steps:
            self._finish()
        touched: list[tuple[Lane, dict[str, Any]]] = []
        marks: list[Any] = []
        if not self._is_announced:
            # Not where the pass is made: threads start at the first step.
            self._is_announced = True
            self._reader.announce(self._places.lanes, self._places.first_epoch)
        try:
            made = make(self._take(touched, marks))
        except StopIteration:
            self._finish()
        except BaseException:
            self._roll_back(touched)
            raise
        self._places.num_steps += 1
        self._places.num_skipped = self._first_skipped + self._rust.num_skipped - self._skipped_before
        return made, marks

    def _is_left_out(self) -> bool:
        step = self._own_steps_done()
        return any(first <= step < end for first, end in self._left_out)

    def stats(self) -> dict[str, Any]:
        """What the engine did so far."""
        places = self._places
        counts = {"batches": places.num_steps, "rows": self._num_rows, "receipt": self._tally.receipt()}
        return {**self._rust.stats(), **counts}

    def close(self) -> None:
        """Stops the engine's threads."""
        self._rust.close()

    def _begin(self, cursor: Cursor | None, epoch: int) -> None:
        plan, placement = self._plan, self._placement
        begun = Beginning.of(plan, placement, cursor, epoch)
        self._deal, lanes, first_epoch, done = begun.deal, begun.lanes, begun.first_epoch, begun.done
        self._places = begun.places(plan, placement)
        self._tally = Tally(plan, first_epoch, begin_receipt(cursor, begun.deal.consumer))
        self._places.receipt = self._tally.receipt
        self._num_rows, self._num_passed = 0, 0
        self._left_out = begun.own_steps_left_out(plan, placement)
        self._first_skipped = (cursor or {}).get("skipped_rows", 0)
        self._places.num_skipped = self._first_skipped
        # The table counts over all passes that read it.
        self._skipped_before = self._rust.num_skipped
        self._reader: Samples = (
            DocumentPacker(plan, self._rust) if plan.pipeline.packs_python_rows else lane_reader(plan, self._rust)
        )
        self._is_announced = False
        self._turns = self._new_turns(lanes)
        left = self._count_steps(cursor)
        self._num_steps: int | None = None if left is None else done + left
        if self._num_steps is not None and self._is_padded:
            self._places.padded_to = (self._num_steps, first_epoch + (plan.epochs_per_pass or 1) - 1)
        if left == 0 or begun.is_over:
            # As in PositionIterator: after a pass that begins at its end comes the next epoch.
            self._progress.board.finish(self._worker, first_epoch + (plan.epochs_per_pass or 1))
        self._current = functools.partial(LanePlaces.cursor, self._places)
        self._progress.follow(self._current)
        if cursor is None and plan.pipeline.batches[0]:
            self._skip_steps(plan.pipeline.batches[0])

    @property
    def _is_padded(self) -> bool:
        """Whether this rank's last steps may hold nothing but the epoch's first samples once more."""
        return self._placement.num_shards > 1 and self._plan.remainder_for(self._placement.num_shards) == "pad"

    def _new_turns(self, lanes: list[Lane]) -> _Turns:
        plan = self._plan
        return _Turns(self._reader, lanes, plan.order.num_lanes, self._places.first_epoch, plan.pipeline.samples)

    def _take(self, touched: list[tuple[Lane, dict[str, Any]]], marks: list[Any]) -> list[Any]:
        """The samples of one step; StopIteration where there is none. Notes in ``marks`` which they are."""
        size, take, is_told = self._plan.batch_size or 1, self._turns.take, self._tally.is_told
        samples: list[Any] = []
        while len(samples) < size:
            try:
                sample, lane, number = take(touched)
                samples.append(sample)
                # What a tally counts, flat: an object for each sample would cost more than its digest.
                if is_told:
                    marks += (number, self._tally.rows_of(lane))
                else:
                    marks += (number, lane.epoch, lane.row, lane.emitted, lane.made_of)
            except StopIteration:
                remainder = self._plan.remainder_for(self._placement.num_shards)
                if remainder == "pad" and (samples or self._num_steps is not None):
                    samples.extend(self._padding(size - len(samples)))
                elif not samples or remainder == "drop":
                    raise
                break
        return samples

    def _padding(self, number: int) -> list[Any]:
        """The first samples of the epoch once more, as often as the last step lacks some."""
        # Of all lanes: those of this consumer may hold nothing at all.
        lanes = [Lane(index, self._places.first_epoch) for index in range(self._plan.order.num_lanes)]
        made: list[Any] = []
        while len(made) < number:
            turns, before = self._new_turns([replace(lane) for lane in lanes]), len(made)
            try:
                while len(made) < number:
                    made.append(turns.take([])[0])
            except StopIteration:
                if len(made) == before:
                    break
        return made

    def _make(self, samples: list[Any]) -> Any:
        plan = self._plan
        made = self._assemble(samples)
        for stage in plan.pipeline.batch_stages:
            made = stage.row(made)  # type: ignore[union-attr]
        return made

    def _assemble(self, samples: list[Any]) -> Any:
        plan = self._plan
        is_raw = isinstance(samples[0], tuple)
        if plan.batch_size is None and plan.full_format.row_name == "python" and plan.pipeline.pad is None:
            return samples[0][0].row(samples[0][1]) if is_raw else samples[0]
        return shown(plan, self._rust.assemble(samples)) if is_raw else collated(plan, samples)

    def _roll_back(self, touched: list[tuple[Lane, dict[str, Any]]]) -> None:
        """Puts the lanes back to where they were: a step that failed has not been delivered."""
        for lane, before in reversed(touched):
            vars(lane).update(before)
        self._turns = self._new_turns(self._places.lanes)

    def _finish(self) -> None:
        next_epoch = self._places.first_epoch + (self._plan.epochs_per_pass or 1)
        self._progress.finish(self._worker, next_epoch, self._current)
        raise StopIteration

    def _skip_steps(self, number: int) -> None:
        """Leaves out this consumer's share of the rank's first ``number`` batches."""
        for _ in range(self._deal.share(number)):
            try:
                self._take([], [])
            except StopIteration:
                break
        self._num_passed = self._deal.share(number)
        # Other workers skip theirs: the whole job stands behind all of them.
        self._places.start = number * self._placement.num_shards * (self._plan.batch_size or 1)
        if self._num_steps is not None:
            self._num_steps = max(self._num_steps - self._deal.share(number), 0)
            if self._places.padded_to is not None:
                self._places.padded_to = (self._num_steps, self._places.padded_to[1])

    def _count_steps(self, cursor: Cursor | None) -> int | None:
        """Steps left for this consumer, where ranks must agree on a number before the first one; else None.

        Without it ranks whose lanes hold more would wait for the others in a collective for ever. The count is one
        pass of the filters over all lanes; ``.repeat()`` makes it unnecessary.
        """
        plan, deal = self._plan, self._deal
        last = plan.pipeline.batches[1]
        limit = None if last is None else max(deal.share(last) - self._steps_done(), 0)
        remainder = plan.remainder_for(self._placement.num_shards)
        if self._placement.num_shards == 1 or plan.epochs_per_pass is None or remainder == "keep":
            return limit
        if plan.is_over_files:
            raise TopologyError(_unknown_end(self._placement.num_shards))
        ranges = [clipped(plan, lane, self._count_lane(lane)) for lane in range(plan.order.num_lanes)]
        left = samples_left(plan, deal, cursor, ranges, self._steps_done())
        agreed = steps_of(left, plan.batch_size or 1, remainder)
        return agreed if limit is None else min(agreed, limit)

    def _steps_done(self) -> int:
        """Steps of this pass that this consumer has taken, those before a resume included."""
        return self._deal.share(self._deal.steps_before) + self._places.num_steps

    def _own_steps_done(self) -> int:
        """The same with those that ``skip`` left out before the first."""
        return self._num_passed + self._steps_done()

    def _count_lane(self, index: int) -> int:
        """The samples of a lane in this pass."""
        lane = Lane(index, self._places.first_epoch)
        return sum(1 for _ in self._reader.samples(lane, self._places.first_epoch))


def _unknown_end(num_shards: int) -> str:
    return (
        f"a finite epoch of lanes over files does not end after the same number of steps on all {num_shards} ranks by "
        "itself, and how many rows a file has is known when its turn comes, not before. Let the lanes run on into the "
        'next epoch with .repeat() (and .batch(...).take(steps) for an end); or ask for remainder="keep" where the '
        'loop can do with ranks that end at different steps. Without lanes_over="files" all ranks take the same ones'
    )


_END = object()
