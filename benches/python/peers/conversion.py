"""Ways from JSON lines to Arrow files; every function converts into a folder of its own and returns its numbers."""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpus import Corpus


def measured(corpus: Corpus, convert: Callable[[str, Path], int]) -> dict[str, Any]:
    """Seconds, megabytes of JSON a second, and the most memory that the process held."""
    path = Path(corpus.text_jsonl)
    with tempfile.TemporaryDirectory(dir=corpus.folder) as folder:
        started = time.perf_counter()
        rows = convert(str(path), Path(folder))
        seconds = time.perf_counter() - started
    # Kilobytes, except on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"seconds": seconds, "rate": path.stat().st_size / 1e6 / seconds, "rows": rows, "peak_mb": peak / 1e6}


def rowmill_jsonl(corpus: Corpus) -> dict[str, Any]:
    """The first open, imports (torch's among them) aside."""
    import pyarrow.json  # noqa: F401

    import rowmill.conversion.text_files
    import rowmill.dataset

    return measured(
        corpus, lambda path, folder: rowmill.open(path, cache_dir=folder, index_dir=folder / "index").num_rows
    )


def pyarrow_jsonl(corpus: Corpus) -> dict[str, Any]:
    """Its reader with all its threads, and its writer; nothing is synced."""
    import pyarrow as pa
    import pyarrow.json

    def convert(path: str, folder: Path) -> int:
        table = pa.json.read_json(path)
        with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=1000)
        return table.num_rows

    return measured(corpus, convert)


def datasets_jsonl(corpus: Corpus) -> dict[str, Any]:
    """What its users wait for."""
    from peers.datasets import datasets

    def convert(path: str, folder: Path) -> int:
        return len(datasets.load_dataset("json", data_files=path, split="train", cache_dir=str(folder)))

    return measured(corpus, convert)
