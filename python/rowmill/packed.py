"""The iterator over packed samples: Rust's lanes as they are, with a state; and what a sample is shown as."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rowmill import _rust
from rowmill import torch as _torch
from rowmill.cursor import Cursor
from rowmill.equal_steps import DEAL_VERSION, deals, packed_steps
from rowmill.exceptions import SchemaMismatchError
from rowmill.iterators import ReadOptions, Resumable, StagedIterator, consumer_type
from rowmill.lane_places import Beginning, LanePlaces
from rowmill.lanes import Lane, check_lanes
from rowmill.mixing.sequences import PackedSource, packed_positions, packed_sources, required_samples
from rowmill.mixing.source import MixedSource
from rowmill.placement import Placement, find_worker
from rowmill.plan import Plan
from rowmill.progress import Progress
from rowmill.receipts import begin_receipt, receipt_of, receipt_seed
from rowmill.runs import current_placement
from rowmill.stages import Pack
from rowmill.stages.tokenize import INPUT_IDS
from rowmill.values import collate

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PackedIterator", "packed_iterator", "packed_schema"]


class PackedIterator(_rust.Packed, Resumable):
    """Rust's stream of packed samples of this consumer's lanes; ``next`` runs no line of Python."""

    _placement: Placement

    def __new__(cls, plan: Plan, progress: Progress, options: ReadOptions) -> PackedIterator:
        """Begins a pass of ``progress``; no thread starts before the first ``next``."""
        pack, placement = _pack_of(plan), current_placement(plan)
        check_lanes(plan.order.num_lanes, placement)
        _check_flat(plan)
        output = "torch" if _shown_as(plan) == "torch" else "numpy"
        # Where ranks deal the samples of all lanes, a sample of another rank's is found by counts.
        may_deal = placement.num_shards > 1 and deals(plan) and plan.remainder_for(placement.num_shards) != "keep"
        sources = packed_sources(plan, options.io, with_counts=True, counts_of_all=may_deal)
        mixed = plan.source if isinstance(plan.source, MixedSource) else None
        self = super().__new__(
            cls,
            sources=sources,
            schedule=mixed.schedule if mixed is not None and plan.mixes_samples else None,
            shares=None if mixed is None else mixed.shares,
            seq_len=pack.seq_len,
            labels=pack.labels,
            columns=list(_dtypes(plan, sources).items()),
            cu_seqlens=pack.cu_seqlens,
            flatten=pack.flatten and plan.batch_size is not None,
            batch_size=plan.batch_size or 1,
            receipt_seed=receipt_seed(plan.identity.fingerprint),
            output=output,
            num_threads=options.num_threads,
            prefetch_batches=options.prefetch_batches,
            prefetch_bytes=options.prefetch_bytes,
            wrap=consumer_type(output),
            pin=_torch.pin_functions() if options.pin_memory else None,
        )
        self._plan, self._progress, self._worker, self._placement = plan, progress, find_worker(), placement
        self.final_stats = {}
        cursor, epoch = progress.begin(self._worker)
        self._begin(cursor, epoch)
        return self

    def _begin(self, cursor: Cursor | None, epoch: int) -> None:
        plan, placement = self._plan, self._placement
        remainder, epochs = plan.remainder_for(placement.num_shards), plan.epochs_per_pass
        begun = Beginning.of(plan, placement, cursor, epoch)
        decided = packed_steps(plan, placement, begun, cursor)
        agreed = decided.steps
        deal, lanes, done = begun.deal, begun.lanes, begun.done
        skipped = (cursor or {}).get("skipped_rows", 0)
        first, last = plan.pipeline.batches
        steps_before = deal.share(deal.steps_before) + done
        num_skipped = max(deal.share(first) - steps_before, 0)
        ends = [end for end in (agreed, None if last is None else deal.share(last)) if end is not None]
        left_out, before = begun.own_steps_left_out(plan, placement), steps_before + num_skipped
        left = max(min(ends) - before, 0) if ends else None
        self.begin(
            first_epoch=begun.first_epoch,
            num_epochs=epochs,
            positions=packed_positions(plan),
            epoch_samples=required_samples(plan, begun.first_epoch),
            lanes=[lane.plain for lane in lanes],
            samples=plan.pipeline.samples,
            deal=decided.deal,
            skip_steps=num_skipped,
            left_out=[(max(first - before, 0), end - before) for first, end in left_out if end > before],
            max_steps=left,
            is_agreed=agreed is not None,
            remainder=remainder,
            skipped=skipped,
            receipt=begin_receipt(cursor, deal.consumer),
        )
        next_epoch = begun.first_epoch + (epochs or 1)
        if begun.is_over or (agreed is not None and left == 0):
            # As in PositionIterator: after a pass that begins at its end comes the next epoch.
            self._progress.board.finish(self._worker, next_epoch)
        if agreed == 0 and cursor is None and begun.lanes:
            _warn_of_nothing(placement, remainder)
        known = begun.places(plan, placement)
        if agreed is not None and left is not None and (remainder == "pad" or decided.deal is not None):
            known.padded_to = (done + num_skipped + left, next_epoch - 1)
        if decided.deal is not None:
            known.dealt = DEAL_VERSION
        # The progress keeps the places, not this iterator: when a loop is left, its threads end with it.
        self._current = current = functools.partial(_cursor_of, known, done, num_skipped, self.places)
        self._progress.follow(current)
        self.places.on_finish(functools.partial(self._progress.finish, self._worker, next_epoch, current))


def packed_iterator(plan: Plan, progress: Progress, options: ReadOptions) -> PackedIterator | StagedIterator:
    """The iterator over packed samples, with what Python does to them behind it."""
    stream = PackedIterator(plan, progress, options)
    pipeline = plan.pipeline
    is_plain = plan.batch_size is not None and _shown_as(plan) in ("torch", "numpy")
    if is_plain and not pipeline.row_stages and not pipeline.batch_stages:
        return stream
    return StagedIterator(stream, functools.partial(_staged, plan))


def packed_schema(plan: Plan) -> pa.Schema:
    """The columns of a packed sample: lists of ``seq_len`` integers, and the cuts where they are asked for."""
    import pyarrow

    pack = _pack_of(plan)
    fields = [
        pyarrow.field(name, pyarrow.list_(_arrow_type(dtype), pack.seq_len))
        for name, dtype in _dtypes(plan, packed_sources(plan), of_samples=True).items()
    ]
    if pack.cu_seqlens:
        fields.append(pyarrow.field("cu_seqlens", pyarrow.list_(pyarrow.int32())))
        fields.append(pyarrow.field("max_seqlen", pyarrow.int32()))
    return pyarrow.schema(fields)


def _cursor_of(known: LanePlaces, done: int, num_skipped: int, places: _rust.LanePlaces) -> Cursor:
    if places.num_steps:
        # Steps that .skip leaves out are behind the first one that was returned.
        known.num_steps = done + num_skipped + places.num_steps
        known.lanes = [
            Lane(lane.index, *place, sources)
            for lane, place, sources in zip(known.lanes, places.lanes, places.sources, strict=True)
        ]
    known.num_skipped = places.num_skipped
    known.receipt = functools.partial(receipt_of, places.receipt)
    return known.cursor()


def _warn_of_nothing(placement: Placement, remainder: str) -> None:
    warnings.warn(
        f"no rank yields anything: there are not enough samples for a step of all {placement.num_shards} ranks, and "
        f'remainder={remainder!r} leaves them out; "keep" or "pad" hand them out',
        stacklevel=2,
    )


def _pack_of(plan: Plan) -> Pack:
    pack = plan.pipeline.pack
    assert pack is not None, "only packed pipelines come here"
    return pack


def _check_flat(plan: Plan) -> None:
    pack = _pack_of(plan)
    if pack.flatten and pack.cu_seqlens and plan.batch_size is not None and _shown_as(plan) == "arrow":
        raise SchemaMismatchError(
            "a flattened batch has fewer cuts than tokens, and columns of an Arrow batch have one length; leave out "
            'cu_seqlens=True or flatten=True, or take .with_format("numpy")'
        )


def _shown_as(plan: Plan) -> str:
    return plan.full_format.batch_name if plan.batch_size is not None else plan.full_format.row_name


def _dtypes(plan: Plan, sources: Sequence[PackedSource], *, of_samples: bool = False) -> dict[str, str]:
    """Element type of each column: int64 for torch, ids as they are stored for others, unless asked otherwise."""
    pack, shown = _pack_of(plan), "arrow" if of_samples else _shown_as(plan)
    asked = dict(plan.full_format.dtypes)
    columns = ((dict(table.numeric_dtypes(False)), column) for table, _, column, *_ in sources)
    stored = np.result_type(*(known.get(column) or known.get(INPUT_IDS, "uint32") for known, column in columns)).name
    defaults = dict.fromkeys(pack.names, "int64") | ({"loss_mask": "bool"} if pack.loss_mask else {})
    if shown != "torch":
        defaults["input_ids"] = stored
    unknown = [name for name in asked if name and name not in defaults]
    if unknown:
        raise SchemaMismatchError(f"there is no column {unknown[0]!r}; packed samples have {', '.join(defaults)}")
    everywhere = asked.get("")
    chosen = {
        name: asked.get(name, everywhere if everywhere and name != "loss_mask" else default)
        for name, default in defaults.items()
    }
    return {name: chosen[name] for name in pack.names}


def _arrow_type(dtype: str) -> pa.DataType:
    import pyarrow

    return pyarrow.bool_() if dtype == "bool" else pyarrow.from_numpy_dtype(np.dtype(dtype))


def _staged(plan: Plan, batch: dict[str, Any]) -> Any:
    """What Python makes of a batch: functions of single samples, the format, functions of batches."""
    pipeline, shown = plan.pipeline, _shown_as(plan)
    if pipeline.row_stages:
        rows = list(_samples(batch))
        for stage in pipeline.row_stages:
            rows = [stage.row(row) for row in rows]  # type: ignore[union-attr]
        if plan.batch_size is None:
            return _one(rows[0], shown)
        made: Any = collate(rows, plan.full_format)
    elif plan.batch_size is None:
        return _one(next(_samples(batch)), shown)
    else:
        made = _formatted(batch, shown)
    for stage in pipeline.batch_stages:
        made = stage.row(made)  # type: ignore[union-attr]
    return made


def _samples(batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for at in range(len(batch["input_ids"])):
        yield {name: values[at] for name, values in batch.items()}


def _one(sample: dict[str, Any], shown: str) -> Any:
    if shown == "python":
        return {name: _plain(value) for name, value in sample.items()}
    if shown == "arrow":
        return _formatted({name: [value] for name, value in sample.items()}, shown)
    return sample


def _formatted(batch: dict[str, Any], shown: str) -> Any:
    if shown == "python":
        return {name: _plain(values) for name, values in batch.items()}
    if shown != "arrow":
        return batch
    import pyarrow

    arrays = {name: _arrow_column(values) for name, values in batch.items()}
    return pyarrow.RecordBatch.from_pydict(arrays)


def _arrow_column(values: Any) -> pa.Array:
    import pyarrow

    if not isinstance(values, np.ndarray):
        if not all(isinstance(value, np.ndarray) for value in values):
            return pyarrow.array(values, pyarrow.int32())
        if len({len(value) for value in values}) > 1 or values[0].dtype == np.int32:
            return pyarrow.array(values)
        values = np.stack(values)
    if values.ndim == 1:
        return pyarrow.array(values)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values.reshape(-1)), values.shape[1])


def _plain(values: Any) -> Any:
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return values.tolist() if isinstance(values, np.ndarray) else values
