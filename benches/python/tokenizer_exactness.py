"""Compares rowmill's ids with those of Python's `tokenizers`, over whole files of text and over every character.

    python benches/python/tokenizer_exactness.py TOKENIZER.json [FILE.parquet ...]

Needs `tokenizers` and pyarrow. Prints what was compared and which engine served; the exit status is 1 where an id
differs.
"""

import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import tokenizers

from rowmill._rust import Tokenizer

_CONTEXTS = ("{0}", "a{0}b", " {0}1{0} ", "{0}\u0301{0}\n", "x{0}{0}'s")
_CHUNK = 2000


def texts_of(paths: Iterable[str]) -> Iterator[str]:
    """The texts of Parquet files."""
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(64, columns=["text"]):
            yield from batch.column(0).to_pylist()


def characters() -> Iterator[str]:
    """Every character in several contexts."""
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            for context in _CONTEXTS:
                yield context.format(chr(code))


def differences(texts: Iterable[str], ours: Tokenizer, theirs: tokenizers.Tokenizer) -> tuple[int, int, list[str]]:
    """Texts and tokens compared, and the texts whose ids differ."""
    num_texts, num_tokens, found = 0, 0, []
    source = iter(texts)
    while chunk := list(itertools.islice(source, _CHUNK)):
        ids, counts = ours.encode_many(chunk)
        expected = theirs.encode_batch_fast(chunk)
        ends = np.cumsum([0, *counts])
        flat = np.frombuffer(ids, dtype="<u4")
        for index, encoding in enumerate(expected):
            num_tokens += len(encoding.ids)
            if flat[ends[index] : ends[index + 1]].tolist() != encoding.ids:
                found.append(chunk[index])
        num_texts += len(chunk)
    return num_texts, num_tokens, found


def main(path: str, files: list[str]) -> int:
    """Runs both comparisons."""
    ours = Tokenizer.from_json(Path(path).read_bytes(), origin=path, allow_special=False, engine="auto", probes=[])
    theirs = tokenizers.Tokenizer.from_file(path)
    theirs.encode_special_tokens = True
    theirs.no_truncation()
    theirs.no_padding()
    print(f"{path}: {ours.engine}; tokenizers {tokenizers.__version__}")
    status = 0
    for name, texts in (("files", texts_of(files)), ("characters", characters())):
        num_texts, num_tokens, found = differences(texts, ours, theirs)
        print(f"{name}: {num_texts} texts, {num_tokens} tokens, {len(found)} texts differ {found[:8]!r}")
        status |= bool(found)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
