"""Samples packed of documents that Python functions make: each lane packs its own, as Rust's packed lanes do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rowmill import _rust
from rowmill.exceptions import SchemaMismatchError
from rowmill.file_lanes.reader import lane_reader
from rowmill.lanes import Lane, lane_rows
from rowmill.plan import Plan
from rowmill.stages import Tokenize
from rowmill.token_index import window_counts

__all__ = ["DocumentPacker"]

# Passes of a lane through the data without a token, after which an endless stream is not going to have one.
_EMPTY_EPOCHS = 16

# Rows of a lane in an epoch, or of a file, are far fewer: an epoch (or the visit of a file) and a row in one number,
# which grows from document to document.
_ROWS = 1 << 40


class DocumentPacker:
    """Reads lanes of a plan whose documents pass through Python functions before they are packed.

    A lane's place is (first row whose document is not wholly emitted, tokens emitted of it) with "concat", and (first
    row of the group, samples emitted from it) with "best_fit": a resume makes the documents from there once more.
    """

    def __init__(self, plan: Plan, rust: _rust.Lanes) -> None:
        pack = plan.pipeline.pack
        assert pack is not None, "only packed pipelines come here"
        window_counts(plan)
        self._plan, self._pack = plan, pack
        self._documents = plan.document_plan
        self._reader = lane_reader(self._documents, rust)
        tokenize = next((stage for stage in reversed(self._documents.stages) if isinstance(stage, Tokenize)), None)
        self._pad_id = pack.pad_id(None if tokenize is None else tokenize.eos)

    def announce(self, lanes: Sequence[Lane], first_epoch: int) -> None:
        """Says before the first sample which lanes will be read."""
        self._reader.announce(lanes, first_epoch)

    def samples(self, lane: Lane, first_epoch: int) -> Iterator[dict[str, Any]]:
        """The samples of ``lane`` from its place on; ``lane`` moves along with what has been taken."""
        pack, stages = self._pack, self._plan.pipeline.row_stages
        packer = _rust.LanePacker(
            mode=pack.mode,
            seq_len=pack.seq_len,
            taken=lane.emitted,
            labels=pack.labels,
            pad_id=self._pad_id,
            columns=pack.names,
        )
        num_files = self._reader.files_in(lane)
        for is_last in self._feed(packer, lane, first_epoch):
            while (made := packer.pop()) is not None:
                columns, element, taken, documents = made
                epochs, lane.file = divmod(element // _ROWS, num_files)
                lane.epoch, lane.row, lane.emitted = first_epoch + epochs, element % _ROWS, taken
                lane.num_samples, lane.made_of = lane.num_samples + 1, documents
                row: Any = dict(zip(pack.names, map(_column, pack.names, columns), strict=True))
                for stage in stages:
                    row = stage.row(row)  # type: ignore[union-attr]
                yield row
            if is_last:
                lane.epoch = first_epoch + (self._plan.epochs_per_pass or 0)
                lane.file, lane.row, lane.emitted = 0, 0, 0

    def _feed(self, packer: _rust.LanePacker, lane: Lane, first_epoch: int) -> Iterator[bool]:
        """Gives the packer document after document, then its end; tells after each whether it was the end."""
        order, num_lanes = self._plan.rust_order, self._plan.order.num_lanes
        first, _ = lane_rows(lane.index, num_lanes, self._plan.position_range)
        place = Lane(lane.index, lane.epoch, lane.row, file=lane.file)
        num_files = self._reader.files_in(lane)
        with_token, num_empty = place.epoch, 0
        # A mix without an end has one epoch for ever.
        patience = None if self._plan.has_end else _EMPTY_EPOCHS * self._plan.source.rust.num_rows
        for document in self._reader.samples(place, first_epoch):
            row = place.row - 1  # the reader stands behind the row that it has just handed out
            if self._plan.is_over_files:
                row_id = place.row_id
            else:
                position = (first + row) * num_lanes + lane.index
                row_id = order.row_ids(place.epoch, position, position + 1)[0]
            ids = self._ids(document, row_id)
            visit = (place.epoch - first_epoch) * num_files + place.file
            packer.document(row_id, visit * _ROWS + row, ids.tobytes())
            with_token, num_empty = (place.epoch, 0) if ids.size else (with_token, num_empty + 1)
            is_idle = patience is not None and num_empty > patience
            if is_idle or place.epoch - with_token > _EMPTY_EPOCHS:
                of = f"{num_empty} rows" if is_idle else f"{_EMPTY_EPOCHS} epochs"
                raise SchemaMismatchError(
                    f"the documents of lane {lane.index} held no token in {of}, and an endless stream would wait for "
                    "one for ever; look at what the functions before .pack make"
                )
            yield False
        packer.finish()
        yield True

    def _ids(self, document: Any, row_id: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
        row = document[0].row(document[1]) if isinstance(document, tuple) else document
        column = self._pack.column
        if column not in row:
            raise SchemaMismatchError(
                f"there is no column {column!r} of token ids to pack; the columns are {', '.join(row)}. "
                ".pack(..., column=NAME) takes those of another column"
            )
        ids = np.asarray([] if row[column] is None else row[column])
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise SchemaMismatchError(
                f"column {column!r} holds {row[column]!r:.80}, no list of token ids, for row {row_id}"
            )
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < 1 << 32:
            bad = int(ids.min()) if ids.min() < 0 else int(ids.max())
            raise SchemaMismatchError(
                f"row {row_id} has {bad} among its token ids in column {column!r}, which must be from 0 to "
                f"{(1 << 32) - 1}; look at what the functions before .pack make"
            )
        return ids.astype(np.uint32)


def _column(name: str, values: bytes) -> np.ndarray[Any, Any]:
    column = np.frombuffer(values, np.int64)
    return column.astype(bool) if name == "loss_mask" else column.copy()
