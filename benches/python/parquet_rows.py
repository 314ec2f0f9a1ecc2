"""Parquet as it lies: rows, decoding, columns, memory and opening."""

from typing import Any

import report
from options import parse
from tables import Case, Options, run_all, run_once
from throughput import note, table

ROWS_TARGET = 8.0
DECODE_TARGET = 1.6
MEMORY_TARGET = 1.2
OPEN_TARGETS = (2.0, 0.05)
LANES, WINDOW_BYTES = 32, 16 << 20


def rows_of(codec: str) -> list[Case]:
    """Shuffled rows as dicts."""
    keywords, data = {"codec": codec}, f"text_{codec}"
    return [
        Case("rowmill, shuffled", "peers.parquet:rowmill_rows", data, keywords=keywords, is_own=True),
        Case("datasets streaming, shuffled", "peers.parquet:datasets_rows", data, "main", keywords, ROWS_TARGET),
    ]


def decode_of(codec: str) -> list[Case]:
    """Arrow batches, as fast as they are decoded."""
    keywords, data = {"codec": codec}, f"text_{codec}"
    return [
        Case("rowmill", "peers.parquet:rowmill_decode", data, keywords=keywords, is_own=True),
        Case("pyarrow iter_batches, threads", "peers.parquet:pyarrow_decode", data, "main", keywords, DECODE_TARGET),
    ]


COLUMNS = [
    Case("one column of ten", "peers.parquet:rowmill_columns", "wide_parquet", keywords={"count": 1}, is_own=True),
    Case("all ten", "peers.parquet:rowmill_columns", "wide_parquet", keywords={"count": 10}, is_own=True),
]
LARGE = Case(
    "rowmill",
    "peers.parquet:rowmill_large_groups",
    "large_groups",
    keywords={"num_lanes": LANES, "window_bytes": WINDOW_BYTES},
    is_own=True,
)
OPENING = Case("rowmill", "peers.parquet:rowmill_open", "small_parquet", is_own=True)


def main(options: Options) -> dict[str, Any]:
    """Measures and prints."""
    content: dict[str, Any] = {}
    for codec in ("snappy", "zstd"):
        title = f"shuffled Parquet text rows as dicts, {codec}"
        content[f"rows_{codec}"] = table(f"parquet_rows_{codec}", title, "rows/s", 1.0, rows_of(codec), options)
        title = f"Parquet decoded to Arrow, {codec}"
        content[f"decode_{codec}"] = table(f"parquet_decode_{codec}", title, "MB/s", 1.0, decode_of(codec), options)
    content["columns"] = columns(options)
    content["memory"] = memory(options)
    content["opening"] = opening(options)
    report.save("parquet_rows", content)
    return content


def columns(options: Options) -> dict[str, Any]:
    """What one column costs beside ten."""
    results = run_all(COLUMNS, options)
    rows = [
        [name, *((f"{one['seconds']:.3f}", f"{one['read_bytes'] / 1e6:,.1f}") if "seconds" in one else ("-", "-"))]
        for name, one in results.items()
    ]
    report.show("columns of Parquet", ["", "seconds", "read, MB"], rows, note(options))
    return results


def memory(options: Options) -> dict[str, Any]:
    """The most memory over row groups of 100 MB, beside the windows that are open at once."""
    result, budget = run_once(LARGE, options), LANES * WINDOW_BYTES
    line = ["rowmill", "-", "-", "-", result.get("problem", "")]
    if "growth" in result:
        share = result["growth"] / budget
        again = f"{result['stats']['blocks_decoded_again']:,}"
        word = "met" if share <= MEMORY_TARGET else "MISSED"
        line = ["rowmill", f"{result['growth'] / 1e6:,.0f}", f"{share:.2f}", again, f"<= {MEMORY_TARGET:g} {word}"]
    title = f"row groups of 100 MB, {LANES} lanes with windows of 16 MiB"
    report.show(title, ["", "memory, MB", "of the windows", "blocks decoded again", "target"], [line])
    return result


def opening(options: Options) -> dict[str, Any]:
    """The first walk, and every open after it."""
    result = run_once(OPENING, options)
    line = ["rowmill", "-", "-", result.get("problem", "")]
    if "seconds" in result:
        first, later = OPEN_TARGETS
        word = "met" if result["seconds"] < first and result["again_seconds"] < later else "MISSED"
        line = [
            "rowmill",
            f"{result['seconds']:.3f}",
            f"{result['again_seconds']:.4f}",
            f"< {first:g} s, < {later:g} s {word}",
        ]
    report.show(f"opening {int(2_000 * options.scale):,} Parquet files", ["", "first, s", "later, s", "target"], [line])
    return result


if __name__ == "__main__":
    main(parse(__doc__))
