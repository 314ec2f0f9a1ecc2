"""WebDataset itself, as its documentation has it."""

from collections.abc import Iterable
from typing import Any

import webdataset as wds

from corpus import NUM_SHARDS, Corpus
from peers import Again


def samples_shuffled(corpus: Corpus, num_workers: int = 0) -> Iterable[Any]:
    """Shards shuffled, samples through a buffer of 1000; with workers through its own loader."""
    dataset = wds.WebDataset(corpus.samples_tar, shardshuffle=NUM_SHARDS, seed=42).shuffle(1000)
    if not num_workers:
        return Again(lambda: iter(dataset))
    loader = wds.WebLoader(dataset, batch_size=None, num_workers=num_workers)
    return Again(lambda: iter(loader))


def samples_plain(corpus: Corpus) -> Iterable[Any]:
    """In the order of the archives."""
    dataset = wds.WebDataset(corpus.samples_tar, shardshuffle=False)
    return Again(lambda: iter(dataset))
