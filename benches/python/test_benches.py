"""The same cases for `pytest benches`: in one process, timed by pytest-benchmark."""

import importlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import text_rows
import tokens
import webdataset_samples
from corpus import BATCH_BYTES, Corpus, read_once
from measure import files_of
from tables import Case, Options

BATCHES_A_ROUND = 64
# Several blocks of a thousand: a loader that makes a block's rows at once must not look free between blocks.
ROWS_A_ROUND = 4_000


def endless(case: Case, corpus: Corpus) -> Iterator[Any]:
    """A case's items, epoch after epoch; skipped, with the reason shown, where its loader is not there."""
    if case.environment != "main":
        pytest.skip(f"{case.name} lives in an environment of its own: see `make bench`")
    module, function = case.target.split(":")
    try:
        made = getattr(importlib.import_module(module), function)
    except ImportError as problem:
        pytest.skip(f"{case.name}: {problem}")
    read_once(files_of(corpus, case.data))
    iterable = made(corpus, **case.keywords)
    return itertools.chain.from_iterable(itertools.repeat(iterable))


def consume(items: Iterator[Any], count: int) -> None:
    for _ in itertools.islice(items, count):
        pass


@pytest.mark.parametrize("case", tokens.CASES, ids=lambda case: case.name)
def test_tokens(case: Case, corpus: Corpus, benchmark: Any) -> None:
    benchmark.group = "64 shuffled token batches"
    items = endless(case, corpus)
    benchmark.pedantic(consume, args=(items, BATCHES_A_ROUND), rounds=10, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["MB/s"] = BATCHES_A_ROUND * BATCH_BYTES / benchmark.stats.stats.median / 1e6


@pytest.mark.parametrize("case", text_rows.CASES, ids=lambda case: case.name)
def test_text_rows(case: Case, corpus: Corpus, benchmark: Any) -> None:
    benchmark.group = "4,000 shuffled text rows"
    items = endless(case, corpus)
    benchmark.pedantic(consume, args=(items, ROWS_A_ROUND), rounds=5, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["rows/s"] = ROWS_A_ROUND / benchmark.stats.stats.median


@pytest.mark.parametrize("case", webdataset_samples.CASES, ids=lambda case: case.name)
def test_webdataset_samples(case: Case, corpus: Corpus, benchmark: Any) -> None:
    benchmark.group = "4,000 shuffled WebDataset samples"
    items = endless(case, corpus)
    benchmark.pedantic(consume, args=(items, ROWS_A_ROUND), rounds=5, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["samples/s"] = ROWS_A_ROUND / benchmark.stats.stats.median


TABLES = [
    "tokens",
    "text_rows",
    "parquet_rows",
    "webdataset_samples",
    "open_shards",
    "resume",
    "memory",
    "cold_reads",
    "jsonl_conversion",
]


@pytest.mark.parametrize("table", TABLES)
def test_peers_table(table: str, options: Options, benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's tables themselves, fresh processes and all, as `make bench` prints them."""
    if not options.runs:
        pytest.skip("asked for by --tables")
    module = importlib.import_module(table)
    with capsys.disabled():
        benchmark.pedantic(module.main, args=(options,), rounds=1)
