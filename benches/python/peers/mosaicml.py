"""MosaicML's streaming dataset, local shards."""

import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch

from corpus import BATCH_SIZE, Corpus
from peers import Again


class NoVision(ModuleType):
    """Stands for streaming's image datasets: they import torchvision, whose wheel needs a torch with CUDA."""

    def __getattr__(self, name: str) -> None:
        """Any name: importing it must work, nobody calls it."""


sys.modules["streaming.vision"] = NoVision("streaming.vision")

from streaming import MDSWriter as MDSWriter
from streaming import StreamingDataset
from streaming.base.util import clean_stale_shared_memory

# What a killed run left in shared memory would refuse the next one.
clean_stale_shared_memory()


def tokens_shuffled(corpus: Corpus) -> Iterable[Any]:
    """Shuffled samples, eight stacked to int64."""
    dataset = StreamingDataset(local=corpus.tokens_mds, shuffle=True, shuffle_seed=42, batch_size=BATCH_SIZE)

    def epoch() -> Iterator[torch.Tensor]:
        rows: list[np.ndarray] = []
        for sample in dataset:
            rows.append(sample["input_ids"])
            if len(rows) == BATCH_SIZE:
                yield torch.from_numpy(np.stack(rows).astype(np.int64))
                rows = []

    return Again(epoch)


def text_shuffled(corpus: Corpus) -> Iterable[Any]:
    """Shuffled rows."""
    return StreamingDataset(local=corpus.text_mds, shuffle=True, shuffle_seed=42, batch_size=BATCH_SIZE)
