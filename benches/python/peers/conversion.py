"""Ways from JSON lines to Arrow files; every function converts into a folder of its own and returns its numbers."""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpus import Corpus, read_once
from json_shapes import path_of


def measured(corpus: Corpus, shape: str, packing: str, convert: Callable[[str, Path], int]) -> dict[str, Any]:
    """Seconds, megabytes of JSON a second, and the most memory that the process held, and by how much that grew."""
    plain = path_of(corpus, shape, "") if shape else Path(corpus.text_jsonl)
    path = path_of(corpus, shape, packing) if shape else plain
    read_once([str(path)])
    with tempfile.TemporaryDirectory(dir=corpus.folder) as folder:
        before, started = peak_mb(), time.perf_counter()
        rows = convert(str(path), Path(folder))
        seconds = time.perf_counter() - started
    rate = plain.stat().st_size / 1e6 / seconds
    return {"seconds": seconds, "rate": rate, "rows": rows, "peak_mb": peak_mb(), "grown_mb": peak_mb() - before}


def peak_mb() -> float:
    """Of this process so far."""
    # Kilobytes, except on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def rowmill_jsonl(corpus: Corpus, shape: str = "", packing: str = "") -> dict[str, Any]:
    """The first open, imports (torch's among them) aside."""
    import filelock  # noqa: F401
    import pyarrow.json  # noqa: F401

    import rowmill.conversion.text_files
    import rowmill.dataset

    def convert(path: str, folder: Path) -> int:
        return rowmill.open(path, cache_dir=folder, index_dir=folder / "index").num_rows

    return measured(corpus, shape, packing, convert)


def pyarrow_jsonl(corpus: Corpus, shape: str = "", packing: str = "") -> dict[str, Any]:
    """Its reader with all its threads, and its writer; nothing is synced."""
    import pyarrow as pa
    import pyarrow.json

    def convert(path: str, folder: Path) -> int:
        table = pa.json.read_json(path)
        with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=1000)
        return table.num_rows

    return measured(corpus, shape, packing, convert)


def datasets_jsonl(corpus: Corpus) -> dict[str, Any]:
    """What its users wait for."""
    from peers.datasets import datasets

    def convert(path: str, folder: Path) -> int:
        return len(datasets.load_dataset("json", data_files=path, split="train", cache_dir=str(folder)))

    return measured(corpus, "", "", convert)
