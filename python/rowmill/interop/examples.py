"""A dataset as a ``datasets.IterableDataset``: its rows as examples, and its cursor as their state."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import SchemaMismatchError
from rowmill.interop.reader import own_rows
from rowmill.interop.tables import tables
from rowmill.stages import Filter
from rowmill.values import Format

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

    from rowmill.dataset import Dataset

__all__ = ["make_examples", "to_hf"]

# `datasets` deals rows by "shards" where their number fits, else it reads everything on every node and throws most of
# it away. Ours can be cut into any number: the first is divided by all up to 10 and by powers of two up to 256. Never
# more than rows: `datasets` writes a file for each shard, and cannot write one without rows.
_NUM_SHARDS = (80_640, 5_040, 720, 240, 120, 60, 24, 12, 6, 4, 2)

# Formats of ours that `datasets` has by the same name.
_FORMATS = ("numpy", "torch", "arrow")

# Beyond any epoch that a training counts to; seeds drawn by chance are larger.
_MAX_EPOCH = 1 << 32


def to_hf(dataset: Dataset) -> datasets.IterableDataset:
    """The rows of ``dataset``; see :meth:`rowmill.Dataset.to_hf`."""
    import datasets

    plan = dataset._plan
    if plan.batch_size is not None:
        raise SchemaMismatchError("to_hf() hands out rows: leave .batch() out, and batch what it returns")
    rank = plan.rank or (1, 0)
    rows = own_rows(dataset._with(rank=rank))._with(is_dealt=True, format=Format())
    # Epochs come from `datasets`, which tells of all but the first, 0.
    rows.set_epoch(0)
    info = datasets.DatasetInfo(features=_features(dataset))
    made = datasets.IterableDataset(make_examples(rows, info.features, _num_shards(dataset)), info=info)
    made = made.with_format(plan.format.name) if plan.format.name in _FORMATS else made
    made.set_epoch(dataset.epoch)
    return made


def _num_shards(dataset: Dataset) -> int:
    """As how many files the rows are dealt."""
    return next((number for number in _NUM_SHARDS if number <= dataset.num_rows), 1)


def _features(dataset: Dataset) -> Any:
    """The features of what is yielded; None where Python functions decide them."""
    if not all(isinstance(stage, Filter) for stage in dataset._plan.pipeline.row_stages):
        return None
    from datasets import Features

    known = dataset.features or {}
    schema = dataset.schema
    return (
        Features({**Features.from_arrow_schema(schema.remove_metadata()), **known})
        if len(known) < len(schema)
        else known
    )


def make_examples(
    rows: Dataset, features: Any = None, num_shards: int = _NUM_SHARDS[0], seeds: tuple[int, ...] = ()
) -> Any:
    """An examples iterable over ``rows``.

    Args:
        rows: What is read.
        features: What Arrow tables of them hold; None where Python functions decide it.
        num_shards: As how many files they are dealt to nodes and workers.
        seeds: What ``datasets`` has drawn for a new order, one each time.
    """
    return _examples_type()(rows, features, num_shards, seeds)


@functools.cache
def _examples_type() -> type[Any]:
    # Made on first use: its base is in `datasets`, which `import rowmill` must not import.
    from datasets.iterable_dataset import _BaseExamplesIterable

    return type("RowmillExamples", (_Examples, _BaseExamplesIterable), {})


class _Examples:
    """Rows of a rowmill dataset as ``datasets.IterableDataset`` asks for them."""

    _sleep_on_threads_shutdown = False
    _state_dict: dict[str, Any] | None

    def __init__(self, rows: Dataset, features: Any, num_shards: int, seeds: tuple[int, ...]) -> None:
        super().__init__()
        self._rows, self._stored, self._num_shards, self._seeds = rows, features, num_shards, seeds

    def _init_state_dict(self) -> dict[str, Any]:
        self._state_dict = {"cursor": None, "type": type(self).__name__}
        return self._state_dict

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        # A pass of its own each time: what datasets calls an epoch is set from outside.
        rows, state = self._rows._with(), self._state_dict
        if state is not None and state["cursor"] is not None:
            rows.load_state_dict(state["cursor"])
        made: Any = iter(rows)
        for number, row in enumerate(made):
            if state is not None:
                state["cursor"] = made.state_dict()
            yield number, row

    @property
    def iter_arrow(self) -> Callable[[], Iterator[tuple[int, pa.Table]]] | None:
        """Reads tables instead, which `datasets` then cuts into what it is asked for."""
        return None if self._stored is None else self._iter_arrow

    def _iter_arrow(self) -> Iterator[tuple[int, pa.Table]]:
        state = self._state_dict
        cursor = None if state is None else state["cursor"]
        for number, (table, after) in enumerate(tables(self._rows, self._stored, cursor)):
            if state is not None:
                state["cursor"] = after()
            yield number, table

    def shuffle_data_sources(self, generator: Any) -> Any:
        """The rows in a new order: in that of an epoch, if ``generator`` is what an epoch makes."""
        plan, drawn = self._rows._plan, _drawn(generator)
        if not plan.is_shuffled or not plan.order.reshuffle_each_epoch:
            return self
        rows = self._rows._with()
        if self._seeds or drawn >= _MAX_EPOCH:
            rows = rows._with(order=replace(plan.order, seed=_mixed(plan.order.seed, *self._seeds, drawn)))
        else:
            rows.set_epoch(drawn)
        return make_examples(rows, self._stored, self._num_shards, (*self._seeds, drawn))

    def shard_data_sources(self, num_shards: int, index: int, contiguous: bool = True) -> Any:
        ranks, rank = self._rows._plan.rank or (1, 0)
        # Every num_shards-th of what would come here.
        dealt = self._rows._with(rank=(ranks * num_shards, rank + ranks * index))
        return make_examples(dealt, self._stored, max(self._num_shards // num_shards, 1), self._seeds)

    def reshard_data_sources(self) -> Any:
        return self

    @property
    def num_shards(self) -> int:
        return self._num_shards

    def __reduce__(self) -> tuple[Any, ...]:
        return make_examples, (self._rows, self._stored, self._num_shards, self._seeds)


def _drawn(generator: Any) -> int:
    """What ``generator`` was seeded with, where that is known: `datasets` makes one of an epoch's number."""
    bits = generator.bit_generator
    entropy = getattr(getattr(bits, "seed_seq", None) or getattr(bits, "_seed_seq", None), "entropy", None)
    is_number = hasattr(entropy, "__index__")
    return int(entropy) if is_number else _MAX_EPOCH + int(generator.integers(1 << 62))  # type: ignore[arg-type]


def _mixed(*numbers: int) -> int:
    return int.from_bytes(hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest(), "little")
