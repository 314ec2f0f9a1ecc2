"""Parquet: rows, decoding, columns, memory and opening; rowmill beside datasets and pyarrow."""

import itertools
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from corpus import ROWS_A_BLOCK, Corpus
from peers.endurance import anonymous_bytes
from peers.opening import timed


def files(corpus: Corpus, codec: str) -> list[str]:
    """The text rows in row groups of a thousand, as FineWeb's are."""
    return corpus.text_snappy if codec == "snappy" else corpus.text_zstd


def epochs(stream: Iterable[Any], num_rows: int) -> dict[str, Any]:
    """Rows a second of the first pass of a repeated stream, the wait for its first row among them, and of the second.

    Rows of all windows come in turns: what is decoded for the first second serves many others. Only a whole pass
    has decoded as much as it handed out; and what a loader keeps of it for the next one, only the next one shows.
    """
    clock, rows = time.perf_counter, iter(stream)
    started = clock()
    next(rows)
    first = clock()
    count = 1 + sum(1 for _row in itertools.islice(rows, num_rows - 1))
    middle = clock()
    again = sum(1 for _row in itertools.islice(rows, num_rows))
    end = clock()
    assert count == again == num_rows, f"{count} and {again} rows of {num_rows}"
    return {
        "rate": num_rows / (middle - started),
        "later_rate": num_rows / (end - middle),
        "first_s": first - started,
        "seconds": end - started,
        "items": 2 * num_rows,
    }


def num_rows(corpus: Corpus, codec: str) -> int:
    """Rows of all files."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in files(corpus, codec))


def rowmill_rows(corpus: Corpus, codec: str) -> dict[str, Any]:
    """Window-shuffled rows, one by one."""
    import rowmill

    count = num_rows(corpus, codec)
    return epochs(rowmill.open(files(corpus, codec)).shuffle(seed=42).repeat(2), count)


def streamed(corpus: Corpus, codec: str) -> Any:
    """Streaming with a shuffle buffer of 1000 rows."""
    from peers import datasets

    paths = files(corpus, codec)
    opened = datasets.datasets.load_dataset("parquet", data_files=paths, split="train", streaming=True)
    return opened.shuffle(seed=42, buffer_size=1000)


def datasets_rows(corpus: Corpus, codec: str) -> dict[str, Any]:
    """`datasets` without the pause that it makes where a pass ends."""
    return epochs(streamed(corpus, codec).repeat(2), num_rows(corpus, codec))


def datasets_rows_paused(corpus: Corpus, codec: str) -> dict[str, Any]:
    """`datasets` as a script has it: one pass, until its loop ends."""
    from peers import datasets

    datasets.datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = datasets.PAUSE
    started, first, count = time.perf_counter(), 0.0, 0
    for _row in streamed(corpus, codec):
        first = first or time.perf_counter() - started
        count += 1
    seconds = time.perf_counter() - started
    return {"rate": count / seconds, "first_s": first, "seconds": seconds, "items": count}


def decoded(batches: Iterable[Any]) -> dict[str, Any]:
    """Megabytes a second of Arrow batches, from the first one asked for to the last."""
    started = time.perf_counter()
    first = num_bytes = 0
    for batch in batches:
        first = first or time.perf_counter() - started
        num_bytes += batch.nbytes
    seconds = time.perf_counter() - started
    return {"rate": num_bytes / seconds / 1e6, "first_s": first, "seconds": seconds, "bytes": num_bytes}


def rowmill_decode(corpus: Corpus, codec: str) -> dict[str, Any]:
    """Arrow batches of a row group each, in storage order, decoded by the engine's threads."""
    # Imported at the first batch otherwise, which takes as long as a hundred megabytes.
    import pyarrow as pa

    import rowmill

    assert pa

    return decoded(rowmill.open(files(corpus, codec)).with_format("arrow").batch(ROWS_A_BLOCK))


def pyarrow_decode(corpus: Corpus, codec: str) -> dict[str, Any]:
    """`iter_batches` with its threads on, one file after the other."""
    import pyarrow.parquet as pq

    paths = files(corpus, codec)
    return decoded(
        batch
        for path in paths
        for batch in pq.ParquetFile(path, memory_map=True).iter_batches(ROWS_A_BLOCK, use_threads=True)
    )


def rowmill_columns(corpus: Corpus, count: int) -> dict[str, Any]:
    """Some of ten columns: seconds, and bytes of the files that were brought in."""
    import pyarrow as pa

    import rowmill

    assert pa

    opened = rowmill.open(corpus.wide_parquet).select_columns([f"c{index}" for index in range(count)])
    with opened.with_format("arrow").batch(ROWS_A_BLOCK).loader(io="read") as loader:
        seconds, _ = timed(lambda: sum(batch.num_rows for batch in loader))
        return {"seconds": seconds, "read_bytes": loader.stats()["read_bytes"]}


def rowmill_large_groups(corpus: Corpus, num_lanes: int, window_bytes: int, has_index: bool = True) -> dict[str, Any]:
    """The most anonymous memory of a shuffled epoch over row groups of 100 MB, with a page index or without."""
    import rowmill

    paths = sorted(str(path) for path in Path(corpus.large_groups).glob("*.parquet"))[0 if has_index else 1 :: 2]
    opened = rowmill.open(paths).shuffle(42, num_lanes=num_lanes, window_bytes=window_bytes)
    largest = opened.describe()["bytes_per_block"][1]
    loader = opened.loader()
    before, highest, is_over = anonymous_bytes(), 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not is_over.wait(0.01):
            highest = max(highest, anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds, rows = timed(lambda: sum(1 for _ in loader))
    is_over.set()
    watcher.join()
    stats = {key: value for key, value in loader.stats().items() if isinstance(value, int | float)}
    loader.close()
    windows = num_lanes * max(window_bytes, largest)
    return {"seconds": seconds, "rows": rows, "growth": highest - before, "windows": windows, "stats": stats}


def rowmill_open(corpus: Corpus) -> dict[str, Any]:
    """The first walk over all footers, then opens that find their index."""
    import rowmill

    # What a dataset is made of, torch where it is there, is imported at the first use: that is not what is measured.
    assert rowmill.Dataset
    with tempfile.TemporaryDirectory() as index_dir:

        def opened() -> int:
            return len(rowmill.open(Path(corpus.small_parquet), index_dir=index_dir))

        first, rows = timed(opened)
        again = sorted(timed(opened)[0] for _ in range(5))
    return {"seconds": first, "again_seconds": again[2], "rows": rows}
