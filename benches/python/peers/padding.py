"""Text to padded batches for fine-tuning: rowmill beside `datasets` with `tokenizers`, as scripts have it."""

from collections.abc import Iterable, Iterator
from typing import Any

from corpus import BATCH_SIZE, SEQ_LEN, Corpus
from peers import Again
from peers.packing import tokenizer_file

END = 0


def _padded(corpus: Corpus, num_threads: int, group_by_length: int | None) -> Any:
    import rowmill

    ds = rowmill.open(corpus.text_arrow).shuffle(seed=42).tokenize(tokenizer_file(), eos_token=END)
    ds = ds.pad(SEQ_LEN, pad_token_id=END).batch(BATCH_SIZE, group_by_length=group_by_length)
    return ds.loader(num_threads=num_threads)


def rowmill_padded(corpus: Corpus, num_threads: int = 2, group_by_length: int | None = None) -> Iterable[Any]:
    """Text, shuffled, encoded, cut and padded to int64 batches with attention masks."""
    return _padded(corpus, num_threads, group_by_length)


def rowmill_share(corpus: Corpus, group_by_length: int | None = None, steps: int = 1000) -> dict[str, Any]:
    """How much of the batches is padding."""
    real = places = 0
    for _, batch in zip(range(steps), _padded(corpus, 2, group_by_length), strict=False):
        real += int(batch["attention_mask"].sum())
        places += batch["attention_mask"].numel()
    return {"padding_share": 1 - real / places, "batches": steps}


def datasets_collated(corpus: Corpus) -> Iterable[Any]:
    """Streaming, shuffled; the texts of a batch encoded together, which cuts and pads them, and stacked for torch.

    It is what a transformers tokenizer does when it is called as a collate function.
    """
    import torch
    from tokenizers import Tokenizer

    from peers import datasets

    tokenizer = Tokenizer.from_file(tokenizer_file())
    tokenizer.enable_truncation(SEQ_LEN - 1)
    streamed = datasets.streamed(corpus.text_arrow).shuffle(seed=42, buffer_size=1000)

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        ids = [torch.tensor([*one.ids, END]) for one in tokenizer.encode_batch_fast([row["text"] for row in rows])]
        lengths = torch.tensor([len(row) for row in ids])
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=END)
        return {"input_ids": padded, "attention_mask": (torch.arange(padded.shape[1]) < lengths[:, None]).long()}

    def batches() -> Iterator[Any]:
        yield from torch.utils.data.DataLoader(streamed, batch_size=BATCH_SIZE, collate_fn=collate)

    return Again(batches)
