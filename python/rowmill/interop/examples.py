"""A dataset as a ``datasets.IterableDataset``: its rows as examples, and its cursor as their state."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import SchemaMismatchError
from rowmill.interop.reader import own_rows
from rowmill.values import Format

if TYPE_CHECKING:
    import datasets

    from rowmill.dataset import Dataset

__all__ = ["make_examples", "to_hf"]

# `datasets` deals rows by "shards" where their number fits, else it reads everything on every node and throws most of
# it away. Ours can be cut into any number: this one is divided by all up to 10 and by powers of two up to 256.
_NUM_SHARDS = 80_640

# Formats of ours that `datasets` makes of rows by the same name. Arrow it would make row by row, guessing types.
_FORMATS = ("numpy", "torch")


def to_hf(dataset: Dataset) -> datasets.IterableDataset:
    """The rows of ``dataset``; see :meth:`rowmill.Dataset.to_hf`."""
    import datasets

    plan = dataset._plan
    if plan.batch_size is not None:
        raise SchemaMismatchError("to_hf() hands out rows: leave .batch() out, and batch what it returns")
    rank = plan.rank or (1, 0)
    rows = own_rows(dataset._with(rank=rank))._with(is_dealt=True, format=Format())
    rows.set_epoch(dataset.epoch)
    info = datasets.DatasetInfo(features=_features(dataset))
    made = datasets.IterableDataset(make_examples(rows, _NUM_SHARDS), info=info)
    return made.with_format(plan.format.name) if plan.format.name in _FORMATS else made


def _features(dataset: Dataset) -> Any:
    """The features of what is yielded; None where Python functions decide them."""
    if dataset._plan.pipeline.row_stages:
        return None
    from datasets import Features

    known = dataset.features or {}
    schema = dataset.schema
    return (
        Features({**Features.from_arrow_schema(schema.remove_metadata()), **known})
        if len(known) < len(schema)
        else known
    )


def make_examples(rows: Dataset, num_shards: int) -> Any:
    """An examples iterable over ``rows``, which are dealt to nodes and workers as if they were ``num_shards`` files."""
    return _examples_type()(rows, num_shards)


@functools.cache
def _examples_type() -> type[Any]:
    # Made on first use: its base is in `datasets`, which `import rowmill` must not import.
    from datasets.iterable_dataset import _BaseExamplesIterable

    return type("RowmillExamples", (_Examples, _BaseExamplesIterable), {})


class _Examples:
    """Rows of a rowmill dataset as ``datasets.IterableDataset`` asks for them."""

    _sleep_on_threads_shutdown = False
    _state_dict: dict[str, Any] | None

    def __init__(self, rows: Dataset, num_shards: int) -> None:
        super().__init__()
        self._rows = rows
        self._num_shards = num_shards

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

    def shuffle_data_sources(self, generator: Any) -> Any:
        plan = self._rows._plan
        if not plan.is_shuffled:
            return self
        order = replace(plan.order, seed=int(generator.integers(1 << 63)))
        return make_examples(self._rows._with(order=order), self._num_shards)

    def shard_data_sources(self, num_shards: int, index: int, contiguous: bool = True) -> Any:
        ranks, rank = self._rows._plan.rank or (1, 0)
        # Every num_shards-th of what would come here.
        dealt = self._rows._with(rank=(ranks * num_shards, rank + ranks * index))
        return make_examples(dealt, max(self._num_shards // num_shards, 1))

    def reshard_data_sources(self) -> Any:
        return self

    @property
    def num_shards(self) -> int:
        return self._num_shards

    def __reduce__(self) -> tuple[Any, ...]:
        return make_examples, (self._rows, self._num_shards)
