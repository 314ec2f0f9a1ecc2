"""rowmill itself."""

from collections.abc import Iterable
from typing import Any

import rowmill
from corpus import BATCH_SIZE, Corpus


def tokens_shuffled(corpus: Corpus, num_threads: int | None = None, is_endless: bool = False) -> Iterable[Any]:
    """Window-shuffled batches, threads chosen by rowmill unless given."""
    dataset = rowmill.open(corpus.tokens_arrow).shuffle(seed=42).batch(BATCH_SIZE)
    return (dataset.repeat() if is_endless else dataset).loader(num_threads=num_threads)


def text_shuffled(corpus: Corpus) -> Iterable[Any]:
    """Window-shuffled rows, one by one."""
    return rowmill.open(corpus.text_arrow).shuffle(seed=42)


def samples_shuffled(corpus: Corpus) -> Iterable[Any]:
    """Window-shuffled samples of WebDataset archives, one by one."""
    return rowmill.open(corpus.samples_tar).shuffle(seed=42)
