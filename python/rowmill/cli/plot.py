"""Pictures: which row stands at which position, mode by mode; how fast rows come."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import RowmillError

if TYPE_CHECKING:
    from rowmill import Dataset
    from rowmill.cli.speed import Measured

__all__ = ["plot_orders", "plot_speed", "require_matplotlib"]

_MAX_POINTS = 20_000


def require_matplotlib() -> None:
    """Raises RowmillError, with the remedy, where matplotlib is not there."""
    if importlib.util.find_spec("matplotlib") is None:
        raise RowmillError("--plot needs matplotlib: pip install 'rowmill[plot]'")


def plot_orders(orders: dict[str, Dataset], measured: dict[str, dict[str, Any]], epoch: int, path: Path) -> None:
    """Writes one panel a mode; a well mixed order is an even grey, storage order a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(orders), 4.2), layout="constrained")
    panels = figure.subplots(1, len(orders), squeeze=False)[0]
    for panel, (name, ds) in zip(panels, orders.items(), strict=True):
        positions, row_ids = _points(ds, epoch)
        panel.plot(positions, row_ids, ",", alpha=0.6)
        panel.set_title(f"{name}: entropy {measured[name]['entropy_normalised']:.3f}")
        panel.set_xlabel("position in the epoch")
    panels[0].set_ylabel("row id")
    figure.savefig(path, dpi=120)


def plot_speed(measured: list[Measured], path: Path) -> None:
    """Writes one bar a way of reading, rowmill's in a colour of their own."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.5 * len(measured)), layout="constrained")
    panel = figure.subplots()
    names = [f"{way.reader}: {way.what}" for way in measured]
    colours = ["tab:orange" if way.reader == "rowmill" else "tab:gray" for way in measured]
    bars = panel.barh(names, [way.rows_per_second for way in measured], color=colours)
    panel.bar_label(
        bars,
        [f"{way.rows_per_second:,.0f} rows/s, {way.bytes_per_second / 1e6:,.0f} MB/s" for way in measured],
        padding=4,
    )
    panel.invert_yaxis()
    # Room for the longest bar's label.
    panel.set_xlim(right=1.55 * max(way.rows_per_second for way in measured))
    panel.set_xlabel("rows/s")
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _points(ds: Dataset, epoch: int) -> tuple[list[int], list[int]]:
    """At most so many positions, evenly spread in short runs, and the rows that stand there."""
    run = 64
    every = max(ds.num_rows * run // _MAX_POINTS, run)
    positions: list[int] = []
    row_ids: list[int] = []
    for first in range(0, ds.num_rows, every):
        stop = min(first + run, ds.num_rows)
        positions += range(first, stop)
        row_ids += ds._plan.rust_order.row_ids(epoch, first, stop)
    return positions, row_ids
