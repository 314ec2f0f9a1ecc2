"""Token batches out of nothing: for tests of a training loop, and for its speed without a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rowmill.arguments import as_seed, count, positive
from rowmill.cursor import Cursor
from rowmill.exceptions import StateMismatchError, TopologyError
from rowmill.placement import Placement, find_worker
from rowmill.progress import Progress
from rowmill.torch import IterableDatasetBase, has_torch, tensor_from

__all__ = ["DummyDataset", "create_distributed_dummy_dataset", "create_dummy_dataset"]

_SCHEMA_VERSION = 1
# What the stream is made of; a cursor of other settings belongs to something else.
_SETTINGS = ("seed", "vocab_size", "batch_size", "seq_len")


def create_dummy_dataset(
    *, num_batches: int, batch_size: int, seq_len: int, vocab_size: int = 50257, seed: int = 0
) -> DummyDataset:
    """Batches of random token ids, the same for the same seed on every machine.

    Args:
        num_batches: Batches of a pass; each pass yields the same.
        batch_size: Samples of a batch.
        seq_len: Tokens of a sample.
        vocab_size: Ids are from 0 to below this.
        seed: Keys every id.

    Returns:
        An iterable of pairs (inputs, labels), both int64 of (``batch_size``, ``seq_len``): torch tensors, or NumPy
        arrays without torch. Labels are the inputs shifted by one. It has ``len``, ``state_dict`` and
        ``load_state_dict``.

    Example:
        >>> import rowmill
        >>> ds = rowmill.create_dummy_dataset(num_batches=3, batch_size=2, seq_len=8)
        >>> inputs, labels = next(iter(ds))
        >>> inputs.shape == labels.shape == (2, 8), len(ds)
        (True, 3)
    """
    return create_distributed_dummy_dataset(
        rank=0,
        world_size=1,
        num_batches=num_batches,
        batch_size=batch_size,
        seq_len=seq_len,
        vocab_size=vocab_size,
        seed=seed,
    )


def create_distributed_dummy_dataset(
    *,
    rank: int,
    world_size: int,
    num_batches: int,
    batch_size: int,
    seq_len: int,
    vocab_size: int = 50257,
    seed: int = 0,
) -> DummyDataset:
    """The same for one rank of a job: rank r of R has every R-th batch of one stream, beginning with batch r.

    Args:
        rank: This rank.
        world_size: Ranks of the job.
        num_batches: Batches of each rank's pass.
        batch_size: Samples of a batch.
        seq_len: Tokens of a sample.
        vocab_size: Ids are from 0 to below this.
        seed: Keys every id; the same on all ranks.

    Raises:
        TopologyError: There is no such rank.
    """
    return DummyDataset(
        Placement(positive("world_size", world_size, 1), count("rank", rank)),
        num_batches=count("num_batches", num_batches),
        batch_size=positive("batch_size", batch_size, 1),
        seq_len=positive("seq_len", seq_len, 1),
        vocab_size=positive("vocab_size", vocab_size, 1),
        seed=as_seed(seed),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a consumer stands: behind ``num_items`` of its batches, which began at the rank's batch ``start``."""

    start: int
    num_items: int
    epoch: int


