"""``rowmill rows``: which rows a step of a job is made of, on which rank each is, and where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rowmill.cli import packed_step
from rowmill.cli import token_counts as counts
from rowmill.cli.opening import IndexDir, Paths, Split, open_dataset, with_warnings
from rowmill.cli.options import Lanes, Mode, OneMode, Seed
from rowmill.cli.output import AsJson, plural, print_json, print_table
from rowmill.paths import short_path

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
    seq_len: packed_step.SeqLen = None,
    pack: packed_step.Way = "concat",
    repeat: packed_step.Repeat = False,
    state: packed_step.StateFile = None,
    tokens: counts.Tokens = None,
    column: counts.TextColumn = None,
    token_column: counts.TokenColumn = None,
    append_eos: counts.AppendEos = True,
    prepend_bos: counts.PrependBos = False,
    eos_token: counts.EosToken = None,
    bos_token: counts.BosToken = None,
    allow_special: counts.AllowSpecial = False,
    split: Split = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Say which rows are in a step, by rank, and where they lie; reads no row.

    The same rows for every number of ranks, as long as ranks x batch size is the same. With --seq-len: which documents
    are in each sample; without a token index (rowmill index --tokens) they are read from the epoch's beginning, or
    from --state on.
    """
    opened = open_dataset(paths, index_dir, split=split)
    counting = counts.Counting(
        tokens, column, token_column, append_eos, prepend_bos, eos_token, bos_token, allow_special
    )
    if seq_len is not None:
        shuffled = opened.shuffle(seed, mode=mode.value, num_lanes=lanes).shard(ranks, 0)
        packed = with_warnings(lambda: counting.packed(shuffled, seq_len, pack)).batch(batch_size)
        packed = packed.repeat() if repeat else packed
        packed_step.tell_step(packed.set_epoch(epoch), step, ranks, state, as_json=as_json)
        return
    if state is not None or repeat or tokens is not None or token_column is not None:
        raise ValueError("--state, --repeat and what is tokenized say something of packed samples; give --seq-len too")
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
