"""Iterators over positions: Rust's stream as it is, or with Python stages behind it.

An iterator's state says what it has returned, never what was prefetched.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from rowmill import _rust
from rowmill import torch as _torch
from rowmill.cursor import Cursor, Run, check_cursor
from rowmill.padded import collated, engine_output, first_row, shown
from rowmill.placement import find_worker
from rowmill.plan import Plan
from rowmill.progress import Progress
from rowmill.receipts import SHARE, begin_share, receipt_of, receipt_seed, without_share
from rowmill.runs import begin_stream, check_skipped_steps, current_placement, make_run, partition_of
from rowmill.states import States, as_cursor, gathered

__all__ = ["PositionIterator", "ReadOptions", "Resumable", "StagedIterator"]

# What the engine hands over as Python objects alone.
_OBJECTS = ("rows", "row_lists", "python")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How the engine reads; the arguments of ``Dataset.loader``."""

    num_threads: int | None = None
    prefetch_batches: int | None = None
    prefetch_bytes: int | None = None
    pin_memory: bool = False
    io: str = "auto"


class Resumable:
    """What all iterators that keep a cursor share: ``_begin`` places them, ``_current`` says where they are."""

    _plan: Plan
    _progress: Progress
    _worker: tuple[int, int] | None
    _current: Callable[[], Cursor]
    final_stats: dict[str, Any]

    def state_dict(self, *, gather: bool = False) -> Cursor:
        """The cursor after what has been returned so far; see docs/cursor. ``gather`` makes it the whole job's."""
        return gathered(self._current) if gather else without_share(self._current())

    def current(self) -> Callable[[], Cursor]:
        """What gives the cursor of this pass, also when the iterator is gone."""
        return self._current

    def load_state_dict(self, state: States, *, strict: bool = True) -> None:
        """Moves this iterator to ``state``, whatever it has returned so far."""
        cursor = check_cursor(as_cursor(state), self._plan.identity, strict=strict)
        if strict:
            check_skipped_steps(self._plan, cursor)
        self._progress.board.begin(self._worker, cursor["epoch"])
        self._begin(cursor, cursor["epoch"])

    def rewind(self) -> None:
        """Goes back to after what has been returned, where more was handed out."""
        cursor = self._current()
        self._begin(cursor, cursor["epoch"])

    def stats(self) -> dict[str, Any]:
        """What the engine did so far."""
        raise NotImplementedError

    def _begin(self, cursor: Cursor | None, epoch: int) -> None:
        """Begins a pass at ``cursor``, or at the beginning of ``epoch``."""
        raise NotImplementedError

    def __del__(self, _suppress: Any = contextlib.suppress) -> None:
        # A default, because at the interpreter's exit even modules may be gone.
        with _suppress(Exception):
            self.final_stats.update(self.stats())


class PositionIterator(_rust.Stream, Resumable):
    """Rust's stream of rows or batches, with a state; ``next`` runs no line of Python."""

    def __new__(cls, plan: Plan, progress: Progress, options: ReadOptions, output: str) -> PositionIterator:
        """Begins a pass of ``progress``; no thread starts before the first ``next``."""
        self = super().__new__(
            cls,
            table=plan.table(options.io, of_objects=output in _OBJECTS, for_stages=True),
            order=plan.rust_order,
            output=output,
            dtypes=list(plan.full_format.dtypes),
            fill_null=list(plan.full_format.fill_null),
            padding=plan.pipeline.padding,
            groups=plan.groups,
            receipt_seed=receipt_seed(plan.identity.fingerprint),
            # They come from the cache once it is whole, and are made no more.
            counts_tokens=not plan.pipeline.is_cached,
            num_threads=options.num_threads,
            prefetch_batches=options.prefetch_batches,
            prefetch_bytes=options.prefetch_bytes,
            wrap=consumer_type(output),
            pin=_torch.pin_functions() if options.pin_memory else None,
        )
        self._plan, self._progress, self._worker = plan, progress, find_worker()
        self.final_stats = {}
        cursor, epoch = progress.begin(self._worker)
        self._begin(cursor, epoch)
        return self

    def _begin(self, cursor: Cursor | None, epoch: int) -> None:
        plan = self._plan
        run = make_run(plan, current_placement(plan), cursor, epoch)
        partition = partition_of(plan, run)
        next_epoch = run.epoch + (run.num_epochs or 1)
        receipt = begin_share(cursor, (run.placement.index, run.placement.worker) == (0, 0), run.position)
        begin_stream(self, plan, run, (cursor or {}).get("skipped_rows", 0), receipt)
        num_items = None if run.total is None else _rust.count_items(**partition)
        if num_items is not None and run.is_over(num_items):
            # A cursor of a finished pass: the pass after this empty one is the next epoch, also where a
            # StatefulDataLoader makes this one only to see that it is over.
            self._progress.board.finish(self._worker, next_epoch)
        if num_items == 0 and cursor is None and run.total and not run.left_out:
            _warn_of_nothing(plan, run)
        # The progress keeps the count, not this iterator: when a loop is left, its threads end with it.
        self._current = current = functools.partial(_cursor_of, run, self.counter)
        self._progress.follow(current)
        finish = functools.partial(self._progress.finish, self._worker, next_epoch, current)
        self.counter.on_finish(finish)


