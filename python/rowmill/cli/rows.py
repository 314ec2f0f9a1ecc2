"""``rowmill rows``: which rows a step of a job is made of, and on which rank each is."""

from __future__ import annotations

from typing import Annotated

import typer

from rowmill.cli.opening import IndexDir, Paths, open_dataset
from rowmill.cli.options import Lanes, Mode, OneMode, Seed
from rowmill.cli.output import AsJson, print_json, print_table


def rows(
    paths: Paths,
    step: Annotated[int, typer.Option(min=0, help="Step of the epoch, from 0.", show_default=False)],
    ranks: Annotated[int, typer.Option(min=1, help="Ranks of the job.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of each rank a step.")] = 1,
    seed: Seed = 0,
    mode: OneMode = Mode.window,
    lanes: Lanes = None,
    epoch: Annotated[int, typer.Option(min=0, help="Epoch, from 0.")] = 0,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Say which rows are in a step, by rank; reads no row.

    The same rows for every number of ranks, as long as ranks x batch size is the same.
    """
    opened = open_dataset(paths, index_dir)
    ds = opened.shuffle(seed, mode=mode.value, num_lanes=lanes).shard(ranks, 0).batch(batch_size)
    ds.set_epoch(epoch)
    row_ids = ds.rows_at(step)
    by_rank = [row_ids[rank::ranks] for rank in range(ranks)]
    if as_json:
        print_json({"epoch": epoch, "step": step, "ranks": ranks, "row_ids": row_ids, "by_rank": by_rank})
        return
    lines = ([str(rank), " ".join(map(str, ids))] for rank, ids in enumerate(by_rank))
    print_table(["rank", f"row ids of step {step}, epoch {epoch}"], lines)
