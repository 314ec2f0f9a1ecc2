"""Resuming in the middle of a billion rows, and what a cursor costs."""

from typing import Any

import report
from options import parse
from tables import Case, Options, run_all

ITERATOR_TARGET = 0.010
STATE_TARGET = 20e-6
BYTES_TARGET = 1024

CASES = [
    *(
        Case(
            f"rowmill, at {fraction:.0%}",
            "peers.opening:rowmill_resume",
            "huge",
            keywords={"fraction": fraction},
        )
        for fraction in (0.01, 0.5, 0.99)
    ),
    Case("datasets streaming, text rows, at 50%", "peers.opening:datasets_resume", "text_arrow"),
]


def main(options: Options) -> dict[str, Any]:
    """Measures and prints."""
    results = run_all(CASES, options)
    columns = [
        "loader",
        "rows",
        "cursor to iterator, ms",
        "then first item, ms",
        "by skipping, ms",
        "state_dict, us",
        "cursor, bytes",
        "target",
    ]
    report.show("resume", columns, [line(case, results[case.name]) for case in CASES])
    content = {"title": "resume", "options": vars(options), "results": results}
    report.save("resume", content)
    return content


def line(case: Case, result: dict[str, Any]) -> list[str]:
    """One loader's times."""
    if "problem" in result:
        return [case.name, *["-"] * 6, result["problem"]]
    skipped = f"{result['skip_seconds'] * 1e3:,.1f}" if "skip_seconds" in result else ""
    size = f"{result['state_bytes']:,.0f}" if "state_bytes" in result else ""
    numbers = [
        f"{result['rows']:,.0f}",
        f"{result['seconds'] * 1e3:.2f}",
        f"{result['first_batch_seconds'] * 1e3:,.1f}",
        skipped,
        f"{result['state_seconds'] * 1e6:.1f}",
        size,
    ]
    if not case.is_ours:
        return [case.name, *numbers, ""]
    met = (
        result["seconds"] < ITERATOR_TARGET
        and result["state_seconds"] < STATE_TARGET
        and result["state_bytes"] <= BYTES_TARGET
    )
    return [case.name, *numbers, f"< 10 ms, < 20 us, <= 1 KB {'met' if met else 'MISSED'}"]


if __name__ == "__main__":
    main(parse(__doc__))
