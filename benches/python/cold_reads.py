"""Shuffled reading of four gigabytes from a cold disk, beside what the disk can do past the page cache."""

import sys
from typing import Any

import report
from options import parse
from tables import Case, Options, run_all

RATIO_TARGET = 0.8

DISK = [
    Case(
        f"disk: O_DIRECT, random 1 MiB, {threads} threads",
        "peers.endurance:cold_direct",
        "",
        keywords={"threads": threads},
    )
    for threads in (1, 2, 4)
]
OURS = [
    Case(f"rowmill, io={io}", "peers.endurance:cold_rowmill", "", keywords={"io": io})
    for io in ("auto", "mmap", "read", "direct")
]
CASES = [*DISK, *OURS, Case("np.memmap, random rows", "peers.endurance:cold_memmap", "")]


def main(options: Options) -> dict[str, Any]:
    """Measures and prints; the target is held against the disk's best."""
    if not sys.platform.startswith("linux"):
        report.console.print("cold reads: left out, dropping a file's pages needs Linux")
        return {}
    results = run_all(CASES, options)
    best = max(
        (result.get("bytes_a_second", 0.0) for result in map(results.get, [case.name for case in DISK])),
        default=0,
    )
    rows = [line(case, results[case.name], best) for case in CASES]
    report.show("4 GB of shuffled token rows, cold", ["reader", "MB/s", "of the disk's best", "target"], rows)
    bars = {name: result["bytes_a_second"] / 1e6 for name, result in results.items() if "bytes_a_second" in result}
    if bars:
        report.draw("cold_reads", "4 GB of shuffled token rows, cold", "MB/s", bars, {case.name for case in OURS})
    content = {"title": "cold reads", "options": vars(options), "results": results}
    report.save("cold_reads", content)
    return content


def line(case: Case, result: dict[str, Any], best: float) -> list[str]:
    """One reader's line."""
    if "problem" in result:
        return [case.name, "-", "-", result["problem"]]
    share = result["bytes_a_second"] / best if best else 0.0
    target = ""
    if case is OURS[0]:
        target = f">= {RATIO_TARGET:.0%} {'met' if share >= RATIO_TARGET else 'MISSED'}"
    return [case.name, f"{result['bytes_a_second'] / 1e6:,.0f}", f"{share:.0%}", target]


if __name__ == "__main__":
    main(parse(__doc__))