class HeldStream(Protocol):
    """A stream of the engine whose items count as returned only when that is said."""

    final_stats: dict[str, Any]

    def __next__(self) -> Any: ...
    def hold_back(self) -> None: ...
    def acknowledge(self) -> None: ...
    def rewind(self) -> None: ...
    def state_dict(self, *, gather: bool = False) -> Cursor: ...
    def current(self) -> Callable[[], Cursor]: ...
    def load_state_dict(self, state: States, *, strict: bool = True) -> None: ...
    def stats(self) -> dict[str, Any]: ...
    def close(self) -> None: ...


class StagedIterator(Iterator[Any]):
    """A stream of rows or batches that pass through Python functions in the consuming process."""

    def __init__(self, stream: HeldStream, stages: Callable[[Any], Any]) -> None:
        self._stream = stream
        self._stages = stages
        stream.hold_back()
        self.final_stats = stream.final_stats

    def __next__(self) -> Any:
        item = next(self._stream)
        try:
            made = self._stages(item)
        except BaseException:
            # A function may have been interrupted: the step has not been delivered, and comes again.
            self._stream.rewind()
            raise
        self._stream.acknowledge()
        return made

    def state_dict(self, *, gather: bool = False) -> Cursor:
        """The cursor after what has been returned so far; ``gather`` makes it the whole job's."""
        return self._stream.state_dict(gather=gather)

    def current(self) -> Callable[[], Cursor]:
        """What gives the cursor of this pass, also when the iterator is gone."""
        return self._stream.current()

    def load_state_dict(self, state: States, *, strict: bool = True) -> None:
        """Moves this iterator to ``state``."""
        self._stream.load_state_dict(state, strict=strict)

    def stats(self) -> dict[str, Any]:
        """What the engine did so far."""
        return self._stream.stats()

    def close(self) -> None:
        """Stops the engine's threads."""
        self._stream.close()


def position_iterator(plan: Plan, progress: Progress, options: ReadOptions) -> PositionIterator | StagedIterator:
    """The iterator over a pipeline whose samples do not depend on the data."""
    pipeline, batch_format = plan.pipeline, plan.full_format
    if pipeline.pad is not None and not pipeline.row_stages:
        output = engine_output(plan)
        stream = PositionIterator(plan, progress, options, output)
        is_plain = plan.batch_size is not None and output == batch_format.batch_name and not pipeline.batch_stages
        return stream if is_plain else StagedIterator(stream, functools.partial(_padded, plan))
    if pipeline.batch is None:
        if not pipeline.row_stages and batch_format.row_name != "python":
            stream = PositionIterator(plan, progress, options, batch_format.row_name)
            return stream if batch_format.row_name == "arrow" else StagedIterator(stream, first_row)
        stream = PositionIterator(plan, progress, options, "rows")
        return StagedIterator(stream, _row_function(plan)) if pipeline.row_stages else stream
    output = "row_lists" if pipeline.row_stages else batch_format.batch_name
    stream = PositionIterator(plan, progress, options, output)
    if not pipeline.row_stages and not pipeline.batch_stages:
        return stream
    return StagedIterator(stream, _batch_function(plan))


def _warn_of_nothing(plan: Plan, run: Run) -> None:
    remainder = plan.remainder_for(run.placement.num_shards)
    warnings.warn(
        f"this rank yields nothing: {run.total} rows are less than one step of {run.step} (ranks x batch size), and "
        + (
            'remainder="keep" hands them to other ranks; "pad" gives each rank some'
            if remainder == "keep"
            else f'remainder={remainder!r} leaves them out; "keep" or "pad" hand them out'
        ),
        stacklevel=2,
    )


def _cursor_of(run: Run, counter: _rust.Counter) -> Cursor:
    skipped, placement = counter.num_skipped, run.placement
    # A rank's own cursor says the same on every rank, so that any one's is enough.
    is_own = placement.num_workers == 1 and placement.num_shards > 1
    receipt = receipt_of(counter.receipt)
    extra: Cursor = {SHARE: {**receipt, "rank": placement.index}} if is_own else {"receipt": receipt}
    if skipped:
        extra["skipped_rows"] = skipped
    return run.cursor(counter.num_returned, extra)


def consumer_type(output: str) -> Callable[[Any], Any] | None:
    """What makes the consumer's own type of Rust's, without a copy."""
    if output == "torch":
        imported: Callable[[Any], Any] | None = _torch.tensor_import()
        if imported is None:
            raise ImportError('the format is torch, but torch is not installed; use .with_format("numpy")')
        return imported
    if output == "arrow":
        import pyarrow as pa

        wrap: Callable[[Any], Any] = pa.record_batch
        return wrap
    return None


def _padded(plan: Plan, batch: dict[str, Any]) -> Any:
    made = shown(plan, batch)
    for stage in plan.pipeline.batch_stages:
        made = stage.row(made)  # type: ignore[union-attr]
    return made


def _row_function(plan: Plan) -> Callable[[dict[str, Any]], Any]:
    stages, is_padded = plan.pipeline.row_stages, plan.pipeline.pad is not None

    def apply(row: dict[str, Any]) -> Any:
        for stage in stages:
            row = stage.row(row)  # type: ignore[union-attr]
        return row if plan.full_format.row_name == "python" and not is_padded else collated(plan, [row])

    return apply


def _batch_function(plan: Plan) -> Callable[[Any], Any]:
    pipeline = plan.pipeline

    def apply(batch: Any) -> Any:
        if pipeline.row_stages:
            rows = batch
            for stage in pipeline.row_stages:
                rows = [stage.row(row) for row in rows]  # type: ignore[union-attr]
            batch = collated(plan, rows)
        for stage in pipeline.batch_stages:
            batch = stage.row(batch)  # type: ignore[union-attr]
        return batch

    return apply
