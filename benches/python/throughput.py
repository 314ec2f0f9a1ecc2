"""The two tables of speed: shuffled token batches and shuffled text rows, rowmill beside its peers."""

from typing import Any

import report
from tables import Case, Options, run_all


def ratio_text(case: Case, ours: float | None, theirs: float) -> tuple[str, str]:
    """How many times as fast rowmill is, and whether that is what is promised."""
    if ours is None or case.is_ours:
        return "", ""
    ratio = ours / theirs
    if case.target_ratio is None:
        return f"{ratio:.2f}x", ""
    word = "met" if ratio >= case.target_ratio else "MISSED"
    return f"{ratio:.2f}x", f">= {case.target_ratio:g}x {word}"


def table(
    name: str, title: str, unit: str, per_item: float, cases: list[Case], options: Options, what: str = ""
) -> dict[str, Any]:
    """Runs all cases, ours first, prints, draws and saves; `what` is a run, where that is not so many seconds."""
    with report.console.status(f"{title}: {len(cases)} loaders, {options.runs} runs each"):
        results = run_all(cases, options)
    ours = next((results[case.name] for case in cases if case.is_ours), {})
    rows = [line(case, results[case.name], ours.get("rate"), per_item) for case in cases]
    report.show(
        title, ["loader", unit, "later epochs", "first item, s", "rowmill is", "target"], rows, note(options, what)
    )
    bars = {name: result["rate"] * per_item for name, result in results.items() if "rate" in result}
    if bars:
        report.draw(name, title, unit, bars, {case.name for case in cases if case.is_ours})
    content = {
        "title": title,
        "unit": unit,
        "per_item": per_item,
        "options": vars(options),
        "results": results,
    }
    report.save(name, content)
    return content


def line(case: Case, result: dict[str, Any], ours: float | None, per_item: float) -> list[str]:
    """One loader's line; a peer that does not run says why instead."""
    if "problem" in result:
        return [case.name, "-", "-", "-", "-", result["problem"]]
    # The machine's own speed is its best one: pages touched before, as rowmill finds them after populating.
    theirs = result.get("later_rate") or result["rate"] if case.name.startswith("machine") else result["rate"]
    later = f"{result['later_rate'] * per_item:,.0f}" if result.get("later_rate") else ""
    return [
        case.name,
        f"{result['rate'] * per_item:,.0f}",
        later,
        f"{result['first_s']:.3f}",
        *ratio_text(case, ours, theirs),
    ]


def note(options: Options, what: str = "") -> str:
    """How it was measured, under each table."""
    return (
        f"a fresh process each, warm page cache, median of {options.runs} runs of {what or f'{options.seconds:g} s'}, "
        f"scale {options.scale:g}, {report.machine()['cpu']}, {report.machine()['cores']} cores"
    )
