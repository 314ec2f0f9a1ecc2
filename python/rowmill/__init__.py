"""rowmill: rows in, batches out, in an order that no restart changes.

Open shards, shuffle, batch, read; stop anywhere and resume on any number of ranks and workers:

    ds = rowmill.open("data/*.arrow").shuffle(seed=42).batch(8)
    for batch in ds.loader(): ...

Names are imported when they are first used, so that ``import rowmill`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import (
    AccessDeniedError,
    CorruptShardError,
    DatasetNotFoundError,
    DiskBudgetError,
    MissingShardError,
    OfflineError,
    OutOfRangeError,
    RevisionNotFoundError,
    RowmillError,
    SchemaMismatchError,
    StateMismatchError,
    TopologyError,
    UnreachableError,
)

if TYPE_CHECKING:
    from rowmill import demo as demo
    from rowmill import remote as remote
    from rowmill.conversion.shards import convert as convert
    from rowmill.conversion.tokens import tokenize as tokenize
    from rowmill.dataloader import DataLoader as DataLoader
    from rowmill.dataset import Dataset as Dataset
    from rowmill.dataset import Dataset as SimpleArrowIterableDataset
    from rowmill.dummy import create_distributed_dummy_dataset as create_distributed_dummy_dataset
    from rowmill.dummy import create_dummy_dataset as create_dummy_dataset
    from rowmill.hub.load import fast_load_iterable_dataset as fast_load_iterable_dataset
    from rowmill.hub.load import load_dataset as load_dataset
    from rowmill.interop.from_dataset import from_dataset as from_dataset
    from rowmill.loader import Loader as Loader
    from rowmill.merge import merge_states as merge_states
    from rowmill.mixing.mix import mix as mix
    from rowmill.opening import open as open
    from rowmill.presets import list_available_datasets as list_available_datasets
    from rowmill.receipts import merge_receipts as merge_receipts
    from rowmill.token_batches import create_huggingface_dataset as create_huggingface_dataset
    from rowmill.unpacking import unpack as unpack

__all__ = [
    "AccessDeniedError",
    "CorruptShardError",
    "DataLoader",
    "Dataset",
    "DatasetNotFoundError",
    "DiskBudgetError",
    "Loader",
    "MissingShardError",
    "OfflineError",
    "OutOfRangeError",
    "RevisionNotFoundError",
    "RowmillError",
    "SchemaMismatchError",
    "SimpleArrowIterableDataset",
    "StateMismatchError",
    "TopologyError",
    "UnreachableError",
    "convert",
    "create_distributed_dummy_dataset",
    "create_dummy_dataset",
    "create_huggingface_dataset",
    "demo",
    "fast_load_iterable_dataset",
    "from_dataset",
    "list_available_datasets",
    "load_dataset",
    "merge_receipts",
    "merge_states",
    "mix",
    "open",
    "remote",
    "tokenize",
    "unpack",
]

_LAZY = {
    "DataLoader": "rowmill.dataloader",
    "Dataset": "rowmill.dataset",
    "Loader": "rowmill.loader",
    "convert": "rowmill.conversion.shards",
    "fast_load_iterable_dataset": "rowmill.hub.load",
    "create_distributed_dummy_dataset": "rowmill.dummy",
    "create_dummy_dataset": "rowmill.dummy",
    "create_huggingface_dataset": "rowmill.token_batches",
    "from_dataset": "rowmill.interop.from_dataset",
    "load_dataset": "rowmill.hub.load",
    "list_available_datasets": "rowmill.presets",
    "merge_receipts": "rowmill.receipts",
    "merge_states": "rowmill.merge",
    "mix": "rowmill.mixing.mix",
    "open": "rowmill.opening",
    "tokenize": "rowmill.conversion.tokens",
    "unpack": "rowmill.unpacking",
}


def __getattr__(name: str) -> Any:
    if name in ("demo", "hub", "remote"):
        return importlib.import_module(f"rowmill.{name}")
    if name == "SimpleArrowIterableDataset":
        # What scripts written for another loader call it.
        return __getattr__("Dataset")
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("rowmill")
    if name not in _LAZY:
        raise AttributeError(f"module 'rowmill' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
