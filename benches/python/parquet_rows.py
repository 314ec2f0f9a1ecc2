"""Parquet as it lies: rows, decoding, columns, memory and opening."""

from typing import Any

import report
from options import parse
from tables import Case, Options, run_all, run_once
from throughput import note, table

ROWS_TARGET = 8.0
DECODE_TARGET = 1.6
MEMORY_TARGET = 1.2
# What a loader makes ahead, where nobody says otherwise: a budget of its own beside that of the windows.
PREFETCH_BYTES = 64 << 20
OPEN_TARGETS = (2.0, 0.05)
# Lanes, the MiB of each one's windows (a small window holds one block at least), and whether there is a page index.
WINDOWS = [(64, 1, True), (16, 4, True), (32, 16, True), (32, 16, False)]
WHOLE = "a whole epoch, its first row included, then one more"


def rows_of(codec: str) -> list[Case]:
    """Shuffled rows as dicts."""
    keywords, data = {"codec": codec}, f"text_{codec}"
    return [
        Case("rowmill, shuffled", "peers.parquet:rowmill_rows", data, keywords=keywords, is_own=True),
        Case("datasets streaming, shuffled", "peers.parquet:datasets_rows", data, "main", keywords, ROWS_TARGET),
        Case("the same, its pause included", "peers.parquet:datasets_rows_paused", data, "main", keywords, ROWS_TARGET),
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
LARGE = [
    Case(
        f"{lanes} lanes, windows of {size} MiB" + ("" if has_index else ", no page index"),
        "peers.parquet:rowmill_large_groups",
        "large_groups",
        keywords={"num_lanes": lanes, "window_bytes": size << 20, "has_index": has_index},
        is_own=True,
    )
    for lanes, size, has_index in WINDOWS
]
OPENING = Case("rowmill", "peers.parquet:rowmill_open", "small_parquet", is_own=True)


def main(options: Options) -> dict[str, Any]:
    """Measures and prints."""
    content: dict[str, Any] = {}
    for codec in ("snappy", "zstd"):
        title = f"shuffled Parquet text rows as dicts, {codec}"
        name = f"parquet_rows_{codec}"
        content[f"rows_{codec}"] = table(name, title, "rows/s", 1.0, rows_of(codec), options, WHOLE)
        title, name = f"Parquet decoded to Arrow, {codec}", f"parquet_decode_{codec}"
        content[f"decode_{codec}"] = table(name, title, "MB/s", 1.0, decode_of(codec), options, "all files")
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
    """The most memory over row groups of 100 MB, beside the two budgets: the open windows, and what is made ahead."""
    results = {case.name: run_once(case, options) for case in LARGE}
    columns = ["", "memory, MB", "windows, MB", "seconds", "blocks decoded again", "target"]
    title = "memory over row groups of 100 MB; the windows + 20 %, and 64 MiB that are made ahead, are the target"
    report.show(title, columns, [memory_line(name, result) for name, result in results.items()])
    return results


def memory_line(name: str, result: dict[str, Any]) -> list[str]:
    """One size of windows."""
    if "problem" in result:
        return [name, "-", "-", "-", "-", result["problem"]]
    most = result["windows"] * MEMORY_TARGET + PREFETCH_BYTES
    word = "met" if result["growth"] <= most else "MISSED"
    numbers = (f"{result[key] / 1e6:,.0f}" for key in ("growth", "windows"))
    again = f"{result['stats']['blocks_decoded_again']:,}"
    return [name, *numbers, f"{result['seconds']:.2f}", again, f"<= {most / 1e6:,.0f} {word}"]


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
