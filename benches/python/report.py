"""Prints a table, and writes it as JSON and as a picture."""

import json
import os
import platform
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).resolve().parents[2] / "bench-results"
# Wide enough for every column also where there is no terminal.
console = Console(width=None if os.isatty(1) else 150)


def show(title: str, columns: list[str], rows: list[list[str]], note: str = "") -> None:
    """One table, the first column left, the others right."""
    table = Table(title=title, caption=note or None, title_justify="left", caption_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def machine() -> dict[str, Any]:
    """What a number is worth nothing without."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), model)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def save(name: str, content: dict[str, Any]) -> Path:
    """Writes one table's numbers as JSON."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **content}, indent=2), encoding="utf-8")
    return path


def draw(name: str, title: str, unit: str, bars: dict[str, float], ours: set[str]) -> None:
    """A bar for each loader; left out, and said so, where matplotlib is not there."""
    try:
        import matplotlib as mpl
    except ImportError:
        console.print(f"no picture of {title}: matplotlib is not installed")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    ranked = sorted(bars.items(), key=lambda item: item[1])
    figure, axes = plt.subplots(figsize=(9, 0.45 * len(ranked) + 1.4), layout="constrained")
    colours = ["#c8553d" if label in ours else "#7d8ca3" for label, _ in ranked]
    drawn = axes.barh([label for label, _ in ranked], [value for _, value in ranked], color=colours)
    axes.bar_label(drawn, fmt="{:,.0f}", padding=4)
    axes.set_title(title, loc="left")
    axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / f"{name}.png", dpi=150)
    plt.close(figure)
