"""JSON lines to Arrow shards, once: rowmill's conversion beside pyarrow's own read and write of the same file."""

from typing import Any

import report
from options import parse
from tables import Case, Options, run_all
from throughput import note

# rowmill reads in pieces, checks, syncs and renames; pyarrow holds the whole file and does none of it.
TIME_TARGET = 1.2

CASES = [
    Case("rowmill", "peers.conversion:rowmill_jsonl", "text_jsonl"),
    Case("pyarrow read_json + write", "peers.conversion:pyarrow_jsonl", "text_jsonl", target_ratio=TIME_TARGET),
    Case("datasets load_dataset", "peers.conversion:datasets_jsonl", "text_jsonl"),
]


def main(options: Options) -> dict[str, Any]:
    """Measures and prints."""
    title = "JSON lines to Arrow files, once"
    with report.console.status(title):
        results = run_all(CASES, options)
    rows = [line(case, results[case.name], results["rowmill"]) for case in CASES]
    report.show(title, ["converter", "s", "MB/s", "peak memory, MB", "rowmill takes", "target"], rows, note(options))
    rates = {name: result["rate"] for name, result in results.items() if "rate" in result}
    if rates:
        report.draw("jsonl_conversion", title, "MB/s of JSON", rates, {"rowmill"})
    content = {"title": title, "options": vars(options), "results": results}
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
    if case.target_ratio is None:
        return [*numbers, f"{share:.2f}x", ""]
    return [*numbers, f"{share:.2f}x", f"<= {case.target_ratio:g}x {'met' if share <= case.target_ratio else 'MISSED'}"]


if __name__ == "__main__":
    main(parse(__doc__))
