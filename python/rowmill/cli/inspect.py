"""``rowmill inspect``: what is known of shards without reading a row."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rowmill.cli.opening import IndexDir, Paths, open_dataset
from rowmill.cli.output import AsJson, print_facts, print_json, print_table


def inspect(
    paths: Paths,
    shards: Annotated[bool, typer.Option("--shards", help="List each shard.")] = False,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Show rows, shards, columns and fingerprint; reads no row.

    Exit status 1 where a file is not what the others are; the error names it.
    """
    ds = open_dataset(paths, index_dir)
    facts = ds.describe()
    source = ds._plan.source.rust
    if as_json:
        print_json({**facts, "shards": source.shards()} if shards else facts)
        return
    columns: dict[str, Any] = facts["columns"]
    print_facts({name: facts[name] for name in ("num_rows", "num_shards", "num_blocks", "num_bytes", "fingerprint")})
    print_table(["column", "type"], columns.items())
    if shards:
        names = ("path", "num_rows", "num_blocks", "num_bytes")
        print_table(names, ([shard[name] for name in names] for shard in source.shards()))
