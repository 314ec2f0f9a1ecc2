"""Documents to packed samples: rowmill beside `datasets` with `tokenizers`, as scripts have it."""

import itertools
import os
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from corpus import BATCH_SIZE, SEQ_LEN, Corpus
from peers import Again


def tokenizer_file() -> str:
    """The tokenizer of both sides: rowmill's own small one, or what ROWMILL_BENCH_TOKENIZER names."""
    import rowmill

    default = Path(rowmill.__file__).parent / "data" / "tokenizer.json"
    return os.environ.get("ROWMILL_BENCH_TOKENIZER", str(default))


def rowmill_text(corpus: Corpus, num_threads: int = 2, mode: str = "concat") -> Iterable[Any]:
    """Text, shuffled, tokenized and packed to int64 batches."""
    import rowmill

    ds = rowmill.open(corpus.text_arrow).shuffle(seed=42).tokenize(tokenizer_file(), eos_token=0)
    ds = counted(ds.pack(SEQ_LEN, mode=mode), mode)
    return ds.batch(BATCH_SIZE).loader(num_threads=num_threads)


def counted(ds: Any, mode: str) -> Any:
    """Counts the documents' tokens, once and not measured, where the mode wants it."""
    if mode == "best_fit_windows":
        ds.count_tokens()
    return ds


def engine_alone(corpus: Corpus, most: int = 64 << 20) -> Iterable[Any]:
    """Documents in memory encoded one after the other by one thread, and their ids counted: nothing else is done.

    About so many characters of them; an item stands for as many tokens as a batch has.
    """
    import pyarrow as pa

    from rowmill import _rust

    json = Path(tokenizer_file()).read_bytes()
    tokenizer = _rust.Tokenizer.from_json(json, origin="", allow_special=False, engine="auto", probes=[])
    blocks: list[list[str]] = []
    for path in corpus.text_arrow:
        with pa.ipc.open_stream(path) as reader:
            for batch in reader:
                blocks.append(batch.column("text").to_pylist())
                most -= sum(map(len, blocks[-1]))
                if most < 0:
                    break
        if most < 0:
            break

    def counted() -> Iterator[None]:
        num_tokens = 0
        for texts in itertools.cycle(blocks):
            num_tokens += tokenizer.num_tokens(texts) + len(texts)  # each is ended by one more
            yield from itertools.repeat(None, num_tokens // (BATCH_SIZE * SEQ_LEN))
            num_tokens %= BATCH_SIZE * SEQ_LEN

    return Again(counted)


def rowmill_tokens(corpus: Corpus, num_threads: int = 2) -> Iterable[Any]:
    """Ids on the disk, shuffled and packed to int64 batches of ids and labels, epoch after epoch without a pause."""
    import rowmill

    ds = rowmill.open(corpus.tokens_arrow).shuffle(seed=42).pack(SEQ_LEN, column="input_ids")
    return ds.batch(BATCH_SIZE).repeat().loader(num_threads=num_threads)


def datasets_text(corpus: Corpus) -> Iterable[Any]:
    """Streaming, shuffled, a batched map that encodes, the ids cut to samples and stacked for torch."""
    import torch
    from tokenizers import Tokenizer

    from peers import datasets

    tokenizer = Tokenizer.from_file(tokenizer_file())
    streamed = datasets.streamed(corpus.text_arrow).shuffle(seed=42, buffer_size=1000)

    # 1.0 has one way to encode, and no offsets to leave out.
    encode_batch = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)

    def encode(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {"input_ids": [[*one.ids, 0] for one in encode_batch(batch["text"])]}

    encoded = streamed.map(encode, batched=True, batch_size=100, remove_columns=["id", "text", "num_bytes"])

    def packed() -> Iterator[Any]:
        ids: list[int] = []
        size = BATCH_SIZE * SEQ_LEN
        for row in encoded:
            ids += row["input_ids"]
            while len(ids) > size:
                part = torch.tensor(ids[: size + 1])
                yield {"input_ids": part[:-1].view(BATCH_SIZE, -1), "labels": part[1:].view(BATCH_SIZE, -1)}
                ids = ids[size:]

    return Again(packed)


def rowmill_packed_resume(corpus: Corpus, mode: str = "concat", steps: int = 300) -> dict[str, Any]:
    """A fresh start's first batch, the first one after a resume in a new stream, and what taking a cursor costs."""
    import json

    import rowmill
    from peers.opening import timed

    def started() -> Any:
        ds = rowmill.open(corpus.text_arrow).shuffle(seed=42).tokenize(tokenizer_file(), eos_token=0)
        ds = counted(ds.pack(SEQ_LEN, mode=mode), mode)
        return ds.batch(BATCH_SIZE).repeat().loader(num_threads=2)

    def first_batch(state: Any = None) -> float:
        loader = started()
        if state is not None:
            loader.load_state_dict(state)
        seconds, _ = timed(lambda: next(iter(loader)))
        loader.close()
        return seconds

    loader = started()
    for _ in zip(range(steps), loader, strict=False):
        pass
    state = loader.state_dict()
    state_seconds = min(timed(lambda: [loader.state_dict() for _ in range(200)])[0] for _ in range(5)) / 200
    loader.close()
    # As of the mixes: a median, since how long a first batch takes hangs on when its threads get a core.
    fresh, resumed = (statistics.median(first_batch(one) for _ in range(9)) for one in (None, state))
    return {
        "fresh_seconds": fresh,
        "resumed_seconds": resumed,
        "state_seconds": state_seconds,
        "state_bytes": len(json.dumps(state)),
    }
