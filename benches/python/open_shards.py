"""Opening ten thousand shards: the first walk, and every open after it."""

from typing import Any

import report
from options import parse
from tables import Case, Options, run_all

FIRST_TARGET = 3.0
LATER_TARGET = 0.1
RATIO_TARGET = 40.0

CASES = [
    Case("rowmill", "peers.opening:rowmill_first_and_later", "small_shards"),
    Case("datasets streaming", "peers.opening:datasets_streaming", "small_shards", target_ratio=RATIO_TARGET),
    Case("datasets map-style", "peers.opening:datasets_map", "small_shards", target_ratio=RATIO_TARGET),
]


def main(options: Options) -> dict[str, Any]:
    """Measures and prints."""
    results = run_all(CASES, options)
    ours = results["rowmill"]
    rows = [line(case, results[case.name], ours) for case in CASES]
    title = f"opening {int(10_000 * options.scale):,} shards"
    report.show(title, ["loader", "first, s", "later, s", "rowmill's later open is", "target"], rows)
    content = {"title": title, "options": vars(options), "results": results}
    report.save("open_shards", content)
    return content


def line(case: Case, result: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """One loader's times."""
    if "problem" in result:
        return [case.name, "-", "-", "-", result["problem"]]
    times = [case.name, f"{result['seconds']:.3f}", f"{result['again_seconds']:.4f}"]
    if case.name == "rowmill":
        met = result["seconds"] < FIRST_TARGET and result["again_seconds"] < LATER_TARGET
        return [*times, "", f"< {FIRST_TARGET:g} s, < {LATER_TARGET:g} s {'met' if met else 'MISSED'}"]
    if "problem" in ours:
        return [*times, "", ""]
    ratio = result["again_seconds"] / ours["again_seconds"]
    return [*times, f"{ratio:.0f}x", f">= {RATIO_TARGET:g}x {'met' if ratio >= RATIO_TARGET else 'MISSED'}"]


if __name__ == "__main__":
    main(parse(__doc__))
