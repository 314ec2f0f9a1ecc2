"""np.memmap over a flat file of tokens, as nanoGPT feeds itself, and the machine's own widening speed."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from corpus import BATCH_SIZE, SEQ_LEN, Corpus
from peers import Again


def tokens_random(corpus: Corpus) -> Iterable[Any]:
    """Eight random windows, each widened on its own, then stacked."""
    tokens = np.memmap(corpus.tokens_bin, dtype=np.int32, mode="r")
    generator = torch.Generator().manual_seed(42)
    batches = len(tokens) // SEQ_LEN // BATCH_SIZE

    def epoch() -> Iterator[torch.Tensor]:
        for _ in range(batches):
            places = torch.randint(len(tokens) - SEQ_LEN, (BATCH_SIZE,), generator=generator)
            yield torch.stack([torch.from_numpy(tokens[at : at + SEQ_LEN].astype(np.int64)) for at in places])

    return Again(epoch)


def tokens_widened(corpus: Corpus) -> Iterable[Any]:
    """What one thread can do at best: int32 copied into one reused 128 KB int64 batch, in storage order."""
    # A plain view: np.memmap's own slicing costs as much as the copy.
    rows = np.asarray(np.memmap(corpus.tokens_bin, dtype=np.int32, mode="r")).reshape(-1, SEQ_LEN)
    batch = np.empty((BATCH_SIZE, SEQ_LEN), dtype=np.int64)

    def epoch() -> Iterator[np.ndarray]:
        for start in range(0, len(rows), BATCH_SIZE):
            np.copyto(batch, rows[start : start + BATCH_SIZE])
            yield batch

    return Again(epoch)
