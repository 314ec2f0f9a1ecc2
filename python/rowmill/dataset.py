"""Dataset: an immutable chain over opened shards, and a torch IterableDataset wherever torch is importable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from rowmill.arguments import check_callable, check_remainder, check_row_ids, count, positive
from rowmill.caching.dataset import Caches
from rowmill.counted import Counted
from rowmill.cursor import Cursor, check_cursor
from rowmill.decoders import Decoders, make_decode
from rowmill.describe import describe
from rowmill.equal_steps import packed_total
from rowmill.exceptions import OutOfRangeError, SchemaMismatchError, TopologyError
from rowmill.features import features_of, with_features
from rowmill.interop.exports import Exports
from rowmill.iterators import ReadOptions
from rowmill.left_out import after_taken, as_ranges
from rowmill.loader import Loader
from rowmill.mixing.remix import resumed
from rowmill.mixing.tokens import check_tokens
from rowmill.packed import packed_schema
from rowmill.packed_rows import packed_rows_at
from rowmill.padded import padded_schema
from rowmill.placement import Placement, find_rank, find_worker
from rowmill.plan import Mode, Plan
from rowmill.progress import Progress
from rowmill.receipts import without_share
from rowmill.runs import check_skipped_steps, dealt, make_run, num_items, step_range
from rowmill.shuffling import shuffled_order
from rowmill.stages import Batch, Clip, Filter, Map, Rename, Select, Stage
from rowmill.stages.batch import group_steps
from rowmill.stages.filter import is_expression
from rowmill.states import States, as_cursor, gathered
from rowmill.text import Texts
from rowmill.torch import IterableDatasetBase, dtype_name

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill import _rust

__all__ = ["Dataset"]

_FORMATS = ("python", "numpy", "torch", "arrow")


class Dataset(Texts, Counted, Caches, Exports, IterableDatasetBase):
    """Rows of opened shards and what is to be done with them; every method returns a new dataset.

    Made by ``rowmill.open``. ``iter(ds)`` is ``iter(ds.loader())``.
    """

    def __init__(self, plan: Plan, progress: Progress | None = None) -> None:
        super().__init__()
        self._plan = plan
        self._progress = progress or Progress()

    # What the rows are and in which order they come.

    def shuffle(
        self,
        seed: int | None = 0,
        *,
        mode: Mode = "window",
        window_bytes: int | None = None,
        num_lanes: int | None = None,
        reshuffle_each_epoch: bool = True,
        buffer_size: int | None = None,
    ) -> Dataset:
        """Sets the order of the rows.

        Args:
            seed: Keys every permutation, by its lowest 64 bits; None means 0, so that ranks never disagree.
            mode: "window" (blocks permuted, rows permuted inside windows of blocks: reads stay local), "shard"
                (shards permuted), "row" (one permutation of all rows), or "none" (storage order).
            window_bytes: Bytes of one lane's window, 16 MiB when None.
            num_lanes: Equal cuts of the shuffled sequence that are read in turn: 64 when None, 1 for mode "none".
            reshuffle_each_epoch: False repeats the first epoch's order.
            buffer_size: What scripts tell ``datasets``; without effect, as no buffer is needed: a warning says so.
        """
        order = shuffled_order(
            self._plan,
            seed,
            mode=mode,
            window_bytes=window_bytes,
            num_lanes=num_lanes,
            reshuffle_each_epoch=reshuffle_each_epoch,
            buffer_size=buffer_size,
        )
        return self._with(order=order, is_shuffled=True)

    def shard(self, num_shards: int, index: int, *, remainder: str | None = None) -> Dataset:
        """Makes this rank ``index`` of ``num_shards``, instead of what torch.distributed or RANK/WORLD_SIZE say.

        Args:
            num_shards: Ranks of the job; ``.shard(1, 0)`` switches the partition off.
            index: This rank.
            remainder: For unbatched rows, what becomes of the last ones; see ``batch``.
        """
        if self._plan.rank is not None:
            raise TopologyError(f"the dataset is sharded already, as {self._plan.rank[1]} of {self._plan.rank[0]}")
        num_shards, index = positive("num_shards", num_shards, 1), count("index", index)
        Placement(num_shards, index)
        return self._with(rank=(int(num_shards), int(index)), remainder=check_remainder(remainder))

    def select_columns(self, names: str | Sequence[str]) -> Dataset:
        """Keeps these columns, in this order; the others are not read."""
        return self._with_stage(Select((names,) if isinstance(names, str) else tuple(names)))

    def rename_columns(self, mapping: Mapping[str, str]) -> Dataset:
        """Renames columns; ``mapping`` is from old names to new ones."""
        return self._with_stage(Rename(tuple(mapping.items())))

    def take(self, n: int) -> Dataset:
        """Keeps the first ``n`` rows: of storage order, or of the shuffled order where a shuffle stands before.

        After ``.filter`` it counts samples of all ranks together, after ``.batch`` batches of this rank.
        """
        return self._with_stage(Clip(0, count("n", n), self._plan.is_shuffled))

    def skip(self, n: int) -> Dataset:
        """Leaves out what ``take`` with the same ``n`` keeps."""
        return self._with_stage(Clip(count("n", n), None, self._plan.is_shuffled))

    def repeat(self, num_epochs: int | None = None) -> Dataset:
        """Makes one pass ``num_epochs`` epochs long, endless when None; batches run on across epochs."""
        return self._with(num_epochs=0 if num_epochs is None else positive("num_epochs", num_epochs, 1))

    def skip_steps(self, ranges: Iterable[Sequence[int]]) -> Dataset:
        """Leaves out global steps, as after a spike of the loss; see docs/recipes.

        They stand in every cursor, and may be added where a run goes on from one, as long as they lie ahead.

        Args:
            ranges: Pairs (first, end) of steps counted over a whole pass as if none were left out, the end not among
                them. A step is one batch of every rank (one row, where nothing is batched).
        """
        return self._with(skipped_steps=as_ranges([*self._plan.skipped_steps, *ranges]))

    # What becomes of each row.

    def map(
        self,
        function: Callable[..., Any],
        *,
        batched: bool = False,
        batch_size: int = 1000,
        remove_columns: str | Sequence[str] | None = None,
        fn_kwargs: Mapping[str, Any] | None = None,
    ) -> Dataset:
        """Applies a Python function, as ``datasets`` does: what it returns is merged over the row.

        It runs in the consuming process (a DataLoader worker included). After ``.batch`` it takes whole batches.

        Args:
            function: From a row (a dict) to a dict of new columns or None; with ``batched``, from a dict of lists to
                a dict of lists, of as many rows or not.
            batched: Pass groups of ``batch_size`` rows of a lane. Such a pipeline keeps its place by lanes.
            batch_size: Rows of a group; the last one of a lane may be shorter.
            remove_columns: Input columns that do not stay.
            fn_kwargs: Further arguments of every call.
        """
        check_callable("map", function)
        removed = (remove_columns,) if isinstance(remove_columns, str) else tuple(remove_columns or ())
        size = positive("batch_size", batch_size, 1000)
        return self._with_stage(Map(function, batched, size, removed, dict(fn_kwargs or {})))

    def decode(self, decoders: Decoders = "auto") -> Dataset:
        """Decodes the values of columns by their extension, as WebDataset names them; see docs/formats.

        Args:
            decoders: "auto" (json, text, int, npy, images as Pillow's), the name of an image decoder to use instead
                ("rgb8", "torchrgb"), or by extension the only ones to use: a name or a function of the bytes.
        """
        return self._with_stage(Map(make_decode(decoders, self.column_names)))

    def filter(self, condition: Any) -> Dataset:
        """Keeps the rows for which a ``pyarrow.compute`` expression or a function of the row holds.

        The pipeline then keeps its place by lanes: ranks x workers must divide ``num_lanes``, and ``len`` is unknown.
        """
        if not is_expression(condition):
            check_callable("filter", condition)
        return self._with_stage(Filter(condition))

    def batch(
        self,
        batch_size: int,
        *,
        remainder: str | None = None,
        fill_null: float | Mapping[str, float] | None = None,
        group_by_length: int | bool | None = None,
        length_column: str = "input_ids",
    ) -> Dataset:
        """Puts ``batch_size`` rows of this rank into each step.

        Args:
            batch_size: Rows of each rank a step.
            remainder: "drop" (only full steps), "pad" (the last step is filled with the epoch's first rows) or
                "keep" (a short last step, on some ranks none); "drop" on several ranks and "keep" on one when None.
            fill_null: What stands for a null in a numeric column: one number, or numbers by column name. Without it
                a null there is an error.
            group_by_length: Deal the rows of each run of so many steps (True: 16) to them by length, so that little is
                padding: the same rows in a step on any number of ranks. Every rank reads the whole run.
            length_column: Column whose length counts: of a list, a text in bytes, or the number itself.
        """
        fills = dict(fill_null) if isinstance(fill_null, Mapping) else fill_null
        size, steps = (
            positive("batch_size", batch_size, 1),
            group_steps(group_by_length, self._plan.source.options.on_error),
        )
        return self._with_stage(Batch(size, check_remainder(remainder), fills, steps, length_column))

    def with_format(
        self, name: str | None = None, *, dtypes: Any = None, fill_null: float | Mapping[str, float] | None = None
    ) -> Dataset:
        """Sets what rows and batches are handed out as.

        Args:
            name: "python", "numpy", "torch" or "arrow"; None for rows as Python values and batches as tensors.
            dtypes: Element types by column name (names, NumPy or torch dtypes), or one for all numeric columns.
            fill_null: As in ``batch``.
        """
        if name is not None and name not in _FORMATS:
            raise ValueError(f"format must be one of {', '.join(_FORMATS)}, not {name!r}")
        wanted = dtypes if isinstance(dtypes, Mapping) else {} if dtypes is None else {"": dtypes}
        fills = fill_null if isinstance(fill_null, Mapping) else {} if fill_null is None else {"": fill_null}
        return self._with(
            format=replace(
                self._plan.format,
                name=name,
                dtypes=tuple((column, dtype_name(dtype)) for column, dtype in wanted.items()),
                fill_null=tuple((column, float(fill)) for column, fill in fills.items()),
            )
        )

    # What is known without reading a row.

    def __len__(self) -> int:
        """What this rank yields in an epoch: rows, or batches after ``.batch``; all its workers together.

        Raises:
            TypeError: A filter or batched map decides it, or tokens that were not counted (see ``count_tokens``), the
                stream is endless, or lanes are over files.
        """
        check_tokens(self._plan)
        self._plan.refuse_files("the length")
        if self._plan.pipeline.pack is not None:
            return packed_total(self._plan, Placement(*find_rank(self._plan.rank)), self.epoch)
        if self._plan.pipeline.is_laned:
            raise TypeError(
                "the dataset's length depends on the data (.filter or a batched .map); only reading it tells"
            )
        num_shards, index = find_rank(self._plan.rank)
        number = num_items(self._plan, Placement(num_shards, index))
        if number is None:
            raise TypeError("the dataset is endless (.repeat(), or a mix that never stops); it has no length")
        return number

    @property
    def num_rows(self) -> int:
        """Rows of the data set that an epoch is drawn from, over all ranks, before any filter."""
        self._plan.refuse_files("the number of rows")
        if not self._plan.has_end or self._plan.mixes_samples or self._plan.mixes_tokens:
            return self._plan.source.rust.num_rows
        start, stop = self._plan.position_range
        return stop - start

    @property
    def column_names(self) -> list[str]:
        """Names of the columns that are read."""
        pipeline = self._plan.pipeline
        return pipeline.column_names if pipeline.pad is None else pipeline.pad.shown_names(pipeline.column_names)

    @property
    def schema(self) -> pa.Schema:
        """The columns that are read, as a pyarrow.Schema with the file's metadata."""
        import pyarrow

        pipeline = self._plan.pipeline
        if pipeline.pack is not None:
            return packed_schema(self._plan)
        schema = pyarrow.schema(self._table().schema)
        kept = [pair for pair in pipeline.columns if pair[1] in pipeline.column_names]
        known = with_features(schema, kept, self._plan.source.options.features)
        return known if pipeline.pad is None else padded_schema(known, pipeline.pad)

    @property
    def features(self) -> Any:
        """HF's features: ``datasets.Features`` where ``datasets`` is importable, else a dict; None without any."""
        return features_of(self.schema)

    @property
    def fingerprint(self) -> str:
        """128 bits, in hex, of the shards' sizes, row counts and headers, and of the Hub's commit where one was loaded.

        Without a commit it is the same for a copy elsewhere.
        """
        return self._plan.source.fingerprint

    def row_ids(self, start: int, stop: int) -> list[int]:
        """Row ids at these positions of the current epoch; reads no row."""
        self._plan.refuse_files("which row is at a position")
        if self._plan.mixes_samples or self._plan.mixes_tokens:
            raise SchemaMismatchError(
                "positions have row ids where a mix draws rows by its schedule alone; of packed sources, and of a mix "
                "by tokens, ds.rows_at(step) says which documents are in a step"
            )
        first, end = self._plan.position_range
        if not 0 <= start <= stop <= end - first:
            raise OutOfRangeError(f"positions {start} to {stop} are out of range; an epoch has {end - first}")
        return self._plan.rust_order.row_ids(self.epoch, first + start, first + stop)

    def rows_at(self, step: int, *, state: Cursor | None = None) -> list[Any]:
        """Row ids of step ``step`` of the current epoch over all ranks, in order of position.

        It reads no row, or with ``group_by_length`` those of the run that the step is in. Of packed samples it is a
        list of ``PackedRow``: of each row of each rank's batch the documents in it, as (row id, first token, token
        after the last). Where tokens were not counted (``count_tokens``), documents are read from the epoch's
        beginning, or from ``state``: a cursor of the whole job before that step.
        """
        if isinstance(step, bool) or not hasattr(step, "__index__"):
            raise ValueError(f"step must be an integer, not {step!r}")
        check_tokens(self._plan)
        self._plan.refuse_files("which rows are in a step")
        if self._plan.pipeline.pack is not None:
            step = after_taken(self._plan.skipped_steps, step + 1) - 1
            return packed_rows_at(self._plan, find_rank(self._plan.rank)[0], step, self.epoch, state)
        self._refuse_lanes("rows_at")
        num_shards, index = find_rank(self._plan.rank)
        run = make_run(self._plan, Placement(num_shards, index), None, self.epoch)
        first = run.position + (after_taken(run.steps_left_out, step + 1) - 1) * run.step
        last = first + run.step if run.total is None else min(first + run.step, run.total)
        remainder = self._plan.remainder_for(num_shards)
        is_short = run.total is not None and first + run.step > run.total
        if step < 0 or first >= last or (is_short and remainder == "drop"):
            raise OutOfRangeError(step_range(step, run, remainder))
        positions = list(range(first, last))
        if is_short and remainder == "pad":
            positions += [position % max(run.total or 1, 1) for position in range(first + run.step - last)]
        return [self._row_id(run.per_epoch, run.epoch, position) for position in dealt(self._plan, run, positions)]

    def _row_id(self, per_epoch: int, epoch: int, position: int) -> int:
        first, _ = self._plan.position_range
        at = first + position % per_epoch
        return self._plan.rust_order.row_ids(epoch + position // per_epoch, at, at + 1)[0]

    def fetch(self, row_ids: Iterable[int]) -> list[dict[str, Any]]:
        """The rows with these row ids, as dicts, in this order."""
        return self._table().fetch(check_row_ids(row_ids, self._plan.source.rust.num_rows))

    def describe(self, *, ranks: int = 1) -> dict[str, Any]:
        """What is known of the dataset without reading it, as plain values; ``warnings`` say what will cost something.

        Args:
            ranks: Ranks of the job that is planned.
        """
        columns = {field.name: str(field.type) for field in self.schema}
        return describe(self._plan, self.num_rows, columns, ranks=positive("ranks", ranks, 1))

    # Reading and resuming.

    def loader(
        self,
        *,
        num_threads: int | None = None,
        prefetch_batches: int | None = None,
        prefetch_bytes: int | None = None,
        pin_memory: bool = False,
        io: Literal["auto", "mmap", "read", "direct"] = "auto",
    ) -> Loader:
        """The recommended way to read: no worker processes, Rust threads behind one process.

        Args:
            num_threads: Threads that read ahead; half of the cores, at least 2 and at most 8, when None. 0 reads
                in the caller.
            prefetch_batches: Batches (or chunks of rows) made ahead; 32 when None.
            prefetch_bytes: Bytes made ahead; 64 MiB when None.
            pin_memory: Page-lock the batch buffers for CUDA, each once.
            io: "mmap", "read" (pread), "direct" (O_DIRECT) or "auto": mmap on local disks, read on network ones.
        """
        if io not in ("auto", "mmap", "read", "direct"):
            raise ValueError(f'io must be "auto", "mmap", "read" or "direct", not {io!r}')
        for name, value in (("num_threads", num_threads), ("prefetch_batches", prefetch_batches)):
            count(name, value or 0)
        return Loader(self, ReadOptions(num_threads, prefetch_batches, prefetch_bytes, pin_memory, io))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader())

    @property
    def epoch(self) -> int:
        """The epoch that is being read, or that comes next where the last one is over."""
        return self._progress.epoch()

    def set_epoch(self, epoch: int) -> Dataset:
        """Makes the next pass that of ``epoch``, from its beginning; DataLoader workers are told as well.

        Unlike the other methods it changes this very dataset, as torch's samplers do; it returns it for chains.
        """
        self._progress.set_epoch(count("epoch", epoch))
        return self

    def state_dict(self, *, gather: bool = False) -> Cursor:
        """The cursor after what the newest pass has returned; see docs/cursor.

        Args:
            gather: Make it the whole job's, on every rank: all ranks of ``torch.distributed`` must call it.

        Raises:
            StateMismatchError: DataLoader workers are reading, whose place this process cannot see.
        """
        return gathered(self._state) if gather else without_share(self._state())

    def _state(self) -> Cursor:
        """The cursor with what only this rank knows."""
        state = self._progress.state()
        return self._first_cursor(self.epoch) if state is None else state

    def _first_cursor(self, epoch: int) -> Cursor:
        """The cursor at the beginning of ``epoch``."""
        num_shards, index = find_rank(self._plan.rank)
        if not self._plan.pipeline.is_laned:
            return make_run(self._plan, Placement(num_shards, index), None, epoch).cursor(0)
        num_lanes = self._plan.order.num_lanes
        left_out = self._plan.left_out(num_shards * (self._plan.batch_size or 1))
        return {
            **self._plan.identity.as_cursor(),
            "num_shards": num_shards,
            "batch_size": self._plan.batch_size,
            "first_epoch": epoch,
            "epoch": epoch,
            "position": 0,
            "lanes": {"of": 1, "index": 0, "rows": [0] * num_lanes, "samples": [0] * num_lanes},
            **({"left_out": [list(pair) for pair in left_out]} if left_out else {}),
        }

    def load_state_dict(self, state: States, *, strict: bool = True, allow_remix: bool = False) -> None:
        """Makes the next pass begin at ``state``; the one after it is the next epoch from its beginning.

        Args:
            state: A cursor of any number of ranks and workers; or the states of all ranks of the job that took them:
                a list of them, or of their JSON files, or the folder of these.
            strict: False accepts a cursor of other data, order or pipeline and goes on at its position.
            allow_remix: Of a mix, go on with the sources and weights that it has here, from where the cursor stands;
                the cursors that follow tell of the change.

        Raises:
            StateMismatchError: The cursor belongs to something else; the text names the difference.
            TopologyError: No step of this topology starts at the cursor's position.
        """
        self._plan, state = resumed(self._plan, as_cursor(state), strict=strict, allow_remix=allow_remix)
        cursor = check_cursor(state, self._plan.identity, strict=strict)
        if strict:
            check_skipped_steps(self._plan, cursor)
        if "worker" not in cursor and "lanes" not in cursor:
            num_shards, index = find_rank(self._plan.rank)
            make_run(self._plan, Placement(num_shards, index), cursor, cursor["epoch"])
        self._progress.resume(cursor, find_worker())

    # Inside.

    def _with(self, **changes: Any) -> Dataset:
        return Dataset(self._plan.with_(**changes), self._fresh_progress())

    def _with_stage(self, stage: Stage) -> Dataset:
        return Dataset(self._plan.with_stage(stage), self._fresh_progress())

    def _fresh_progress(self) -> Progress:
        progress = Progress()
        progress.set_epoch(self._progress.board.base)
        return progress

    def _table(self) -> _rust.Table:
        return self._plan.table()

    def _refuse_lanes(self, what: str) -> None:
        if self._plan.pipeline.is_laned:
            raise SchemaMismatchError(
                f"{what} knows steps before they are read, but a filter or batched map decides them by the data"
            )

    def __repr__(self) -> str:
        plan = self._plan
        if plan.is_over_files:
            return f"Dataset(num_files={plan.rust_order.num_rows}, lanes_over='files', order={plan.order.mode})"
        parts = [f"num_rows={self.num_rows}", f"columns={self.column_names}", f"order={plan.order.mode}"]
        parts += list(plan.pipeline.description)
        parts += [] if plan.batch_size is None else [f"batch_size={plan.batch_size}"]
        return f"Dataset({', '.join(parts)})"

    def __getstate__(self) -> dict[str, Any]:
        return {"plan": self._plan, "progress": self._progress}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._plan, self._progress = state["plan"], state["progress"]
