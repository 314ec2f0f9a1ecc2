"""How well orders mix: what ``rowmill bench --shuffle`` measures without reading a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rowmill.cli.options import Mode
from rowmill.cli.output import print_table

if TYPE_CHECKING:
    from rowmill import Dataset

__all__ = ["measure_orders", "orders_of", "print_orders"]

_COLUMNS = {
    "entropy_normalised": "entropy (0 storage order, 1 random)",
    "mean_displacement": "mean displacement, share of rows",
    "mean_blocks_per_batch": "blocks a batch",
    "mean_shards_per_batch": "shards a batch",
    "batch_pairs_again": "batch mates again next epoch",
    "same_lane_again": "rows in the same lane again",
}


def orders_of(ds: Dataset, asked: str, seed: int, lanes: int | None) -> dict[str, Dataset]:
    """The dataset in each mode that is asked for: one by its name, or all of them.

    Raises:
        ValueError: There is no such mode.
    """
    names: list[Any] = [mode.value for mode in Mode if asked in ("all", mode.value)]
    if not names:
        raise ValueError(f"--mode is one of {', '.join(Mode)} or all, not {asked!r}")
    return {name: ds.shuffle(seed, mode=name, num_lanes=lanes) for name in names}


def measure_orders(orders: dict[str, Dataset], epoch: int, batch_size: int) -> dict[str, dict[str, Any]]:
    """The quality of each order."""
    return {name: dict(ds._plan.rust_order.quality(epoch, ds.num_rows, batch_size)) for name, ds in orders.items()}


def print_orders(measured: dict[str, dict[str, Any]], num_rows: int, batch_size: int) -> None:
    """One column a mode."""

    def line(name: str, title: str) -> list[str]:
        scale = 1 / max(num_rows, 1) if name == "mean_displacement" else 1.0
        return [title, *(f"{values[name] * scale:.4g}" for values in measured.values())]

    lines = [line(name, title) for name, title in _COLUMNS.items()]
    print_table(["", *measured], lines, title=f"{num_rows:,} rows in global batches of {batch_size}")
    by_chance = (batch_size - 1) / max(num_rows - 1, 1)
    print(f"by chance: displacement 0.333, batch mates again {by_chance:.4g}")
