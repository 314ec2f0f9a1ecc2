"""Text to token ids on disk: rowmill.tokenize beside `datasets.map` with `tokenizers`; and reading them back."""

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from corpus import BATCH_SIZE, SEQ_LEN, Corpus, read_once
from peers.packing import tokenizer_file

# Of the corpus, for a peer that would take an hour: rates are compared.
PART_ROWS = 8_000


def measured(files: list[str], write: Callable[[Path], int], corpus: Corpus) -> dict[str, Any]:
    """Seconds and megabytes of text a second of one whole run."""
    read_once(files)
    with tempfile.TemporaryDirectory(dir=corpus.folder) as folder:
        started = time.perf_counter()
        num_bytes = write(Path(folder))
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "rate": num_bytes / 1e6 / seconds, "first_s": seconds}


def rowmill_file(corpus: Corpus, **options: Any) -> dict[str, Any]:
    """On all cores, synced, with checksums; imports (torch's among them) and the tokenizer's loading aside."""
    import filelock  # noqa: F401

    import rowmill.conversion.tokens
    from rowmill.tokenizers import resolve_tokenizer

    resolve_tokenizer(tokenizer_file())
    files = corpus.text_arrow
    num_bytes = text_bytes(files)

    def write(folder: Path) -> int:
        rowmill.tokenize(files, folder / "ids", tokenizer=tokenizer_file(), eos_token=0, **options)
        return num_bytes

    return measured(files, write, corpus)


def text_bytes(files: list[str], num_rows: int | None = None) -> int:
    """Bytes of the texts, all or of the first rows."""
    from peers.datasets import datasets

    rows = datasets.concatenate_datasets([datasets.Dataset.from_file(path) for path in files])
    return sum((rows if num_rows is None else rows.select(range(num_rows)))["num_bytes"])


def datasets_map(corpus: Corpus, num_proc: int = 2) -> dict[str, Any]:
    """As scripts have it: a batched map in processes, written as it goes, of the first rows only."""
    from tokenizers import Tokenizer

    from peers.datasets import datasets

    files, tokenizer = corpus.text_arrow, Tokenizer.from_file(tokenizer_file())
    rows = datasets.concatenate_datasets([datasets.Dataset.from_file(path) for path in files])
    rows = rows.select(range(min(PART_ROWS, len(rows))))
    num_bytes = sum(rows["num_bytes"])

    def encode(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {"input_ids": [[*one.ids, 0] for one in tokenizer.encode_batch_fast(batch["text"])]}

    def write(folder: Path) -> int:
        rows.map(
            encode,
            batched=True,
            num_proc=num_proc,
            remove_columns=rows.column_names,
            load_from_cache_file=False,
            cache_file_name=str(folder / "ids.arrow"),
        )
        return num_bytes

    return measured(files, write, corpus)


def read_back(corpus: Corpus) -> Iterable[Any]:
    """Shuffled int64 batches of what rowmill.tokenize wrote as sequences."""
    import rowmill

    def write(folder: Path) -> None:
        rowmill.tokenize(
            corpus.text_arrow, folder / "ids", tokenizer=tokenizer_file(), eos_token=0, seq_len=SEQ_LEN, num_shards=8
        )

    folder = corpus.made("tokenized-arrow", write) / "ids"
    return rowmill.open(folder).shuffle(seed=42).batch(BATCH_SIZE).loader()