class DummyDataset(IterableDatasetBase):
    """Made by ``create_dummy_dataset``. DataLoader workers share a rank's batches; give torch ``batch_size=None``."""

    def __init__(
        self, placement: Placement, *, num_batches: int, batch_size: int, seq_len: int, vocab_size: int, seed: int
    ) -> None:
        super().__init__()
        self.placement, self.num_batches = placement, num_batches
        self.batch_size, self.seq_len, self.vocab_size, self.seed = batch_size, seq_len, vocab_size, seed
        self._progress = Progress()

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return _DummyIterator(self)

    def state_dict(self) -> Cursor:
        """The cursor after what the newest pass has returned: a small JSON-able dict, the same on every rank."""
        state = self._progress.state()
        return self._cursor(_Place(0, 0, self._progress.epoch()), None) if state is None else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Makes the next pass begin at ``state``, also of another number of ranks.

        Raises:
            StateMismatchError: It belongs to other settings, or is no such state.
            TopologyError: No batch of all ranks begins where it stands.
        """
        worker = find_worker()
        self._place(state, worker)
        self._progress.resume(dict(state), worker)

    def batch(self, index: int) -> tuple[Any, Any]:
        """This rank's batch ``index``."""
        import numpy as np

        at = index * self.placement.num_shards + self.placement.index
        # Raw draws of a counter-based generator: what NumPy makes of them may change, these do not.
        key, counter = np.array([self.seed, 0], np.uint64), np.array([0, 0, 0, at], np.uint64)
        raw = np.random.Philox(key=key, counter=counter)
        drawn = raw.random_raw(self.batch_size * (self.seq_len + 1)) % np.uint64(self.vocab_size)
        tokens = drawn.astype(np.int64).reshape(self.batch_size, self.seq_len + 1)
        pair = np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:])
        return (tensor_from(pair[0], None), tensor_from(pair[1], None)) if has_torch() else pair

    def _cursor(self, place: _Place, worker: tuple[int, int] | None) -> Cursor:
        made: Cursor = {
            "schema_version": _SCHEMA_VERSION,
            "kind": "dummy",
            **{name: getattr(self, name) for name in _SETTINGS},
            "num_shards": self.placement.num_shards,
            "epoch": place.epoch,
            "step": place.start + (place.num_items if worker is None else 0),
        }
        if worker is not None:
            made["worker"] = {"num_workers": worker[0], "id": worker[1], "items": place.num_items}
        return made

    def _place(self, state: Any, worker: tuple[int, int] | None) -> _Place:
        if not isinstance(state, Mapping) or state.get("kind") != "dummy":
            raise StateMismatchError("this is no state of a dummy data set; load what its state_dict() gave")
        for name in ("schema_version", *_SETTINGS):
            ours = _SCHEMA_VERSION if name == "schema_version" else getattr(self, name)
            if state.get(name) != ours:
                raise StateMismatchError(
                    f"the state belongs to another data set: {name} is {ours!r}, the state's {state.get(name)!r}"
                )
        step, epoch, ranks = (_count(state, name) for name in ("step", "epoch", "num_shards"))
        if step * ranks % self.placement.num_shards:
            raise TopologyError(
                f"the state stands after {step * ranks} batches, which {self.placement.num_shards} ranks do not share "
                "evenly; resume on a number of ranks that divides them"
            )
        theirs = state.get("worker")
        if theirs is None:
            return _Place(step * ranks // self.placement.num_shards, 0, epoch)
        if worker != (theirs.get("num_workers"), theirs.get("id")) or ranks != self.placement.num_shards:
            raise StateMismatchError(
                "the state is that of one DataLoader worker, and fits the same worker of as many only"
            )
        return _Place(step, _count(theirs, "items"), epoch)


class _DummyIterator(Iterator[tuple[Any, Any]]):
    """One pass of one consumer."""

    def __init__(self, dataset: DummyDataset) -> None:
        self._dataset, self._progress, self._worker = dataset, dataset._progress, find_worker()
        cursor, epoch = self._progress.begin(self._worker)
        self._current = self.state_dict
        self._move(_Place(0, 0, epoch) if cursor is None else dataset._place(cursor, self._worker))
        self._progress.follow(self._current)

    def _move(self, place: _Place) -> None:
        self._start, self._num_items, self._epoch = place.start, place.num_items, place.epoch
        self._is_finished = False

    def __next__(self) -> tuple[Any, Any]:
        num_workers, worker = self._worker or (1, 0)
        index = self._start + worker + self._num_items * num_workers
        if index >= self._dataset.num_batches:
            if not self._is_finished:
                self._is_finished = True
                self._progress.finish(self._worker, self._epoch + 1, self._current)
            raise StopIteration
        self._num_items += 1
        return self._dataset.batch(index)

    def state_dict(self) -> Cursor:
        """The cursor after what was returned."""
        return self._dataset._cursor(_Place(self._start, self._num_items, self._epoch), self._worker)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Moves this iterator to ``state``."""
        self._move(self._dataset._place(state, self._worker))


def _count(state: Mapping[str, Any], name: str) -> int:
    value = state.get(name)
    if type(value) is not int or value < 0:
        raise StateMismatchError(f"the state's {name} is {value!r}, no count; it is damaged")
    return value
