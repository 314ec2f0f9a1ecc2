"""What a Dataset is made of: its source, the chain of stages and the settings; immutable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from rowmill import _rust
from rowmill.cursor import Identity
from rowmill.exceptions import SchemaMismatchError
from rowmill.file_lanes.source import FileSource, refuse
from rowmill.left_out import Ranges
from rowmill.mixing.source import MixedSource
from rowmill.pipeline import Pipeline, compile_pipeline
from rowmill.placement import Placement
from rowmill.source import OpenedSource
from rowmill.stages import Cached, OfSources, Pack, Stage
from rowmill.stages.cached import reading_of
from rowmill.stages.of_sources import SOURCE
from rowmill.values import Format

__all__ = ["MixOrder", "Mode", "OrderSettings", "Plan"]

Mode = Literal["window", "shard", "row", "none"]

# What stands for the end of a mix that has none: far beyond what is read in a lifetime.
_FAR = 1 << 60

WINDOW_BYTES = 16 << 20
NUM_LANES = 64


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """Settings of the order; the default is storage order over one lane. ``lanes_over`` is "files" or None for rows."""

    mode: Mode | Literal["mix"] = "none"
    seed: int = 0
    num_lanes: int = 1
    window_bytes: int = WINDOW_BYTES
    reshuffle_each_epoch: bool = True
    lanes_over: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As it stands in a cursor."""
        return {
            "mode": self.mode,
            "seed": self.seed,
            "num_lanes": self.num_lanes,
            "window_bytes": self.window_bytes,
            "reshuffle_each_epoch": self.reshuffle_each_epoch,
            **({} if self.lanes_over is None else {"lanes_over": self.lanes_over}),
        }


