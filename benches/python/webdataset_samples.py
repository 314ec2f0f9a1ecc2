"""Shuffled WebDataset samples as dicts of bytes, and the first open of their archives."""

from typing import Any

import report
from options import parse
from tables import Case, Options, run_once
from throughput import table

# Seconds for the headers of 100,000 members.
INDEX_TARGET = 2.0

CASES = [
    Case("rowmill, shuffled", "peers.rowmill:samples_shuffled", "samples_tar"),
    Case("webdataset, shuffled", "peers.webdataset:samples_shuffled", "samples_tar", target_ratio=5),
    Case("webdataset, no shuffle", "peers.webdataset:samples_plain", "samples_tar", target_ratio=5),
    Case(
        "webdataset, shuffled, 2 workers",
        "peers.webdataset:samples_shuffled",
        "samples_tar",
        keywords={"num_workers": 2},
        target_ratio=5,
    ),
]
INDEX = Case("rowmill", "peers.opening:rowmill_archives", "samples_tar")


def main(options: Options) -> dict[str, Any]:
    """Measures and prints."""
    content = table("webdataset_samples", "shuffled 10 KB samples as dicts", "samples/s", 1.0, CASES, options)
    opened = run_once(INDEX, options)
    content["index"] = opened
    report.save("webdataset_samples", content)
    if "problem" in opened:
        report.console.print(f"first open: {opened['problem']}")
        return content
    seconds = opened["seconds"] * 100_000 / opened["members"]
    times = f"{opened['seconds']:.3f} s, later {opened['again_seconds']:.4f} s"
    word = "met" if seconds < INDEX_TARGET else "MISSED"
    report.console.print(
        f"first open of {opened['members']:,} members: {times}; 100,000 members < {INDEX_TARGET:g} s {word}"
    )
    return content


if __name__ == "__main__":
    main(parse(__doc__))
