"""``rowmill head``: the first rows."""

from __future__ import annotations

from typing import Annotated

import typer

from rowmill.cli.opening import IndexDir, Paths, open_dataset
from rowmill.cli.output import AsJson, print_facts, print_json, shorten


def head(
    paths: Paths,
    number: Annotated[int, typer.Option("-n", "--number", min=0, help="How many rows.")] = 5,
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", "-c", help="Only this column; repeat for more.", show_default=False),
    ] = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Print the first rows in storage order."""
    ds = open_dataset(paths, index_dir).shard(1, 0)
    if columns:
        ds = ds.select_columns(columns)
    rows = ds.fetch(range(min(number, ds.num_rows)))
    if as_json:
        print_json(rows)
        return
    for row_id, row in enumerate(rows):
        print(f"--- row {row_id}")
        print_facts({name: shorten(value) for name, value in row.items()})
