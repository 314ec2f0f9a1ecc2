"""A small text as windows of token ids on the disk: what lanes cannot share, ranks still can.

Packing deals documents over lanes. A data set of a few long documents (tiny Shakespeare is one) would leave most lanes
and some ranks with nothing; its tokens are made once instead, and cut into rows that any number of ranks can share.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rowmill.conversion.disk_errors import explained
from rowmill.conversion.shard_writer import sync_folder
from rowmill.folders import cache_folder

if TYPE_CHECKING:
    from rowmill.dataset import Dataset

__all__ = ["is_small", "token_windows"]

# What is written for the same tokens; a change here makes all anew.
_VERSION = 1
_NAME = "windows.arrow"
_BLOCK_ROWS = 64
# Fewer documents than these leave lanes uneven, and so many bytes are encoded in seconds.
_FEW_ROWS, _FEW_BYTES = 1024, 256 << 20


def is_small(dataset: Dataset) -> bool:
    """Whether a data set has too few documents for lanes, and few enough bytes to be encoded at once."""
    return dataset.num_rows < _FEW_ROWS and dataset._plan.source.rust.num_bytes < _FEW_BYTES


def token_windows(tokenized: Dataset, length: int, cache_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """The documents' tokens, end to end in storage order, as rows of ``length``; what is left at the end stays out.

    Args:
        tokenized: A dataset that yields ``input_ids``.
        length: Ids of a row.
        cache_dir: Where they are kept; rowmill's cache folder when None.

    Raises:
        ValueError: There are fewer tokens than one row needs.
        AccessDeniedError: The cache folder cannot be written.
    """
    from rowmill.dataset import Dataset
    from rowmill.plan import Plan
    from rowmill.source import OpenedSource, OpenOptions, as_paths

    folder = cache_folder(cache_dir) / "windows"
    path = folder / _key(tokenized, length) / _NAME
    if not path.is_file():
        with explained(
            folder,
            closed="small texts are encoded once, so name another folder by ROWMILL_CACHE",
            full="a small text is encoded once and needs some, so name another folder by ROWMILL_CACHE",
        ):
            _write_once(tokenized, length, path)
    options = OpenOptions(paths=as_paths(path), origin=tokenized._plan.source.options.origin)
    return Dataset(Plan(OpenedSource(options)))


def _key(tokenized: Dataset, length: int) -> str:
    plan = tokenized._plan
    made_of = [_VERSION, tokenized.fingerprint, tokenized.num_rows, list(plan.pipeline.description), length]
    return hashlib.blake2b(json.dumps(made_of).encode(), digest_size=16).hexdigest()


def _write_once(tokenized: Dataset, length: int, path: Path) -> None:
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    # The system's lock, which dies with its holder; what a killed holder left is written over.
    with FileLock(f"{path.parent}.lock"):
        if path.is_file():
            return
        part = path.with_name(f".{_NAME}.part")
        num_rows = _write(tokenized, length, part, path.parent.name)
        if num_rows == 0:
            part.unlink()
            raise ValueError(
                f"the data have fewer than {length:,} tokens, which one sample needs (seq_len + 1); choose a smaller "
                "seq_len, or more data"
            )
        part.replace(path)
        sync_folder(path.parent)


def _write(tokenized: Dataset, length: int, path: Path, key: str) -> int:
    import pyarrow as pa

    # The key is part of the header, and so of the fingerprint: a cursor of other tokens of the same shape is refused.
    schema = pa.schema([pa.field("input_ids", pa.list_(pa.int32(), length))], metadata={"rowmill.windows": key})
    num_rows = 0
    with open(path, "wb") as file:
        with pa.ipc.new_stream(file, schema) as writer:
            for rows in _windows(tokenized, length):
                values = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), length)
                writer.write_batch(pa.record_batch([values], schema=schema))
                num_rows += len(rows)
        file.flush()
        os.fsync(file.fileno())
    return num_rows


def _windows(tokenized: Dataset, length: int) -> Iterator[Any]:
    """Blocks of whole windows, int32 (rows, ``length``)."""
    held: list[Any] = []
    num_held = 0
    for row in tokenized.shard(1, 0).with_format("numpy"):
        held.append(np.asarray(row["input_ids"], np.int32))
        num_held += len(held[-1])
        if num_held < _BLOCK_ROWS * length:
            continue
        tokens = np.concatenate(held)
        num_rows = num_held // length
        for start in range(0, num_rows, _BLOCK_ROWS):
            stop = min(start + _BLOCK_ROWS, num_rows)
            yield tokens[start * length : stop * length].reshape(-1, length)
        held = [tokens[num_rows * length :]]
        num_held = len(held[0])
    if num_held >= length:
        tokens = np.concatenate(held)
        yield tokens[: num_held // length * length].reshape(-1, length)
