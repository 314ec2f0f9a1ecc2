"""What the tables of speed share: rowmill beside its peers, in items a second."""

import statistics
from typing import Any

import report
from tables import Case, Options, run_all
from turns import in_turns, turns_of


def ratio_text(case: Case, ratio: float | None) -> tuple[str, str]:
    """How many times as fast rowmill is, and whether that is what is promised."""
    if ratio is None:
        return "", ""
    if case.target_ratio is None:
        return f"{ratio:.2f}x", ""
    word = "met" if ratio >= case.target_ratio else "MISSED"
    return f"{ratio:.2f}x", f">= {case.target_ratio:g}x {word}"


def table(
    name: str,
    title: str,
    unit: str,
    per_item: float,
    cases: list[Case],
    options: Options,
    what: str = "",
    is_in_turns: bool = False,
) -> dict[str, Any]:
    """Runs all cases, ours first, prints, draws and saves; `what` is a run, where that is not so many seconds."""
    with report.console.status(f"{title}: {len(cases)} loaders, {options.runs} runs each"):
        results = (in_turns if is_in_turns else run_all)(cases, options)
    ours = next((case for case in cases if case.is_ours), None)
    rows = [line(case, results[case.name], results[ours.name] if ours else {}, per_item) for case in cases]
    below = note(options, what, turns_of(options) if is_in_turns else "")
    report.show(title, ["loader", unit, "later epochs", "first item, s", "rowmill is", "target"], rows, below)
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


def line(case: Case, result: dict[str, Any], ours: dict[str, Any], per_item: float) -> list[str]:
    """One loader's line; a peer that does not run says why instead."""
    if "problem" in result:
        return [case.name, "-", "-", "-", "-", result["problem"]]
    later = f"{result['later_rate'] * per_item:,.0f}" if result.get("later_rate") else ""
    return [
        case.name,
        f"{result['rate'] * per_item:,.0f}",
        later,
        f"{result['first_s']:.3f}",
        *ratio_text(case, None if case.is_ours and case.target_ratio is None else ratio(ours, result, case)),
    ]


def ratio(ours: dict[str, Any], theirs: dict[str, Any], case: Case) -> float | None:
    """How many times as fast: the median of slices of time that followed each other, else that of the medians."""
    if "rate" not in ours:
        return None
    if "slices" in theirs:
        return statistics.median(our / their for our, their in zip(ours["slices"], theirs["slices"], strict=True))
    # The machine's own speed is its best one: pages touched before, as rowmill finds them after populating.
    is_machine = case.name.startswith("machine")
    return ours["rate"] / (theirs.get("later_rate") or theirs["rate"] if is_machine else theirs["rate"])


def note(options: Options, what: str = "", measured: str = "") -> str:
    """How it was measured, under each table."""
    measured = measured or f"{options.runs} runs of {what or f'{options.seconds:g} s'}"
    return (
        f"a fresh process each, warm page cache, median of {measured}, "
        f"scale {options.scale:g}, {report.machine()['cpu']}, {report.machine()['cores']} cores"
    )
