"""One rank of a real torch.distributed job: takes its share by itself and writes what it read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import rowmill


def main(data: str, folder: Path, batch: int, steps: int, state: str, packed: str) -> None:
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    if packed != "no":
        samples = rowmill.open(data).shuffle(seed=7, num_lanes=66).tokenize("bytes").pack(24, document_ids=True)
        is_endless = packed == "endless"
        ds = samples.repeat().batch(batch) if is_endless else samples.batch(batch, remainder=packed)
        column = "document_ids"
    else:
        ds, column = rowmill.open(data).select_columns(["id", "tokens"]).shuffle(seed=7).batch(batch), "id"
    if state != "none":
        ds.load_state_dict(state)
    # Of the epoch that comes: after the loop that is the next one.
    length = None if packed == "endless" else len(ds)
    loader = ds.loader()
    read: list[list[Any]] = []
    for made in loader:
        read.append(made[column].tolist())
        # Hangs if one rank takes a step more than another.
        dist.all_reduce(torch.ones(1))
        if len(read) == steps:
            break
    result = {"rank": rank, "world": world, "len": length, "read": read, "state": loader.state_dict()}
    result["gathered"] = loader.state_dict(gather=True)
    (folder / f"rank-{rank}.json").write_text(json.dumps(result))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], sys.argv[6])
