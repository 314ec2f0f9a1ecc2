"""litData's streaming dataset with its loader of token blocks."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from litdata import StreamingDataset, TokensLoader

from corpus import BATCH_SIZE, SEQ_LEN, Corpus
from peers import Again


def tokens_shuffled(corpus: Corpus) -> Iterable[Any]:
    """Shuffled blocks, eight stacked and widened to int64."""
    loader = TokensLoader(block_size=SEQ_LEN)
    dataset = StreamingDataset(corpus.tokens_litdata, item_loader=loader, shuffle=True, seed=42, drop_last=True)

    def epoch() -> Iterator[torch.Tensor]:
        rows: list[torch.Tensor] = []
        for row in dataset:
            rows.append(row)
            if len(rows) == BATCH_SIZE:
                yield torch.stack(rows).to(torch.int64)
                rows = []

    return Again(epoch)
