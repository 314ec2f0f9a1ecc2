"""``rowmill head``: rows to look at."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rowmill.cli.opening import IndexDir, Paths, Split, open_dataset
from rowmill.cli.options import Columns, as_columns
from rowmill.cli.output import AsJson, print_facts, print_json, print_table, shorten

# More columns than these are read more easily one below the other.
_MAX_COLUMNS = 6


def head(
    paths: Paths,
    number: Annotated[int, typer.Option("-n", "--number", min=0, help="How many rows.")] = 5,
    columns: Columns = None,
    row_ids: Annotated[
        list[int] | None,
        typer.Option(
            "--row-id", min=0, help="This row instead of the first ones; repeat for more.", show_default=False
        ),
    ] = None,
    shuffle: Annotated[
        int | None,
        typer.Option("--shuffle", metavar="SEED", help="The first rows of a shuffled epoch.", show_default=False),
    ] = None,
    is_long: Annotated[bool, typer.Option("--long", "-l", help="Each row by itself, a line a column.")] = False,
    split: Split = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Print rows: the first in storage order, the first of a shuffled order, or those asked for.

    Long values are shortened and bytes summarised; --json prints all of them (bytes as base64).
    """
    if row_ids and shuffle is not None:
        raise ValueError("--row-id names rows and --shuffle chooses them: give one of the two")
    ds = open_dataset(paths, index_dir, split=split).shard(1, 0)
    if names := as_columns(columns, ds.column_names):
        ds = ds.select_columns(names)
    if row_ids is None or not row_ids:
        order = ds if shuffle is None else ds.shuffle(shuffle)
        row_ids = order.row_ids(0, min(number, ds.num_rows))
    rows = ds.fetch(_within(row_ids, ds.num_rows))
    if as_json:
        print_json(rows)
    elif is_long or len(ds.column_names) > _MAX_COLUMNS:
        for row_id, row in zip(row_ids, rows, strict=True):
            print(f"--- row {row_id}")
            print_facts({name: shorten(value, 100) for name, value in row.items()})
    else:
        _print(row_ids, rows, ds.column_names)


def _within(row_ids: list[int], num_rows: int) -> list[int]:
    for row_id in row_ids:
        if row_id >= num_rows:
            raise IndexError(f"there is no row {row_id:,}; the rows are 0 to {num_rows - 1:,}")
    return row_ids


def _print(row_ids: list[int], rows: list[dict[str, Any]], names: list[str]) -> None:
    numbers = [name for name in names if all(isinstance(row[name], int | float | None) for row in rows)]
    lines = ([row_id, *(_cell(row[name]) for name in names)] for row_id, row in zip(row_ids, rows, strict=True))
    print_table(["row", *names], lines, right=["row", *numbers])


def _cell(value: Any) -> str:
    return "null" if value is None else shorten(value)
