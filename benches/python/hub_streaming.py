"""Streaming Parquet text 20 ms away: rowmill beside `datasets` with its prefetch on, from the same server."""

import io
import statistics
from typing import Any

import report
from corpus import Corpus, text_blocks
from loopback import REPO, Bench, served
from options import parse
from tables import Options

RATIO_TARGET, BYTES_TARGET, LINK_SHARE = 3.0, 1.1, 0.8
NUM_FILES, FILE_BYTES = 8, 24 << 20
CLIENT = """
import os, sys, time
{imports}
begun, cpu = time.perf_counter(), os.times()
{call}
seconds = time.perf_counter() - begun
result = {{"seconds": seconds, "cpu": sum(os.times()[:2]) - sum(cpu[:2]), "rows": rows, "bytes": text, "more": more}}
"""
OURS = f"""
rows = text = 0
ds = rowmill.load_dataset({REPO!r}, streaming=True, columns=["text"]).with_format("arrow").batch(1000)
with ds.loader() as loader:
    for batch in loader:
        rows, text = rows + batch.num_rows, text + batch.nbytes
    more = loader.stats()
"""
THEIRS = f"""
import datasets.config
datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0
from pyarrow.dataset import ParquetFragmentScanOptions
options = ParquetFragmentScanOptions(cache_options=pa.CacheOptions(prefetch_limit=1, range_size_limit=128 << 20))
rows = text = 0
more = None
ds = load_dataset({REPO!r}, split="train", streaming=True, columns=["text"], fragment_scan_options=options)
for batch in ds.with_format("arrow").iter(batch_size=1000):
    rows, text = rows + batch.num_rows, text + batch.nbytes
"""
# Takes so many bytes a second and no more, as a training does, and counts when it had to wait.
PACED = f"""
import numpy as np
ds = rowmill.load_dataset({REPO!r}, streaming=True, columns=["text"]).with_format("arrow").batch(200)
waits, rows, text = [], 0, 0
with ds.loader() as loader:
    batches, due = iter(loader), None
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        waits.append(time.perf_counter() - asked)
        if batch is None:
            break
        rows, text = rows + batch.num_rows, text + batch.nbytes
        due = max(due or 0, time.perf_counter()) + batch.nbytes / {{rate}}
        time.sleep(max(0, due - time.perf_counter()))
waits = sorted(waits[len(waits) // 5 :])
more = {{{{"median_wait": waits[len(waits) // 2], "longest_wait": waits[-1], "share_of_waits": sum(waits)}}}}
"""


def main(options: Options) -> dict[str, Any]:
    """Measures and prints."""
    files, column_bytes = parquet_files(Corpus(max(options.scale, 0.05)), options.scale)
    ours = CLIENT.format(imports="import rowmill, rowmill.hub.load", call=OURS)
    theirs = CLIENT.format(imports="import pyarrow as pa\nfrom datasets import load_dataset", call=THEIRS)
    found: dict[str, list[dict[str, Any]]] = {"rowmill": [], "datasets, prefetch on": []}
    with report.console.status("streaming"), served(files) as bench:
        for turn in range(options.runs):
            for at, (name, code) in enumerate(zip(found, (ours, theirs), strict=True)):
                found[name].append(once(bench, code, f"{at}-{turn}"))
        rate = LINK_SHARE * statistics.median(run["bytes"] / run["seconds"] for run in found["rowmill"])
        paced = CLIENT.format(imports="import rowmill, rowmill.hub.load", call=PACED.format(rate=rate))
        found["rowmill, at 80 % of that"] = [once(bench, paced, "paced")]
    medians = {name: statistics.median(run["seconds"] for run in runs) for name, runs in found.items()}
    rows = [line(name, runs[-1], medians, column_bytes) for name, runs in found.items()]
    title = f"streaming one column of {NUM_FILES} Parquet files"
    columns = ["loader", "s", "MB/s of text", "CPU s", "requests", "bytes fetched", "rowmill is", "target"]
    wait = found["rowmill, at 80 % of that"][0]["more"]
    note = (
        "20 ms a request; once warm and taking 80 % of what it could, a step waits "
        f"{1000 * wait['median_wait']:.2f} ms in the median and {1000 * wait['longest_wait']:.1f} ms at most"
    )
    report.show(title, columns, rows, note=note)
    content = {"title": title, "options": vars(options), "results": found, "column_bytes": column_bytes}
    report.save("hub_streaming", content)
    return content


def parquet_files(corpus: Corpus, scale: float) -> tuple[dict[str, bytes], int]:
    """Text rows, and beside the text as many bytes that nobody asks for; and the bytes of the text's chunks."""
    import os

    import pyarrow as pa
    import pyarrow.parquet as pq

    files, column_bytes, blocks = {}, 0, text_blocks(corpus)
    for at in range(NUM_FILES):
        sink, size = io.BytesIO(), 0
        writer = None
        while size < max(FILE_BYTES * min(scale, 1), 1 << 20):
            block = pa.table(next(blocks))
            other = pa.array([os.urandom(len(text) // 2) for text in block["text"].to_pylist()])
            table = block.append_column("other", other)
            writer = writer or pq.ParquetWriter(sink, table.schema, write_page_index=True, write_page_checksum=True)
            writer.write_table(table)
            size += block.nbytes
        assert writer is not None
        writer.close()
        files[f"data/train-{at:05}-of-{NUM_FILES:05}.parquet"] = sink.getvalue()
        column_bytes += text_chunks(pq.read_metadata(io.BytesIO(sink.getvalue())))
    return files, column_bytes


def text_chunks(metadata: Any) -> int:
    """The stored bytes of the column of text."""
    at = metadata.schema.names.index("text")
    groups = range(metadata.num_row_groups)
    return sum(metadata.row_group(group).column(at).total_compressed_size for group in groups)


def once(bench: Bench, code: str, home: str) -> dict[str, Any]:
    """One run into an empty home, with what the server saw of it."""
    bench.hub.forget()
    measured: dict[str, Any] = bench.run(code, home)
    files = bench.hub.requests("GET", r"/resolve/.*\.parquet")
    return {**measured, "requests": bench.hub.count(), "fetched": sum(request.sent for request in files)}


def line(name: str, run: dict[str, Any], medians: dict[str, float], column_bytes: int) -> list[str]:
    """One loader's numbers."""
    seconds, share = medians[name], run["fetched"] / column_bytes
    numbers = [name, f"{seconds:.2f}", f"{run['bytes'] / seconds / 1e6:,.0f}", f"{run['cpu']:.2f}"]
    numbers += [f"{run['requests']:,}", f"{share:.2f}x the column"]
    if name == "rowmill":
        return [*numbers, "", f"<= {BYTES_TARGET:g}x {'met' if share <= BYTES_TARGET else 'MISSED'}"]
    if name.startswith("rowmill"):
        return [*numbers, "", ""]
    ratio = seconds / medians["rowmill"]
    return [*numbers, f"{ratio:.1f}x", f">= {RATIO_TARGET:g}x {'met' if ratio >= RATIO_TARGET else 'MISSED'}"]


if __name__ == "__main__":
    main(parse(__doc__))
