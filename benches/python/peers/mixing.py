"""Eight sources mixed: rowmill beside its own plain order of the same rows, and `datasets`' interleaving."""

import itertools
import json
import statistics
import time
from collections.abc import Iterable
from typing import Any

from corpus import BATCH_SIZE, SEQ_LEN, Corpus
from peers import Again

# As in a pre-training mix: some large shares, some small ones.
WEIGHTS = [0.4, 0.2, 0.12, 0.08, 0.08, 0.05, 0.05, 0.02]


def sources(files: list[str]) -> tuple[dict[str, Any], dict[str, float]]:
    """Each shard as a source of its own, and their weights."""
    import rowmill

    opened = {f"source-{at}": rowmill.open(file).shuffle(seed=at) for at, file in enumerate(files)}
    return opened, dict(zip(opened, WEIGHTS, strict=False))


def rowmill_mixed(corpus: Corpus) -> Iterable[Any]:
    """Token batches of a mix, each source window-shuffled."""
    import rowmill

    return rowmill.mix(*sources(corpus.tokens_arrow), seed=7, stopping="repeat").batch(BATCH_SIZE).loader()


def rowmill_mixed_text(corpus: Corpus) -> Iterable[Any]:
    """Text rows of a mix, one by one."""
    import rowmill

    return rowmill.mix(*sources(corpus.text_arrow), seed=7, stopping="repeat")


def datasets_interleaved(corpus: Corpus) -> Iterable[Any]:
    """`interleave_datasets` of streams, each with a shuffle buffer; torch format, batched by `iter`."""
    import datasets

    from peers.datasets import int64_batches, streamed

    parts = [streamed([file]).shuffle(seed=at, buffer_size=1000) for at, file in enumerate(corpus.tokens_arrow)]
    mixed = datasets.interleave_datasets(parts, WEIGHTS, seed=7, stopping_strategy="all_exhausted").with_format("torch")
    return Again(lambda: int64_batches(mixed.iter(batch_size=BATCH_SIZE)))


def rowmill_resume_mix(corpus: Corpus) -> dict[str, Any]:
    """Text of eight sources mixed, encoded and packed over 64 lanes: first batches, and what taking a cursor costs."""
    import rowmill
    from peers.packing import tokenizer_file

    def job() -> Any:
        ds = rowmill.mix(*sources(corpus.text_arrow), seed=7).tokenize(tokenizer_file(), eos_token=0)
        return ds.pack(SEQ_LEN).batch(BATCH_SIZE).repeat().loader()

    def first_batch(state: dict[str, Any] | None) -> float:
        loader = job()
        if state is not None:
            loader.load_state_dict(state)
        started = time.perf_counter()
        next(iter(loader))
        taken = time.perf_counter() - started
        loader.close()
        return taken

    loader = job()
    iterator = iter(loader)
    for _ in itertools.islice(iterator, 100):
        pass
    state = loader.state_dict()
    started = time.perf_counter()
    for _ in range(200):
        loader.state_dict()
    state_seconds = (time.perf_counter() - started) / 200
    loader.close()
    return {
        "fresh_seconds": statistics.median(first_batch(None) for _ in range(5)),
        "resumed_seconds": statistics.median(first_batch(state) for _ in range(5)),
        "state_seconds": state_seconds,
        "state_bytes": len(json.dumps(state)),
    }
