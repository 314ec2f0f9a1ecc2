"""JSON lines to Arrow shards, once: rowmill's conversion beside pyarrow's own read and write of the same file."""

from typing import Any

import report
from json_shapes import PACKINGS, SHAPES
from options import parse
from tables import Case, Options, run_all
from throughput import note

# rowmill reads in pieces, checks, syncs and renames; pyarrow holds the whole file and does none of it.
TIME_TARGET = 1.2

OURS, THEIRS = "peers.conversion:rowmill_jsonl", "peers.conversion:pyarrow_jsonl"
CASES = [
    Case("rowmill", OURS, "text_jsonl"),
    Case("pyarrow read_json + write", THEIRS, "text_jsonl", target_ratio=TIME_TARGET),
    Case("datasets load_dataset", "peers.conversion:datasets_jsonl", "text_jsonl"),
]


def main(options: Options) -> dict[str, Any]:
    """Measures and prints both tables."""
    title = "JSON lines to Arrow files, once"
    with report.console.status(title):
        results = run_all(CASES, options)
    rows = [line(case, results[case.name], results["rowmill"]) for case in CASES]
    report.show(title, ["converter", "s", "MB/s", "peak memory, MB", "rowmill takes", "target"], rows, note(options))
    rates = {name: result["rate"] for name, result in results.items() if "rate" in result}
    if rates:
        report.draw("jsonl_conversion", title, "MB/s of JSON", rates, {"rowmill"})
    content = {"title": title, "options": vars(options), "results": results, "shapes": shapes(options)}
    report.save("jsonl_conversion", content)
    return content


def line(case: Case, result: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """One converter's numbers, and rowmill's time as a share of its."""
    if "problem" in result:
        return [case.name, "-", "-", "-", "-", result["problem"]]
    numbers = [case.name, f"{result['seconds']:.2f}", f"{result['rate']:,.0f}", f"{result['peak_mb']:,.0f}"]
    if case.name == "rowmill" or "problem" in ours:
        return [*numbers, "", ""]
    share = ours["seconds"] / result["seconds"]
    return [*numbers, f"{share:.2f}x", "" if case.target_ratio is None else verdict(share)]


def verdict(share: float) -> str:
    return f"<= {TIME_TARGET:g}x {'met' if share <= TIME_TARGET else 'MISSED'}"


def shapes(options: Options) -> dict[str, Any]:
    """Files of other shapes, plain and packed."""
    title = "JSON lines of several shapes"
    names = [f"{shape}{packing}" for shape in SHAPES for packing in PACKINGS]
    with report.console.status(title):
        results = run_all([case for name in names for case in pair(name)], options)
    columns = ["file", "rowmill, s", "pyarrow, s", "memory grown, MB", "pyarrow's", "rowmill takes", "target"]
    rows = [shape_line(name, results[f"rowmill {name}"], results[f"pyarrow {name}"]) for name in names]
    report.show(title, columns, rows, note(options))
    return results


def pair(name: str) -> list[Case]:
    """Both converters of one file."""
    shape, _, packing = name.partition(".")
    keywords = {"shape": shape, "packing": f".{packing}" if packing else ""}
    return [
        Case(f"{who} {name}", target, "", keywords=keywords) for who, target in [("rowmill", OURS), ("pyarrow", THEIRS)]
    ]


def shape_line(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """One file's numbers."""
    problem = ours.get("problem") or theirs.get("problem")
    if problem:
        return [name, "-", "-", "-", "-", "-", problem]
    share = ours["seconds"] / theirs["seconds"]
    numbers = [f"{result['seconds']:.2f}" for result in (ours, theirs)]
    grown = [f"{result['grown_mb']:,.0f}" for result in (ours, theirs)]
    return [name, *numbers, *grown, f"{share:.2f}x", verdict(share)]


if __name__ == "__main__":
    main(parse(__doc__))
