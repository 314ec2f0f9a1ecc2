"""Iterators over lanes: pipelines in which a filter or a batched map decides what comes.

Each lane of the order is a deterministic stream of its own: order, then the stages. Sample k of lane l is
global sample ``k * num_lanes + l``; a consumer owns the lanes l = its number (mod the number of consumers)
and always yields its smallest one. A lane's place is (first row of the current group, samples emitted from
that group), so a resume re-reads one group a lane at most.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rowmill import _rust
from rowmill.exceptions import SchemaMismatchError, TopologyError
from rowmill.placement import Placement
from rowmill.plan import Plan
from rowmill.pruning import Pruning
from rowmill.stages import Filter, Map, Stage

__all__ = ["Lane", "LaneReader", "check_lanes", "lane_rows"]

# Passes of a lane through the data without a sample, after which an endless stream is not going to have one.
_EMPTY_EPOCHS = 16

# Rows of a lane read at once where no batched function asks for more.
_CHUNK_ROWS = 64


@dataclass
class Lane:
    """One lane's place.

    Attributes:
        index: Which lane.
        epoch: Epoch it is in.
        row: Index in the lane of the first row of the current group.
        emitted: Samples emitted from that group.
        num_samples: Samples emitted since the stream began; decides whose turn it is.
        sources: Of each source of a mix by tokens, or of packed sources, where it stands: (row, what was taken). Empty
            where the schedule says so, and at the beginning.
        file: Of lanes over files: which of the lane's files it is in; ``row`` is then one of that file's own order.
        row_id: Of lanes over files: the row of the sample that was handed out last, the first one of its group.
        made_of: Of the sample that was handed out last the tokens that the engine made of its row, or the documents
            that it was packed of: (row id, first token, number of tokens) of each.
    """

    index: int
    epoch: int
    row: int = 0
    emitted: int = 0
    num_samples: int = 0
    sources: Sequence[tuple[int, int]] = ()
    made_of: Any = 0
    file: int = 0
    row_id: int = 0

    @property
    def plain(self) -> tuple[int, int, int, int, int, Sequence[tuple[int, int]]]:
        """The place as the engine takes it."""
        return self.index, self.epoch, self.row, self.emitted, self.num_samples, self.sources


class LaneReader:
    """Reads lanes of a plan through its stages; one for a consumer."""

    def __init__(self, plan: Plan, rust: _rust.Lanes) -> None:
        self._pipeline = plan.pipeline
        self._names = plan.pipeline.column_names
        self._order = plan.rust_order
        self._num_lanes = plan.order.num_lanes
        self._positions = plan.position_range
        self._num_epochs = plan.epochs_per_pass
        self._rust = rust
        # They come from the cache once it is whole, and are made no more.
        self._counts_tokens = not plan.pipeline.is_cached
        self._pruning = None if plan.is_over_files else Pruning(plan, rust)
        self._group, self._is_grouped = plan.pipeline.group_size, plan.pipeline.is_grouped
        self._chunk = max(self._group, _CHUNK_ROWS // self._group * self._group)
        # A mix without an end has one epoch for ever.
        self._patience = None if plan.has_end else _EMPTY_EPOCHS * plan.source.rust.num_rows

    def announce(self, lanes: Sequence[Lane], first_epoch: int) -> None:
        """Says before the first sample which lanes will be read, from which places."""

    def files_in(self, lane: Lane) -> int:
        """Files of a lane in each epoch; 1 where lanes are over rows."""
        return 1

    def samples(self, lane: Lane, first_epoch: int) -> Iterator[Any]:
        """The samples of ``lane`` from its place on; ``lane`` moves along with what has been taken."""
        num_empty = 0
        while self._num_epochs is None or lane.epoch < first_epoch + self._num_epochs:
            before = lane.num_samples
            yield from self._epoch(lane)
            lane.epoch, lane.file, lane.row, lane.emitted = lane.epoch + 1, 0, 0, 0
            num_empty = num_empty + 1 if lane.num_samples == before else 0
            if num_empty > _EMPTY_EPOCHS:
                raise _kept_nothing(lane, f"{num_empty} epochs")

    def _epoch(self, lane: Lane) -> Iterator[Any]:
        first, stop = lane_rows(lane.index, self._num_lanes, self._positions)
        num_idle = 0
        while first + lane.row < stop:
            before = lane.num_samples
            start = first + lane.row
            size = min(self._chunk, stop - start)
            self._prepare(lane, start, size)
            rows = self._rust.take(lane.epoch, lane.index, start, size)
            ahead = start + self._chunk
            if ahead < stop:
                self._prepare(lane, ahead, min(self._chunk, stop - ahead))
                self._rust.submit(lane.epoch, lane.index, ahead, min(self._chunk, stop - ahead))
            yield from self._groups(lane, rows, size)
            num_idle = num_idle + size if lane.num_samples == before else 0
            if self._patience is not None and num_idle > self._patience:
                raise _kept_nothing(lane, f"{num_idle} rows")

    def _prepare(self, lane: Lane, start: int, size: int) -> None:
        if self._pruning is not None:
            self._pruning.prepare(lane.epoch, lane.index, start, size)

    def _groups(self, lane: Lane, rows: _rust.Rows, size: int) -> Iterator[Any]:
        """Passes a chunk's rows through the stages; the lane's place moves along, row by row or group by group."""
        first, offsets, row_ids = lane.row, rows.offsets, rows.row_ids
        if not self._is_grouped:
            yield from self._single_rows(lane, rows, offsets, row_ids)
            lane.row = first + size
            return
        for start in range(0, size, self._group):
            stop = min(start + self._group, size)
            chosen = range(bisect_left(offsets, start), bisect_left(offsets, stop))
            samples = apply_stages(self._pipeline.row_stages, self._names, rows, chosen)
            lane.row_id = row_ids[chosen.start] if row_ids and chosen else 0
            for sample in samples[lane.emitted :]:
                # Counted before it is handed out: while the consumer holds the sample, the place is after it.
                lane.emitted += 1
                lane.num_samples += 1
                yield sample
            lane.row, lane.emitted = first + stop, 0

    def _single_rows(self, lane: Lane, rows: _rust.Rows, offsets: list[int], row_ids: list[int]) -> Iterator[Any]:
        """Without batched functions every row is a group; expressions still run over the whole chunk at once."""
        first, tokens = lane.row, rows.token_counts if self._counts_tokens else []
        stages, indices = leading_expressions(self._pipeline.row_stages, self._names, rows, range(len(rows)))
        for index in indices:
            samples = run_stages(stages, [rows.row(index)]) if stages else [(rows, index)]
            lane.row = first + offsets[index] + 1
            if tokens:
                lane.made_of = tokens[index]
            if row_ids:
                lane.row_id = row_ids[index]
            for sample in samples:
                lane.num_samples += 1
                yield sample


def _kept_nothing(lane: Lane, of: str) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"the filters kept no row of lane {lane.index} in {of}, and its sample is next. An endless stream would wait "
        "for it for ever. Loosen the filter, or take fewer lanes: .shuffle(..., num_lanes=...)"
    )


def lane_rows(lane: int, num_lanes: int, positions: tuple[int, int]) -> tuple[int, int]:
    """Indices in ``lane`` of those of its rows whose positions lie in the range."""
    start, stop = positions
    first, last = ((position - lane + num_lanes - 1) // num_lanes for position in (start, stop))
    return max(first, 0), max(last, first, 0)


def apply_stages(stages: tuple[Stage, ...], names: list[str], rows: _rust.Rows, chosen: range) -> list[Any]:
    """What the row stages make of the rows at ``chosen``: dicts, or (rows, index) where no function needs dicts."""
    left, indices = leading_expressions(stages, names, rows, chosen)
    if not left:
        return [(rows, index) for index in indices]
    return run_stages(left, [rows.row(index) for index in indices])


def leading_expressions(
    stages: tuple[Stage, ...], names: list[str], rows: _rust.Rows, chosen: range
) -> tuple[list[Stage], list[int]]:
    """Runs the filters by expression that come first, on Arrow data; returns the stages left and the rows kept."""
    left, indices = list(stages), list(chosen)
    while left and isinstance(condition := left[0], Filter) and condition.is_expression:
        left.pop(0)
        if indices:
            matches = condition.matches(rows.to_arrow(indices, condition.columns_read(names)))
            indices = [indices[match] for match in matches]
    return left, indices


def run_stages(stages: list[Stage], samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Passes rows that are dicts through the stages."""
    for stage in stages:
        if not samples:
            break
        samples = _apply(stage, samples)
    return samples


def _apply(stage: Any, samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(stage, Filter):
        if stage.is_expression:
            return [samples[match] for match in stage.matches_made(samples)]
        return [sample for sample in samples if stage.keeps(sample)]
    if isinstance(stage, Map) and stage.batched:
        return [
            made
            for first in range(0, len(samples), stage.batch_size)
            for made in stage.group(samples[first : first + stage.batch_size])
        ]
    return [stage.row(sample) for sample in samples]


def check_lanes(num_lanes: int, placement: Placement) -> None:
    """Raises TopologyError unless every consumer owns equally many lanes, naming the sizes that fit."""
    consumers = placement.num_shards * placement.num_workers
    if num_lanes % consumers == 0:
        return
    fitting = [size for size in range(1, num_lanes + 1) if num_lanes % size == 0]
    raise TopologyError(
        f"{num_lanes} lanes cannot be dealt evenly to {placement.num_shards} ranks x {placement.num_workers} workers, "
        f"and a filter, a batched map, and lanes over files keep their places by lanes; ranks x workers that fit: "
        f"{', '.join(map(str, fitting))}. Or choose lanes that {consumers} divides: "
        f".shuffle(..., num_lanes={-(-num_lanes // consumers) * consumers})"
    )