@dataclass(frozen=True, slots=True)
class MixOrder(OrderSettings):
    """The order of a mix: its schedule's seed, and the lanes of its sources, which have their own settings."""

    def as_dict(self) -> dict[str, Any]:
        """As it stands in a cursor."""
        return {"mode": self.mode, "seed": self.seed, "num_lanes": self.num_lanes}


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a dataset yields.

    ``num_epochs`` None is one epoch a pass, 0 an endless stream, otherwise so many epochs a pass. ``is_dealt`` says
    that somebody else has dealt the rows among DataLoader workers already, as HF's IterableDataset does. Nobody takes
    ``skipped_steps``, global steps of a pass. ``cached`` is the cache of the last ``Cached`` stage, whole, whose blocks
    have the rows of the source's: the order is the source's, and the rows are read from there.
    """

    source: OpenedSource | MixedSource | FileSource
    stages: tuple[Stage, ...] = ()
    order: OrderSettings = OrderSettings()
    is_shuffled: bool = False
    rank: tuple[int, int] | None = None
    remainder: str | None = None
    num_epochs: int | None = None
    format: Format = Format()  # noqa: RUF009 - frozen, as the other defaults
    is_dealt: bool = False
    skipped_steps: Ranges = ()
    cached: OpenedSource | None = None

    def with_(self, **changes: Any) -> Plan:
        """A copy with these fields changed."""
        return replace(self, **changes)

    def with_stage(self, stage: Stage) -> Plan:
        """A copy with one more stage; compiled at once, so that a mistake shows where it is made."""
        plan = replace(self, stages=(*self.stages, stage))
        if not isinstance(self.source, FileSource) or self.source.is_looked_into:
            _ = plan.pipeline
        return plan

    @cached_property
    def pipeline(self) -> Pipeline:
        """The compiled chain."""
        source = self.source.rust
        if isinstance(self.source, FileSource):
            files = len(self.source.files)
            return compile_pipeline(self.stages, source.column_names, files, is_over_files=True)
        if isinstance(self.source, MixedSource) and self.source.pack is not None:
            return compile_pipeline(self.stages, [], source.num_rows, packed=self.source.pack)
        if self.cached is None:
            return compile_pipeline(self.stages, source.column_names, source.num_rows)
        at = 1 + max(at for at, stage in enumerate(self.stages) if isinstance(stage, Cached))
        made_by, columns = self.stages[:at], self.cached.rust.column_names
        compiled = compile_pipeline(self.stages[at:], columns, source.num_rows, made_by=made_by)
        # As without the cache, so that samples have the same types.
        return replace(compiled, packs_python_rows=self.uncached.pipeline.packs_python_rows)

    @cached_property
    def uncached(self) -> Plan:
        """The same without what is whole by now of its cache: what it is, however it is read."""
        return self if self.cached is None else replace(self, cached=None)

    @cached_property
    def document_plan(self) -> Plan:
        """What stands before ``.pack``: where the documents come from."""
        at = next(at for at, stage in enumerate(self.stages) if isinstance(stage, Pack))
        return self.with_(stages=self.stages[:at])

    @cached_property
    def rust_order(self) -> _rust.Order:
        """The order over the rows that the chain leaves."""
        if isinstance(self.source, FileSource):
            return self.source.order(self.order)
        order, (start, stop) = self.order, self.pipeline.rows
        if isinstance(self.source, MixedSource):
            return self.source.order(self.num_epochs == 0 or self.mixes_tokens)
        return self.source.rust.order(
            order.mode,
            seed=order.seed,
            num_lanes=order.num_lanes,
            window_bytes=order.window_bytes,
            reshuffle_each_epoch=order.reshuffle_each_epoch,
            row_start=start,
            row_stop=stop,
        )

    def table(self, io: str = "auto", *, of_objects: bool = False, for_stages: bool = False) -> _rust.Table:
        """The columns that Rust reads, tokenized where the chain says so.

        ``of_objects`` says that nothing but Python objects is made of their rows, ``for_stages`` that the chain's own
        functions are what gets them.

        Raises:
            SchemaMismatchError: Packed sources are mixed, each of which has columns of its own.
        """
        if self.mixes_samples:
            raise SchemaMismatchError(
                "a mix of packed sources hands out samples, and the rows behind them are its sources' own; ask the "
                "dataset of a source for them"
            )
        columns, tokenize = list(self.pipeline.columns), self.pipeline.tokenize
        if for_stages and isinstance(self.source, MixedSource) and isinstance(next(iter(self.stages), None), OfSources):
            told: _rust.Table = self.source.rust.table(columns, io, origin=SOURCE)
            return told
        source = self.source if self.cached is None else self.cached
        if of_objects and tokenize is None and self.groups is None and not self.is_mixed:
            return source.rust.table(columns, io, of_objects=True)
        table = source.rust.table(columns, io)
        if tokenize is None:
            return table
        return table.encoded(
            tokenizer=tokenize.tokenizer.rust,
            parts=list(tokenize.parts),
            bos=tokenize.bos,
            eos=tokenize.eos,
            kept=list(tokenize.kept),
        )

    def lanes_for(self, mode: str, asked: int | None) -> int:
        """The lanes of a shuffle by ``mode`` for which so many are asked."""
        usual = 1 if mode == "none" else NUM_LANES
        if isinstance(self.source, FileSource):
            return self.source.num_lanes(mode, asked, usual)
        return asked or usual

    def refuse_files(self, what: str) -> None:
        """Raises SchemaMismatchError where lanes are over files, and only all their footers would tell ``what``."""
        if self.is_over_files:
            refuse(what)

    def engine_files(self, io: str, placement: Placement) -> _rust.Files | None:
        """The files that lanes are over, of which the placement has its share; None where lanes are over rows."""
        if not isinstance(self.source, FileSource):
            return None
        num_lanes = self.order.num_lanes // (placement.num_shards * placement.num_workers)
        return self.source.engine_files(self.pipeline.columns, self.order, io, num_lanes)

    @cached_property
    def identity(self) -> Identity:
        """What cursors of this plan belong to."""
        source, origin = self.source, self.source.options.origin
        mix = replace(self.source.history, stopping=self.stopping) if isinstance(self.source, MixedSource) else None
        return Identity(
            source.fingerprint,
            None if self.is_over_files else source.rust.num_rows,
            self.order.as_dict(),
            self.uncached.pipeline.description,
            origin,
            None if mix is None else mix.as_cursor(),
            self.source.revisions if isinstance(self.source, MixedSource) else {},
        )

    @property
    def is_over_files(self) -> bool:
        """Whether lanes are over files, of which nothing is known before their turn comes."""
        return isinstance(self.source, FileSource)

    @property
    def is_mixed(self) -> bool:
        """Whether this is a mix of sources."""
        return isinstance(self.source, MixedSource)

    @property
    def mixes_samples(self) -> bool:
        """Whether this is a mix of packed sources, each sample of which is of one of them."""
        return isinstance(self.source, MixedSource) and self.source.pack is not None

    @property
    def mixes_tokens(self) -> bool:
        """Whether this is a mix in which weights are shares of tokens."""
        return isinstance(self.source, MixedSource) and self.source.unit == "tokens"

    @property
    def stopping(self) -> str:
        """When a mix ends; of one that is repeated, never."""
        assert isinstance(self.source, MixedSource), "only a mix has a rule of its own"
        return self.source.stopping(self.num_epochs == 0)

    @property
    def has_end(self) -> bool:
        """Whether an epoch of the order has one: that of a mix may not."""
        if self.mixes_samples or self.mixes_tokens:
            return self.stopping != "repeat"
        return self.rust_order.num_positions is not None

    @property
    def position_range(self) -> tuple[int, int]:
        """The positions of each epoch that are read."""
        num_rows = self.pipeline.rows[1] - self.pipeline.rows[0]
        if self.is_mixed:
            # How many samples packed sources have is not the order's to say.
            known = None if self.mixes_samples else self.rust_order.num_positions
            num_rows = _FAR if known is None else known
        start, stop = self.pipeline.positions
        stop = num_rows if stop is None else min(stop, num_rows)
        return min(start, stop), stop

    def left_out(self, step: int) -> Ranges:
        """Positions of a pass that nobody takes, where a step of the job has ``step`` of them."""
        # Counted from the first step that there is, as a loop counts them.
        first = self.pipeline.batches[0]
        return tuple(((first + start) * step, (first + end) * step) for start, end in self.skipped_steps)

    @property
    def epochs_per_pass(self) -> int | None:
        """Epochs of one pass; None is endless."""
        if self.position_range[1] == _FAR and not (self.mixes_samples and self.has_end):
            if self.num_epochs:
                raise SchemaMismatchError(
                    f"the mix never ends (stopping={self.stopping!r}), so it has no {self.num_epochs} epochs; leave "
                    ".repeat out, and have .take(steps) after .batch end it"
                )
            return None
        return {None: 1, 0: None}.get(self.num_epochs, self.num_epochs)

    @property
    def groups(self) -> tuple[int, str, int] | None:
        """(steps of a run, column, seed) by which rows are grouped by length."""
        batch = self.pipeline.batch
        if batch is None or not batch.group_steps:
            return None
        return batch.group_steps, batch.length_column, self.order.seed

    @property
    def batch_size(self) -> int | None:
        """Rows of a rank's batch, None without batches."""
        return None if self.pipeline.batch is None else self.pipeline.batch.batch_size

    def remainder_for(self, num_shards: int) -> str:
        """What becomes of the last rows: as asked, else "drop" on several ranks and "keep" on one."""
        batch = self.pipeline.batch
        asked = batch.remainder if batch is not None and batch.remainder else self.remainder
        return asked or ("drop" if num_shards > 1 else "keep")

    @cached_property
    def full_format(self) -> Format:
        """The format, with the fill values that .batch was given and the stored types that functions should keep."""
        batch, chosen = self.pipeline.batch, self.format
        if batch is not None and batch.fill_null is not None:
            fills = batch.fill_null if isinstance(batch.fill_null, dict) else {"": batch.fill_null}
            chosen = replace(chosen, fill_null=tuple({**dict(chosen.fill_null), **fills}.items()))
        if not self.pipeline.row_stages or self.pipeline.pack is not None:
            return chosen
        reading = reading_of(self.pipeline.row_stages)
        types = (reading or self.table()).numeric_dtypes(chosen.batch_name == "torch")
        schema = reading.schema.serialize().to_pybytes() if reading is not None and reading.is_raw else None
        return replace(chosen, stored=tuple(types), schema=schema)

    def __getstate__(self) -> dict[str, Any]:
        # Compiled parts hold what does not pickle, and are cheap to make again.
        return {name: value for name, value in self.__dict__.items() if name in self.__dataclass_fields__}
