"""Anonymous memory over twenty thousand batches: it must not grow."""

from typing import Any

import report
from options import parse
from tables import Case, Options, run_once

GROWTH_TARGET = 16 << 20
CASE = Case("rowmill", "peers.endurance:memory_over", "tokens_arrow")


def main(options: Options) -> dict[str, Any]:
    """Measures once, for it is not a matter of speed, and prints."""
    result = run_once(CASE, options)
    columns = ["", "before, MB", "after 1,000 batches, MB", "highest later, MB", "growth, MB", "target"]
    title = f"anonymous memory over {result.get('batches', 20_000):,} batches"
    report.show(title, columns, [line(result)])
    held = {key: value for key, value in result.get("stats", {}).items() if "byte" in key}
    if held:
        report.show(
            "what the engine says it holds and read",
            ["stats()", "bytes"],
            [[key, f"{value:,}"] for key, value in held.items()],
        )
    content = {"title": title, "options": vars(options), "results": {CASE.name: result}}
    report.save("memory", content)
    return content


def line(result: dict[str, Any]) -> list[str]:
    """The one line."""
    if "problem" in result:
        return ["rowmill", "-", "-", "-", "-", result["problem"]]
    met = "met" if result["growth"] < GROWTH_TARGET else "MISSED"
    numbers = (f"{result[key] / 1e6:,.1f}" for key in ("before", "warm", "highest", "growth"))
    return ["rowmill", *numbers, f"< 16 MiB {met}"]


if __name__ == "__main__":
    main(parse(__doc__))
