"""Hugging Face datasets: streaming and map-style."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

import datasets
import torch

from corpus import BATCH_SIZE, Corpus
from peers import Again

# datasets pauses for pyarrow's threads where a pass ends; that is not what is measured, but where it is said.
PAUSE = datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN
datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0


def streamed(paths: list[str]) -> datasets.IterableDataset:
    """Shards as load_dataset streams them."""
    return datasets.load_dataset("arrow", data_files=paths, split="train", streaming=True)


def mapped(paths: list[str]) -> datasets.Dataset:
    """Shards as one map-style dataset over their maps."""
    return datasets.concatenate_datasets([datasets.Dataset.from_file(path) for path in paths])


def int64_batches(batches: Iterable[Any]) -> Iterator[torch.Tensor]:
    """The rows of each batch as one tensor: with the torch format they come stacked already."""
    for batch in batches:
        rows = batch["input_ids"]
        yield rows if isinstance(rows, torch.Tensor) else torch.stack(list(rows))


def tokens_streaming(corpus: Corpus) -> Iterable[Any]:
    """Streaming with a shuffle buffer of 1000 rows, torch format, batched by `iter`: its fastest way."""
    dataset = streamed(corpus.tokens_arrow).shuffle(seed=42, buffer_size=1000).with_format("torch")
    return Again(lambda: int64_batches(dataset.iter(batch_size=BATCH_SIZE)))


def tokens_streaming_loader(corpus: Corpus) -> Iterable[Any]:
    """The same through torch's DataLoader, as its documentation has it."""
    dataset = streamed(corpus.tokens_arrow).shuffle(seed=42, buffer_size=1000).with_format("torch")
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH_SIZE)
    return Again(lambda: int64_batches(loader))


def tokens_streaming_numpy(corpus: Corpus) -> Iterable[Any]:
    """Streaming without a shuffle, numpy batches."""
    dataset = streamed(corpus.tokens_arrow).with_format("numpy")
    return Again(lambda: (batch["input_ids"] for batch in dataset.iter(batch_size=BATCH_SIZE)))


def tokens_map(corpus: Corpus) -> Iterable[Any]:
    """Map-style, shuffled by an index of rows, torch format."""
    dataset = mapped(corpus.tokens_arrow).shuffle(seed=42, keep_in_memory=True).with_format("torch")
    starts = range(0, len(dataset), BATCH_SIZE)
    return Again(lambda: int64_batches(dataset[start : start + BATCH_SIZE] for start in starts))


def text_streaming(corpus: Corpus) -> Iterable[Any]:
    """Streaming with a shuffle buffer of 1000 rows."""
    return streamed(corpus.text_arrow).shuffle(seed=42, buffer_size=1000)


def text_streaming_plain(corpus: Corpus) -> Iterable[Any]:
    """Streaming without a shuffle."""
    return streamed(corpus.text_arrow)


def text_map(corpus: Corpus) -> Iterable[Any]:
    """Map-style, shuffled by an index of rows."""
    return mapped(corpus.text_arrow).shuffle(seed=42, keep_in_memory=True)
