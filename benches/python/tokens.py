"""Shuffled rows of 2048 int32 tokens to int64 torch batches of eight."""

from typing import Any

from corpus import BATCH_BYTES
from options import parse
from tables import Case, Options
from throughput import table

CASES = [
    Case("rowmill, shuffled", "peers.rowmill:tokens_shuffled", "tokens_arrow"),
    Case("rowmill, no threads", "peers.rowmill:tokens_shuffled", "tokens_arrow", keywords={"num_threads": 0}),
    Case("rowmill, 1 thread", "peers.rowmill:tokens_shuffled", "tokens_arrow", keywords={"num_threads": 1}),
    Case("rowmill, 2 threads", "peers.rowmill:tokens_shuffled", "tokens_arrow", keywords={"num_threads": 2}),
    # The promise is held against the documented way, a DataLoader; `iter` is datasets at its fastest.
    Case(
        "datasets streaming, shuffled, DataLoader",
        "peers.datasets:tokens_streaming_loader",
        "tokens_arrow",
        target_ratio=60,
    ),
    Case("datasets streaming, shuffled, iter(8)", "peers.datasets:tokens_streaming", "tokens_arrow"),
    Case("datasets streaming, numpy, no shuffle", "peers.datasets:tokens_streaming_numpy", "tokens_arrow"),
    Case("datasets map-style, shuffled, torch", "peers.datasets:tokens_map", "tokens_arrow", target_ratio=14),
    Case("MosaicML streaming, shuffled", "peers.mosaicml:tokens_shuffled", "tokens_mds", "mosaicml"),
    Case(
        "litData TokensLoader, shuffled",
        "peers.litdata:tokens_shuffled",
        "tokens_litdata",
        "litdata",
        target_ratio=6,
    ),
    Case("np.memmap, random rows", "peers.memmap:tokens_random", "tokens_bin", target_ratio=3),
    Case("pyarrow, sequential", "peers.arrow:tokens_sequential", "tokens_arrow"),
    Case("machine: widening, 1 thread", "peers.memmap:tokens_widened", "tokens_bin", target_ratio=0.5),
]


def main(options: Options) -> dict[str, Any]:
    """Measures and prints; a batch counts with its int32 bytes, whatever the loader makes of them."""
    title = "shuffled 2048-token rows to int64 torch batches of 8"
    return table("tokens", title, "MB/s of source", BATCH_BYTES / 1e6, CASES, options)


if __name__ == "__main__":
    main(parse(__doc__))
