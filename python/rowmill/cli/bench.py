"""``rowmill bench``: how well an order mixes, measured without reading a row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rowmill.cli.opening import IndexDir, Paths, open_dataset
from rowmill.cli.options import Lanes, Mode, Seed
from rowmill.cli.output import AsJson, print_json, print_table

if TYPE_CHECKING:
    from rowmill import Dataset

_COLUMNS = {
    "entropy_normalised": "entropy (0 storage order, 1 random)",
    "mean_displacement": "mean displacement, share of rows",
    "mean_blocks_per_batch": "blocks a batch",
    "mean_shards_per_batch": "shards a batch",
    "batch_pairs_again": "batch mates again next epoch",
    "same_lane_again": "rows in the same lane again",
}


def bench(
    paths: Paths,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Measure the quality of the order.")] = False,
    mode: Annotated[str, typer.Option(help="window, shard, row, none, or all of them.", metavar="MODE|all")] = "all",
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of a global batch.")] = 64,
    seed: Seed = 0,
    lanes: Lanes = None,
    epoch: Annotated[int, typer.Option(min=0, help="Epoch; it is compared with the next one.")] = 0,
    max_rows: Annotated[int, typer.Option(min=2, help="Measure at most the first so many rows.")] = 2_000_000,
    plot: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw the orders into this file.", show_default=False)
    ] = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure the shuffle's quality, mode by mode; reads no row."""
    if not shuffle:
        raise ValueError("say what to measure: --shuffle (speed beside other loaders is `make bench`)")
    ds = open_dataset(paths, index_dir).shard(1, 0).take(max_rows)
    orders = {name: ds.shuffle(seed, mode=name, num_lanes=lanes) for name in _modes(mode)}
    if plot is not None:
        from rowmill.cli.plot import require_matplotlib

        require_matplotlib()
    measured = {name: _measure(order, epoch, batch_size) for name, order in orders.items()}
    if as_json:
        print_json({"num_rows": ds.num_rows, "batch_size": batch_size, "epoch": epoch, "modes": measured})
    else:
        _print(measured, ds.num_rows, batch_size)
    if plot is not None:
        from rowmill.cli.plot import plot_orders

        plot_orders(orders, measured, epoch, plot)


def _modes(asked: str) -> list[Any]:
    names = [mode.value for mode in Mode]
    if asked != "all" and asked not in names:
        raise ValueError(f"--mode is one of {', '.join(names)} or all, not {asked!r}")
    return names if asked == "all" else [asked]


def _measure(ds: Dataset, epoch: int, batch_size: int) -> dict[str, Any]:
    return dict(ds._plan.rust_order.quality(epoch, ds.num_rows, batch_size))


def _print(measured: dict[str, dict[str, Any]], num_rows: int, batch_size: int) -> None:
    def line(name: str, title: str) -> list[str]:
        scale = 1 / max(num_rows, 1) if name == "mean_displacement" else 1.0
        return [title, *(f"{values[name] * scale:.4g}" for values in measured.values())]

    lines = [line(name, title) for name, title in _COLUMNS.items()]
    print_table(["", *measured], lines, title=f"{num_rows:,} rows in global batches of {batch_size}")
    by_chance = (batch_size - 1) / max(num_rows - 1, 1)
    print(f"by chance: displacement 0.333, batch mates again {by_chance:.4g}")
