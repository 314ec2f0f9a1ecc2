"""What a chain of stages means: compiled once from the chain, read by loaders and cursors.

Stages before the first Python function become a projection and ranges that Rust reads by; what follows
stays a list of functions for the consuming process. A filter or a batched map makes the pipeline *laned*:
its samples depend on the data, so each lane of the order is a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from rowmill import _rust
from rowmill.exceptions import SchemaMismatchError
from rowmill.file_lanes.source import refuse
from rowmill.stages import Batch, Cached, Clip, Filter, Map, OfSources, Pack, Pad, Rename, Select, Stage, Tokenize
from rowmill.stages.cached import reading_of
from rowmill.stages.clip import clip_range
from rowmill.stages.pack import PACK_VERSION
from rowmill.stages.tokenize import INPUT_IDS

__all__ = ["Pipeline", "compile_pipeline"]

Columns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Pipeline:
    """A compiled chain.

    Attributes:
        columns: (stored name, name) of each column that Rust reads.
        rows: Range of row ids, in storage order, that the order is drawn over.
        positions: Range of positions of each epoch's order; a stop of None is the epoch's end.
        tokenize: What makes ids of the rows that Rust reads, if anything does.
        pack: What makes sequences of their ids, if anything does.
        packs_python_rows: Whether these are rows that Python functions have made: their stages are no part of this.
        row_stages: Python stages on single rows (or packed samples), before any batch.
        pad: How rows of tokens become batches of one width, if they do.
        samples: Range of the samples of a laned pipeline; None is the end.
        batch: The batch stage, if there is one.
        batches: Range of this rank's batches; None is the end.
        batch_stages: Python stages on whole batches.
        stored_by: What made the ids that are read from a cache, if anything did.
        is_over_files: Whether lanes are over files that were not looked at.
        is_cached: Whether what is read comes out of a cache, or will once that is whole.
        description: One short text a stage that changes what is yielded; stands in every cursor.
    """

    columns: Columns
    rows: tuple[int, int]
    positions: tuple[int, int | None] = (0, None)
    tokenize: Tokenize | None = None
    pack: Pack | None = None
    packs_python_rows: bool = False
    row_stages: tuple[Stage, ...] = ()
    samples: tuple[int, int | None] = (0, None)
    pad: Pad | None = None
    batch: Batch | None = None
    batches: tuple[int, int | None] = (0, None)
    batch_stages: tuple[Stage, ...] = ()
    stored_by: Tokenize | None = None
    is_cached: bool = False
    is_over_files: bool = False
    description: tuple[str, ...] = field(default=())

    @property
    def column_names(self) -> list[str]:
        """The columns that the engine hands out, before any Python stage."""
        if self.pack is not None:
            return self.pack.names
        if self.tokenize is not None:
            return [INPUT_IDS, *self.tokenize.kept]
        return [name for _, name in self.columns]

    @property
    def token_column(self) -> str:
        """The column that documents' token ids are in, made here or stored."""
        return INPUT_IDS if self.tokenize is not None or self.pack is None else self.pack.column

    @property
    def is_laned(self) -> bool:
        """Whether what is yielded depends on what is in the data, so that each lane keeps its own place."""
        return (
            self.pack is not None
            or self.is_over_files
            or any(isinstance(stage, Filter) or (isinstance(stage, Map) and stage.batched) for stage in self.row_stages)
        )

    @property
    def padding(self) -> _rust.Padding | None:
        """How the engine pads, if it is to: rows that Python functions make are padded behind them."""
        is_made = any(not (isinstance(stage, Filter) and stage.is_expression) for stage in self.row_stages)
        return None if self.pad is None or is_made else self.pad.rust

    @property
    def needs_python_rows(self) -> bool:
        """Whether rows pass through Python functions before they are batched."""
        return bool(self.row_stages) or self.packs_python_rows

    @property
    def group_size(self) -> int:
        """Rows of a lane that pass through the batched functions together; 1 without any."""
        return max(
            (stage.batch_size for stage in self.row_stages if isinstance(stage, Map) and stage.batched), default=1
        )

    @property
    def is_grouped(self) -> bool:
        """Whether rows pass through batched functions, which may make several of one: of a group of one row, too."""
        return any(isinstance(stage, Map) and stage.batched for stage in self.row_stages)


def compile_pipeline(
    stages: tuple[Stage, ...],
    stored: list[str],
    num_rows: int,
    *,
    packed: Pack | None = None,
    made_by: tuple[Stage, ...] = (),
    is_over_files: bool = False,
) -> Pipeline:
    """Compiles ``stages`` over a dataset of ``num_rows`` rows with the columns ``stored``.

    Of a mix of sources that are packed already, ``packed`` says how. Where the columns are those of a cache,
    ``made_by`` are the stages that made its rows.

    Raises:
        SchemaMismatchError: A stage names a column that is not there, or cannot stand where it does.
    """
    stored_by = next((stage for stage in reversed(made_by) if isinstance(stage, Tokenize)), None)
    columns = tuple((name, name) for name in stored)
    pipeline = Pipeline(
        columns, (0, num_rows), stored_by=stored_by, is_cached=bool(made_by), is_over_files=is_over_files
    )
    if packed is not None:
        # How each source is packed stands with the source.
        pipeline = replace(pipeline, pack=packed, description=(f"packed({packed.seq_len},v{PACK_VERSION})",))
    for stage in stages:
        pipeline = _ADD[type(stage)](pipeline, stage)
    return pipeline


