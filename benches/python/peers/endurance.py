"""rowmill over a long time (anonymous memory) and from a cold disk; every function returns its numbers."""

import functools
import mmap
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpus import BATCH_BYTES, BATCH_SIZE, Corpus

MIB = 1 << 20


def anonymous_bytes() -> int:
    """Memory of this process that no file backs."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell anonymous memory apart: run this table on Linux")


def memory_over(corpus: Corpus, batches: int = 20_000, every: int = 1_000) -> dict[str, Any]:
    """Anonymous memory every thousand batches, epoch after epoch, from one loader."""
    import rowmill

    loader = rowmill.open(corpus.tokens_arrow).shuffle(seed=42).batch(BATCH_SIZE).loader()
    samples = [anonymous_bytes()]
    seen = 0
    while seen < batches:
        for _batch in loader:
            seen += 1
            if seen % every == 0:
                samples.append(anonymous_bytes())
            if seen >= batches:
                break
    stats = {key: value for key, value in loader.stats().items() if isinstance(value, int | float)}
    loader.close()
    # The first thousand batches fill the pool and the ring; growth is what comes after them.
    return {
        "before": samples[0],
        "warm": samples[1],
        "end": samples[-1],
        "highest": max(samples[1:]),
        "growth": max(samples[1:]) - samples[1],
        "batches": seen,
        "samples": samples,
        "stats": stats,
    }


def drop_pages(paths: list[str]) -> int:
    """Asks the kernel to forget the files' pages; returns their size."""
    total = 0
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            total += os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
    return total


def second_of_two(read: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Reads twice from dropped pages; the second counts: a virtual disk's own cache is then as warm for everybody."""

    @functools.wraps(read)
    def read_twice(*arguments: Any, **keywords: Any) -> dict[str, Any]:
        read(*arguments, **keywords)
        return read(*arguments, **keywords)

    return read_twice


@second_of_two
def cold_rowmill(corpus: Corpus, io: str = "auto") -> dict[str, Any]:
    """One shuffled epoch from dropped pages."""
    import rowmill

    loader = rowmill.open(corpus.tokens_cold).shuffle(seed=42).batch(BATCH_SIZE).loader(io=io)
    drop_pages(corpus.tokens_cold)
    started = time.perf_counter()
    batches = sum(1 for _ in loader)
    elapsed = time.perf_counter() - started
    loader.close()
    return {"seconds": elapsed, "bytes_a_second": batches * BATCH_BYTES / elapsed}


@second_of_two
def cold_direct(corpus: Corpus, threads: int = 1) -> dict[str, Any]:
    """Every 1 MiB block of the same files once, in random order, past the page cache."""
    places = [(path, at * MIB) for path in corpus.tokens_cold for at in range(os.path.getsize(path) // MIB)]
    random.Random(42).shuffle(places)
    drop_pages(corpus.tokens_cold)
    files = {path: os.open(path, os.O_RDONLY | os.O_DIRECT) for path in corpus.tokens_cold}

    def read(part: list[tuple[str, int]]) -> None:
        buffer = mmap.mmap(-1, MIB)  # anonymous maps start on a page, as O_DIRECT wants
        for path, offset in part:
            if os.preadv(files[path], [buffer], offset) != MIB:
                raise OSError(f"{path}: short read at {offset}")

    workers = [threading.Thread(target=read, args=(places[index::threads],)) for index in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - started
    for descriptor in files.values():
        os.close(descriptor)
    return {"seconds": elapsed, "bytes_a_second": len(places) * MIB / elapsed}


@second_of_two
def cold_memmap(corpus: Corpus) -> dict[str, Any]:
    """np.memmap's random rows from dropped pages, for ten seconds."""
    from peers.memmap import tokens_random

    drop_pages([corpus.tokens_bin])
    started = time.perf_counter()
    batches = 0
    for _ in tokens_random(corpus):
        batches += 1
        if time.perf_counter() - started > 10:
            break
    elapsed = time.perf_counter() - started
    return {"seconds": elapsed, "bytes_a_second": batches * BATCH_BYTES / elapsed}
