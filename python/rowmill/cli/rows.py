"""``rowmill rows``: which rows a step of a job is made of, on which rank each is, and where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rowmill.cli.opening import IndexDir, Paths, Split, open_dataset
from rowmill.cli.options import Lanes, Mode, OneMode, Seed
from rowmill.cli.output import AsJson, plural, print_json, print_table, short_path

if TYPE_CHECKING:
    from rowmill import Dataset


def rows(
    paths: Paths,
    step: Annotated[int, typer.Option(min=0, help="Step of the epoch, from 0.", show_default=False)],
    ranks: Annotated[int, typer.Option(min=1, help="Ranks of the job.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of each rank a step.")] = 1,
    seed: Seed = 0,
    mode: OneMode = Mode.window,
    lanes: Lanes = None,
    epoch: Annotated[int, typer.Option(min=0, help="Epoch, from 0.")] = 0,
    split: Split = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Say which rows are in a step, by rank, and where they lie; reads no row.

    The same rows for every number of ranks, as long as ranks x batch size is the same.
    """
    opened = open_dataset(paths, index_dir, split=split)
    ds = opened.shuffle(seed, mode=mode.value, num_lanes=lanes).shard(ranks, 0).batch(batch_size)
    ds.set_epoch(epoch)
    row_ids = ds.rows_at(step)
    places = _places(ds, row_ids, ranks)
    if as_json:
        by_rank = [row_ids[rank::ranks] for rank in range(ranks)]
        facts = {"epoch": epoch, "step": step, "ranks": ranks, "row_ids": row_ids, "by_rank": by_rank}
        print_json({**facts, "places": places})
        return
    places.sort(key=lambda place: place["rank"])
    lines = (
        [place["rank"], place["row_id"], short_path(place["shard"]), place["block"], place["row"]] for place in places
    )
    columns = ["rank", "row id", "shard", "block", "row of the block"]
    title = f"step {step:,} of epoch {epoch}: {plural(len(row_ids), 'row')}"
    print_table(columns, lines, title=title, right=["rank", "row id", "block", "row of the block"])


def _places(ds: Dataset, row_ids: list[int], ranks: int) -> list[dict[str, Any]]:
    source = ds._plan.source.rust
    shards = source.shards()
    return [
        {"rank": index % ranks, "row_id": row_id, "shard": str(shards[shard]["path"]), "block": block, "row": row}
        for index, (row_id, (shard, block, row)) in enumerate(zip(row_ids, source.locate(row_ids), strict=True))
    ]
