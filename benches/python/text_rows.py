"""Shuffled text rows as Python dicts, one by one."""

from typing import Any

from options import parse
from tables import Case, Options
from throughput import table

CASES = [
    Case("rowmill, shuffled", "peers.rowmill:text_shuffled", "text_arrow"),
    Case("datasets streaming, shuffled", "peers.datasets:text_streaming", "text_arrow", target_ratio=15),
    Case("datasets streaming, no shuffle", "peers.datasets:text_streaming_plain", "text_arrow"),
    Case("datasets map-style, shuffled", "peers.datasets:text_map", "text_arrow", target_ratio=5),
    Case("MosaicML streaming, shuffled", "peers.mosaicml:text_shuffled", "text_mds", "mosaicml"),
    Case("pyarrow to_pylist, sequential", "peers.arrow:text_sequential", "text_arrow", target_ratio=0.8),
]


def main(options: Options) -> dict[str, Any]:
    """Measures and prints."""
    return table("text_rows", "shuffled text rows as dicts", "rows/s", 1.0, CASES, options)


if __name__ == "__main__":
    main(parse(__doc__))
