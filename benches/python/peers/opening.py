"""What opening ten thousand shards costs each loader; every function returns its numbers."""

import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from corpus import Corpus


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes, and what it returned."""
    started = time.perf_counter()
    value = call()
    return time.perf_counter() - started, value


def rowmill_first_and_later(corpus: Corpus) -> dict[str, Any]:
    """The first walk over all headers, then an open that finds its index."""
    import rowmill

    with tempfile.TemporaryDirectory() as index_dir:

        def opened() -> int:
            return len(rowmill.open(corpus.small_shards, index_dir=index_dir))

        first, rows = timed(opened)
        again = sorted(timed(opened)[0] for _ in range(5))
    return {"seconds": first, "again_seconds": again[2], "rows": rows}


def rowmill_archives(corpus: Corpus) -> dict[str, Any]:
    """The first walk over the headers of WebDataset archives, then an open that finds its index."""
    import rowmill

    # Imports torch, which takes longer than the walk.
    assert rowmill.Dataset
    with tempfile.TemporaryDirectory() as index_dir:

        def opened() -> int:
            return len(rowmill.open(corpus.samples_tar, index_dir=index_dir))

        first, samples = timed(opened)
        again = sorted(timed(opened)[0] for _ in range(5))
    return {"seconds": first, "again_seconds": again[2], "members": 2 * samples}


def shard_paths(corpus: Corpus) -> list[str]:
    """Every small shard."""
    return sorted(entry.path for entry in os.scandir(corpus.small_shards))


def datasets_streaming(corpus: Corpus) -> dict[str, Any]:
    """load_dataset over the list of files, to the first row."""
    from peers import datasets

    paths = shard_paths(corpus)
    first, dataset = timed(lambda: datasets.streamed(paths))
    to_row, _ = timed(lambda: next(iter(dataset)))
    again, _ = timed(lambda: datasets.streamed(paths))
    return {"seconds": first, "again_seconds": again, "first_row_seconds": to_row}


def datasets_map(corpus: Corpus) -> dict[str, Any]:
    """Every file mapped, then one concatenated dataset and its length."""
    from peers import datasets

    paths = shard_paths(corpus)
    first, rows = timed(lambda: len(datasets.mapped(paths)))
    again, _ = timed(lambda: len(datasets.mapped(paths)))
    return {"seconds": first, "again_seconds": again, "rows": rows}


def rowmill_resume(corpus: Corpus, fraction: float = 0.5) -> dict[str, Any]:
    """Cursor to iterator in the middle of a billion rows, and what taking a cursor costs."""
    import json

    import rowmill

    dataset = rowmill.open(corpus.huge).shuffle(seed=42).batch(8)
    steps = dataset.num_rows // 8
    loader = dataset.loader()
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    state_seconds = min(timed(lambda: [loader.state_dict() for _ in range(1000)])[0] for _ in range(5)) / 1000
    loader.close()
    far = moved(state, int(steps * fraction) * 8)

    other = dataset.loader()
    load, _ = timed(lambda: other.load_state_dict(far))
    start, iterator = timed(lambda: iter(other))
    first, _ = timed(lambda: next(iterator))
    other.close()
    return {
        "seconds": load + start,
        "first_batch_seconds": first,
        "state_seconds": state_seconds,
        "state_bytes": len(json.dumps(far)),
        "rows": dataset.num_rows,
        "position": int(steps * fraction) * 8,
    }


def moved(state: dict[str, Any], position: int) -> dict[str, Any]:
    """The same cursor at another place of the same epoch."""
    key = next(key for key in ("position", "next_position") if key in state)
    return {**state, key: position}


def datasets_resume(corpus: Corpus, fraction: float = 0.5) -> dict[str, Any]:
    """What datasets streaming takes: from its own state after 1000 rows, and by skipping to the middle."""
    from peers import datasets

    dataset = datasets.streamed(corpus.text_arrow)
    rows = sum(len(datasets.datasets.Dataset.from_file(path)) for path in corpus.text_arrow)
    position = int(rows * fraction)
    iterator = iter(dataset)
    for _ in range(1000):
        next(iterator)
    state_seconds, state = timed(dataset.state_dict)
    fresh = datasets.streamed(corpus.text_arrow).skip(position)
    first, _ = timed(lambda: next(iter(fresh)))
    resumed = datasets.streamed(corpus.text_arrow)
    load, _ = timed(lambda: resumed.load_state_dict(state))
    again, _ = timed(lambda: next(iter(resumed)))
    return {
        "seconds": load,
        "first_batch_seconds": again,
        "skip_seconds": first,
        "state_seconds": state_seconds,
        "rows": rows,
        "position": position,
    }