def _add_columns(pipeline: Pipeline, stage: Select | Rename) -> Pipeline:
    if pipeline.batch is not None:
        return _described(replace(pipeline, batch_stages=(*pipeline.batch_stages, stage)), stage)
    _refuse_padded(pipeline, stage.describe())
    _refuse_flat(pipeline, stage.describe())
    if pipeline.row_stages or pipeline.tokenize is not None or pipeline.pack is not None:
        return _described(replace(pipeline, row_stages=(*pipeline.row_stages, stage)), stage)
    # Which columns are read does not change which rows come when: no part of the description.
    return replace(pipeline, columns=tuple(stage.columns(list(pipeline.columns))))


def _add_clip(pipeline: Pipeline, clip: Clip) -> Pipeline:
    if pipeline.batch is not None:
        return _described(replace(pipeline, batches=_open_clip(pipeline.batches, clip)), clip)
    if pipeline.is_laned:
        return _described(replace(pipeline, samples=_open_clip(pipeline.samples, clip)), clip)
    if clip.shuffled or pipeline.positions != (0, None):
        return _described(replace(pipeline, positions=_open_clip(pipeline.positions, clip)), clip)
    return _described(replace(pipeline, rows=clip_range(pipeline.rows, clip)), clip)


def _add_function(pipeline: Pipeline, stage: Map | Filter) -> Pipeline:
    if pipeline.batch is None:
        _refuse_padded(pipeline, stage.describe())
        if pipeline.pack is not None and (isinstance(stage, Filter) or stage.batched):
            raise SchemaMismatchError(
                f"{stage.describe()} stands after .pack and would change how many samples a lane has; put it before "
                ".tokenize or .pack"
            )
        _refuse_flat(pipeline, stage.describe())
        if pipeline.samples != (0, None) and pipeline.pack is None:
            raise SchemaMismatchError(
                "take and skip after a filter must come after all other filters and maps; move them to the end"
            )
        if isinstance(stage, Filter) and stage.is_expression:
            reading = reading_of(pipeline.row_stages)
            # The types that it finds in the cache, once that is whole, and not those of a row's values.
            stage = replace(stage, schema=reading.schema if reading is not None and reading.is_raw else None)
        return _described(replace(pipeline, row_stages=(*pipeline.row_stages, stage)), stage)
    if isinstance(stage, Filter) or stage.batched:
        raise SchemaMismatchError(
            f"{stage.describe()} stands after .batch and would change the number of rows of a step; "
            "put it before .batch"
        )
    return _described(replace(pipeline, batch_stages=(*pipeline.batch_stages, stage)), stage)


def _add_of_sources(pipeline: Pipeline, stage: OfSources) -> Pipeline:
    return _described(replace(pipeline, row_stages=(stage,)), stage)


def _add_tokenize(pipeline: Pipeline, stage: Tokenize) -> Pipeline:
    if pipeline.batch is not None or pipeline.pack is not None:
        raise SchemaMismatchError("tokenize makes ids of single rows; put it before .pack and .batch")
    if pipeline.tokenize is not None:
        raise SchemaMismatchError("the rows are token ids already; .tokenize stands once in a chain")
    _refuse_padded(pipeline, ".tokenize")
    if pipeline.row_stages or stage.tokenizer.function is not None:
        return _described(replace(pipeline, row_stages=(*pipeline.row_stages, stage)), stage)
    stage.check([name for _, name in pipeline.columns])
    stored = {name: source for source, name in pipeline.columns}
    columns = tuple((stored[name], name) for name in stage.columns)
    return _described(replace(pipeline, columns=columns, tokenize=stage), stage)


def _add_pack(pipeline: Pipeline, stage: Pack) -> Pipeline:
    if pipeline.batch is not None or pipeline.pack is not None:
        raise SchemaMismatchError("pack makes samples of documents; it stands once in a chain, before .batch")
    _refuse_padded(pipeline, ".pack")
    is_grouped = any(isinstance(one, Map) and one.batched for one in pipeline.row_stages)
    in_python = bool(pipeline.row_stages) or pipeline.is_over_files
    if pipeline.samples != (0, None) or is_grouped or (in_python and (stage.cu_seqlens or stage.flatten)):
        raise SchemaMismatchError(
            "pack takes the rows of files or of .tokenize, and those of .map and .filter row by row, not yet those of "
            "batched functions, of .take or .skip after a filter, or with cu_seqlens (nor that with lanes over files); "
            "write what they make once, with rowmill.convert or datasets, and pack that"
        )
    if pipeline.tokenize is None and not pipeline.row_stages:
        chosen = tuple((stored, name) for stored, name in pipeline.columns if name == stage.column)
        if not chosen:
            names = ", ".join(name for _, name in pipeline.columns)
            raise SchemaMismatchError(
                f"there is no column {stage.column!r} of token ids to pack; the columns are {names}. .tokenize makes "
                "ids of text, .pack(..., column=NAME) takes those of another column"
            )
        pipeline = replace(pipeline, columns=chosen)
    if in_python:
        pipeline = replace(pipeline, row_stages=(), packs_python_rows=True)
    return _described(replace(pipeline, pack=stage), stage)


