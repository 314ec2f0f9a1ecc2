"""pyarrow in storage order over memory maps."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from corpus import BATCH_SIZE, SEQ_LEN, Corpus
from peers import Again


def record_batches(paths: list[str]) -> Iterator[pa.RecordBatch]:
    """Every batch of every shard."""
    for path in paths:
        with pa.memory_map(path) as source, pa.ipc.open_stream(source) as reader:
            yield from reader


def tokens_sequential(corpus: Corpus) -> Iterable[Any]:
    """Zero-copy views of the values, widened eight rows at a time."""

    def epoch() -> Iterator[torch.Tensor]:
        for block in record_batches(corpus.tokens_arrow):
            rows = block.column(0).values.to_numpy().reshape(-1, SEQ_LEN)
            for start in range(0, len(rows), BATCH_SIZE):
                yield torch.from_numpy(rows[start : start + BATCH_SIZE].astype(np.int64))

    return Again(epoch)


def text_sequential(corpus: Corpus) -> Iterable[Any]:
    """`to_pylist` of each batch."""
    return Again(lambda: (row for block in record_batches(corpus.text_arrow) for row in block.to_pylist()))
