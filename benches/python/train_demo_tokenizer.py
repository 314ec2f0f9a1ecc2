"""Trains the byte-level BPE that ships as rowmill/data/tokenizer.json on the sample that ships beside it.

Needs `tokenizers`. The outcome depends on nothing but the sample and the release of `tokenizers` (0.23.3).
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

_DATA = Path(__file__).parents[2] / "python" / "rowmill" / "data"

# The largest power of two whose file stays under 200 KB; ids fit 16 bits.
_VOCAB_SIZE = 4096


def texts() -> Iterator[str]:
    """The chapters of the sample."""
    with gzip.open(_DATA / "rust-book.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def train() -> Tokenizer:
    """A tokenizer of GPT-2's shape: byte-level, one special token, no normaliser."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCAB_SIZE,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


if __name__ == "__main__":
    (_DATA / "tokenizer.json").write_text(train().to_str(), encoding="utf-8")
