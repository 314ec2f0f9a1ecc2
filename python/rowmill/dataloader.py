"""rowmill.DataLoader: torch's, with a state that is true with workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rowmill.cursor import Cursor
from rowmill.dataset import Dataset
from rowmill.exceptions import SchemaMismatchError
from rowmill.merge import merge_states, merge_workers
from rowmill.placement import Placement, find_rank
from rowmill.receipts import begin_receipt, begin_share, receipt_of, without_share
from rowmill.runs import make_run
from rowmill.states import States, as_cursor, gathered
from rowmill.torch import IterableDatasetBase, TorchDataLoader

__all__ = ["DataLoader"]


class DataLoader(TorchDataLoader[Any]):
    """A ``torch.utils.data.DataLoader`` over a rowmill dataset that knows how far it has been read.

    Each worker sends its place along with what it yields; the main process keeps those of the batches that it has
    returned, so that ``state_dict`` never counts what was only prefetched. ``ds.loader()`` needs no workers at
    all and is faster; this is for datasets whose ``.map`` functions want several processes.

    Args:
        dataset: What ``rowmill.open`` made. Where it is batched by ``.batch``, ``batch_size`` is None by default.
        **kwargs: As for torch's DataLoader.
    """

    def __init__(self, dataset: Dataset, *args: Any, **kwargs: Any) -> None:
        if not isinstance(dataset, Dataset):
            raise SchemaMismatchError(f"rowmill.DataLoader reads a rowmill dataset, not {type(dataset).__name__}")
        self._rowmill = dataset
        self._places: dict[int, Cursor] = {}
        if not args and dataset._plan.batch_size is not None:
            kwargs.setdefault("batch_size", None)
        super().__init__(_Tagging(dataset), *args, **kwargs)
        # Set after torch has chosen its own, which depends on whether it batches.
        self.collate_fn = _TaggingCollate(self.collate_fn, self.batch_size is not None)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        dataset = self._rowmill
        if self.num_workers:
            self._places = _first_places(self._start(), dataset, self.num_workers)
        batches = super().__iter__()
        return self._returned(batches)

    def _returned(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch, place in batches:
            if self.num_workers:
                self._places[_consumer(place)] = place
            yield batch
        self._places = {}

    def __len__(self) -> int:
        return super().__len__()

    def state_dict(self, *, gather: bool = False) -> Cursor:
        """The cursor after what this loader has returned, for any number of ranks and workers.

        After a filter, batched map or packing it is this rank's alone; ``gather`` makes it the whole job's, on every
        rank of ``torch.distributed``, all of which must call it.
        """
        return gathered(self._state) if gather else without_share(self._state())

    def _state(self) -> Cursor:
        """The cursor with what only this rank knows."""
        if not self.num_workers:
            return self._rowmill._state()
        return merge_workers(list(self._places.values())) if self._places else self._start()

    def load_state_dict(self, state: States, *, strict: bool = True) -> None:
        """Makes the next pass begin at ``state``: a cursor, or what ``rowmill.merge_states`` takes."""
        self._places = {}
        # Persistent workers hold copies of the dataset that know nothing of this state: start new ones.
        self._iterator = None
        cursor = as_cursor(state)
        self._rowmill.load_state_dict(cursor if "schema_version" in cursor else merge_states(cursor), strict=strict)

    def _start(self) -> Cursor:
        """Where the next pass begins."""
        progress = self._rowmill._progress
        worker = (self.num_workers, 0)
        if progress.pending is not None and not progress.board.has_begun(worker):
            return progress.pending
        return self._rowmill._first_cursor(progress.epoch(worker))


class _Tagging(IterableDatasetBase):
    """The dataset with each item accompanied by its iterator, whose state the collate function asks for."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        self.dataset = dataset

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        iterator = iter(self.dataset)
        for item in iterator:
            yield item, iterator

    def __len__(self) -> int:
        return len(self.dataset)


class _TaggingCollate:
    """Collates what came, and adds the place after the last of it."""

    def __init__(self, collate: Callable[[Any], Any], is_batched: bool) -> None:
        self.collate = collate
        self.is_batched = is_batched

    def __call__(self, items: Any) -> tuple[Any, Cursor]:
        if self.is_batched:
            return self.collate([item for item, _ in items]), items[-1][1].state_dict()
        item, iterator = items
        return self.collate(item), iterator.state_dict()


def _consumer(place: Cursor) -> int:
    """Which of this rank's workers a state is of."""
    if "lanes" in place:
        return int(place["lanes"]["index"]) // int(place["num_shards"])
    return int(place.get("worker", {"id": 0})["id"])


def _first_places(start: Cursor, dataset: Dataset, num_workers: int) -> dict[int, Cursor]:
    """What the workers' states are before they have returned anything."""
    num_shards, shard = find_rank(dataset._plan.rank)
    start = {**start, "num_shards": num_shards, "batch_size": dataset._plan.batch_size}
    if num_workers == 1:
        return {0: start}
    places = {}
    for worker in range(num_workers):
        place, consumer = dict(start), shard + num_shards * worker
        if "lanes" in start:
            place["lanes"] = _lanes_of(start["lanes"], consumer, num_shards * num_workers, start["position"])
            receipt = begin_receipt(start, consumer)
        else:
            place["worker"] = {"id": worker, "num_workers": num_workers, "shard": shard, "items": 0}
            position = make_run(dataset._plan, Placement(num_shards, shard), start, start["epoch"]).position
            receipt = begin_share(start, consumer == 0, position)
        place["receipt"] = receipt_of(receipt)
        places[worker] = place
    return places


def _lanes_of(lanes: Mapping[str, Any], index: int, of: int, start: int) -> dict[str, Any]:
    """Those lanes of a cursor that one of ``of`` consumers owns."""
    first, step = (index - lanes["index"]) // lanes["of"], of // lanes["of"]
    chosen = {name: values[first::step] for name, values in lanes.items() if isinstance(values, list)}
    return {"of": of, "index": index, "start": start, **chosen}
