"""``rowmill convert``: a data set as shards of another format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rowmill.cli.opening import IndexDir, Split, open_dataset
from rowmill.cli.options import Columns, as_columns
from rowmill.cli.output import AsJson, print_facts, print_json


class Format(StrEnum):
    """What can be written."""

    arrow = "arrow"
    parquet = "parquet"
    webdataset = "webdataset"
    megatron = "megatron"
    nanogpt = "nanogpt"
    llmc = "llmc"


def convert(
    sources: Annotated[list[str], typer.Argument(help="Files, folders or globs.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The folder to write: new, empty, or unfinished.", show_default=False)],
    to: Annotated[Format, typer.Option("--to", help="Format of the shards.", show_default=False)],
    num_shards: Annotated[
        int | None,
        typer.Option(
            min=1, help="Shards to write.", show_default="100, or one a row where there are fewer; few of token files"
        ),
    ] = None,
    shard_bytes: Annotated[
        int | None, typer.Option(min=1, help="Bytes of the source in each shard, instead.", show_default=False)
    ] = None,
    shuffle: Annotated[
        int | None, typer.Option(metavar="SEED", help="Shuffle the rows by this seed.", show_default=False)
    ] = None,
    columns: Columns = None,
    ids_column: Annotated[str, typer.Option(help="Column of token ids, for megatron, nanogpt and llmc.")] = "input_ids",
    split: Split = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Write a data set as shards of another format; a killed run goes on.

    Each shard is whole or not there; dataset.json holds exact counts and checksums. The same command, given again
    after a kill, goes on behind the last finished shard.
    """
    import rowmill

    ds = open_dataset(sources, index_dir, split=split)
    made = rowmill.convert(
        ds,
        out,
        to=to.value,
        columns=as_columns(columns, ds.column_names),
        shuffle=shuffle,
        num_shards=num_shards,
        shard_bytes=shard_bytes,
        column=ids_column,
    )
    if as_json:
        print_json(made)
        return
    facts = ("format", "num_rows", "num_shards", "num_bytes", "num_workers")
    print_facts({"folder": out, **{name: made[name] for name in facts}})