def _add_cached(pipeline: Pipeline, stage: Cached) -> Pipeline:
    if pipeline.is_over_files:
        refuse("how many rows a cache would have")
    # What Python functions make has another type in Arrow; what the engine makes comes back as it was.
    stages = (*pipeline.row_stages, stage) if pipeline.row_stages else ()
    return replace(pipeline, row_stages=stages, is_cached=True)


def _add_batch(pipeline: Pipeline, stage: Batch) -> Pipeline:
    if pipeline.batch is not None:
        raise SchemaMismatchError("the dataset is batched already; .batch stands once in a chain")
    if not stage.group_steps:
        return replace(pipeline, batch=stage)
    _check_groups(pipeline, stage)
    return _described(replace(pipeline, batch=stage), stage)


def _check_groups(pipeline: Pipeline, stage: Batch) -> None:
    """Rows are dealt by length before any Python function sees them."""
    if pipeline.is_laned:
        raise SchemaMismatchError(
            "group_by_length deals rows by their positions, and a filter, batched map or .pack decides by the data "
            "which rows there are; leave it out"
        )
    if pipeline.is_cached and (pipeline.row_stages or stage.length_column != INPUT_IDS):
        raise SchemaMismatchError(
            "group_by_length deals rows by what is stored before they are made, and behind a cache that is not waited "
            "for they are made anew: let .cache(...) wait for it, or group by the ids of .tokenize"
        )
    names = [*pipeline.column_names, *(name for _, name in pipeline.columns)]
    if stage.length_column not in names:
        raise SchemaMismatchError(
            f"there is no column {stage.length_column!r} to group rows by before Python functions run; the columns are "
            f"{', '.join(dict.fromkeys(names))}. length_column=NAME chooses one: a list, a text, or a number"
        )


def _add_pad(pipeline: Pipeline, stage: Pad) -> Pipeline:
    if pipeline.pad is not None:
        raise SchemaMismatchError("the rows are padded already; .pad stands once in a chain")
    if pipeline.pack is not None:
        raise SchemaMismatchError("packed samples have one length already; .pad is for rows that are not packed")
    if pipeline.batch_stages:
        raise SchemaMismatchError(
            ".pad stands after functions of whole batches, whose rows would differ in length; put it before them"
        )
    in_python = [one for one in pipeline.row_stages if isinstance(one, Tokenize)]
    tokenize = in_python[-1] if in_python else pipeline.tokenize or pipeline.stored_by
    if not pipeline.row_stages and stage.column not in pipeline.column_names:
        raise SchemaMismatchError(
            f"there is no column {stage.column!r} of token ids to pad; the columns are "
            f"{', '.join(pipeline.column_names)}. .tokenize makes ids of text, .pad(column=NAME) takes those of "
            "another column"
        )
    # Which rows come when stays as it is: no part of the description.
    return replace(pipeline, pad=stage.after(tokenize))


def _refuse_padded(pipeline: Pipeline, what: str) -> None:
    if pipeline.pad is not None:
        raise SchemaMismatchError(
            f"{what} stands between .pad and .batch, where rows have no common width yet; put it before .pad, or after "
            ".batch"
        )


def _refuse_flat(pipeline: Pipeline, what: str) -> None:
    if pipeline.pack is not None and pipeline.pack.flatten:
        raise SchemaMismatchError(
            f"{what} takes single samples, and flatten=True makes one sequence of those of a batch; put it after "
            ".batch, where it takes the batch, or leave out flatten=True"
        )


_ADD: dict[type, Callable[[Pipeline, Any], Pipeline]] = {
    Select: _add_columns,
    Rename: _add_columns,
    Clip: _add_clip,
    Map: _add_function,
    OfSources: _add_of_sources,
    Filter: _add_function,
    Tokenize: _add_tokenize,
    Pack: _add_pack,
    Pad: _add_pad,
    Batch: _add_batch,
    Cached: _add_cached,
}


_Told = Select | Rename | Clip | Map | Filter | OfSources | Tokenize | Pack | Batch


def _described(pipeline: Pipeline, stage: _Told) -> Pipeline:
    return replace(pipeline, description=(*pipeline.description, stage.describe()))


def _open_clip(outer: tuple[int, int | None], clip: Clip) -> tuple[int, int | None]:
    """``clip`` applied to a range whose end may not be known yet."""
    start, stop = outer
    first, last = clip_range((start, _FAR if stop is None else stop), clip)
    return first, None if last == _FAR else last


_FAR = 1 << 62
