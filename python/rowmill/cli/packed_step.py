"""What ``rowmill rows`` tells of a step of packed samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rowmill.cli.output import plural, print_json, print_table
from rowmill.paths import short_path

if TYPE_CHECKING:
    from rowmill import Dataset

__all__ = ["Repeat", "SeqLen", "StateFile", "Way", "tell_step"]

SeqLen = Annotated[int | None, typer.Option(min=1, help="Of packed samples of so many tokens.", show_default=False)]
Way = Annotated[str, typer.Option("--pack", help='How they are packed: "concat", "best_fit" or "best_fit_windows".')]
Repeat = Annotated[bool, typer.Option("--repeat", help="Lanes run on into the next epoch.")]
StateFile = Annotated[
    Path | None, typer.Option("--state", help="Read on from this cursor of the whole job.", show_default=False)
]


def tell_step(ds: Dataset, step: int, ranks: int, state: Path | None, *, as_json: bool) -> None:
    """Prints the documents of each row of each rank's batch."""
    from rowmill.cli.state_file import read_cursor

    packed = ds.rows_at(step, state=None if state is None else read_cursor(state))
    row_ids = sorted({row_id for row in packed for row_id, _, _ in row.documents})
    source = ds._plan.source.rust
    shards = [str(shard["path"]) for shard in source.shards()]
    shard_of = dict(zip(row_ids, (shards[shard] for shard, _, _ in source.locate(row_ids)), strict=True))
    rows: list[dict[str, Any]] = [
        {
            "rank": row.rank,
            "row": row.row,
            "sample": row.sample,
            "documents": [
                {"row_id": row_id, "first_token": start, "end_token": stop, "shard": shard_of[row_id]}
                for row_id, start, stop in row.documents
            ],
        }
        for row in packed
    ]
    if as_json:
        print_json({"epoch": ds.epoch, "step": step, "ranks": ranks, "rows": rows})
        return
    lines = [
        [row["rank"], row["row"], one["row_id"], one["first_token"], one["end_token"], short_path(one["shard"])]
        for row in rows
        for one in row["documents"]
    ]
    columns = ["rank", "row of the batch", "row id", "first token", "to token", "shard"]
    print_table(columns, lines, title=f"step {step:,}: {plural(len(rows), 'sample')}", right=columns[:5])
