"""``rowmill bench``: how fast this data set is read on this machine, or how well an order mixes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rowmill.cli.opening import IndexDir, Paths, Split, open_dataset
from rowmill.cli.options import Columns, Lanes, Seed, as_columns
from rowmill.cli.output import AsJson, check_target, print_json, print_table, size
from rowmill.cli.progress import progress_bar

if TYPE_CHECKING:
    from rowmill.cli.speed import Measured


def bench(
    paths: Paths,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Measure how well orders mix instead; reads no row.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of a batch.")] = 64,
    columns: Columns = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="How long each way of reading is measured.")] = 3,
    compare: Annotated[
        list[str] | None,
        typer.Option("--compare", metavar="datasets", help="Measure this loader beside rowmill.", show_default=False),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=0, help="Threads of rowmill; 0 reads in the caller.", show_default="by cores")
    ] = None,
    seed: Seed = 0,
    mode: Annotated[
        str, typer.Option(help="With --shuffle: window, shard, row, none, or all of them.", metavar="MODE|all")
    ] = "all",
    lanes: Lanes = None,
    epoch: Annotated[int, typer.Option(min=0, help="With --shuffle: epoch; it is compared with the next one.")] = 0,
    max_rows: Annotated[
        int, typer.Option(min=2, help="With --shuffle: measure at most the first so many rows.")
    ] = 2_000_000,
    plot: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw the result into this PNG.", show_default=False)
    ] = None,
    split: Split = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure reading: rows/s, MB/s and time to the first batch, beside pyarrow's plain read of the same files.

    Files come from the page cache where they fit into it. With --shuffle it compares the shuffle modes instead:
    entropy, displacement, blocks and shards a batch, and what comes together again in the next epoch.
    """
    from rowmill.cli import speed

    for name in compare or ():
        speed.require(name)
    if plot is not None:
        from rowmill.cli.plot import require_matplotlib

        require_matplotlib()
        check_target(plot, "--plot")
    ds = open_dataset(paths, index_dir, split=split).shard(1, 0)
    if shuffle:
        _quality(ds.take(max_rows), mode, seed, lanes, epoch, batch_size, plot, as_json)
        return
    ways = speed.ways_of(
        ds,
        columns=as_columns(columns, ds.column_names),
        batch_size=batch_size,
        seed=seed,
        lanes=lanes,
        threads=threads,
        compare=compare or (),
    )
    with progress_bar("measuring") as report:
        measured = speed.measure(ways, ds, seconds, report)
    facts = {
        "num_rows": ds.num_rows,
        "num_bytes": ds._plan.source.rust.num_bytes,
        "batch_size": batch_size,
        "seconds": seconds,
        "fill_null": speed.FILL_NULL,
        "ways": [way.as_dict() for way in measured],
    }
    if as_json:
        print_json(facts)
    else:
        _print(facts, measured)
    if plot is not None:
        from rowmill.cli.plot import plot_speed

        plot_speed(measured, plot)


def _quality(
    ds: Any, mode: str, seed: int, lanes: int | None, epoch: int, batch_size: int, plot: Path | None, as_json: bool
) -> None:
    from rowmill.cli.quality import measure_orders, orders_of, print_orders

    orders = orders_of(ds, mode, seed, lanes)
    measured = measure_orders(orders, epoch, batch_size)
    if as_json:
        print_json({"num_rows": ds.num_rows, "batch_size": batch_size, "epoch": epoch, "modes": measured})
    else:
        print_orders(measured, ds.num_rows, batch_size)
    if plot is not None:
        from rowmill.cli.plot import plot_orders

        plot_orders(orders, measured, epoch, plot)


def _print(facts: dict[str, Any], measured: list[Measured]) -> None:
    lines = [
        [
            way.reader,
            way.what,
            f"{way.rows_per_second:,.0f}",
            f"{way.bytes_per_second / 1e6:,.0f}",
            _seconds(way.first_seconds),
        ]
        for way in measured
    ]
    title = f"{facts['num_rows']:,} rows, {size(facts['num_bytes'])}, {facts['seconds']:g} s each"
    columns = ["reader", "what", "rows/s", "MB/s", "first after"]
    print_table(columns, lines, title=title, right=columns[2:])
    print(f"nulls in numeric columns are {facts['fill_null']} in batches")


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"
