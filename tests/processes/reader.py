"""A training process: reads two epochs and records each batch and its cursor in one atomic step; may be killed."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.modules["torch"] = None  # type: ignore[assignment]  # starts faster: this process is started 21 times
from processes.mixed import mixed  # noqa: E402

import rowmill  # noqa: E402


def main(data: str, journal: Path, epochs: int, kind: str) -> None:
    is_packed = kind != "rows"
    ds = mixed(data) if kind == "mixed" else rowmill.open(data).shuffle(seed=42)
    ds = ds.select_columns(["id", "text", "tokens"])
    ds = ds.tokenize("bytes").pack(40, mode="best_fit", document_ids=True).batch(5) if is_packed else ds.batch(5)
    steps = sorted(journal.glob("step-*.json"))
    if steps:
        ds.load_state_dict(json.loads(steps[-1].read_text())["state"])
    number = len(steps)
    loader = ds.loader(num_threads=1)
    while ds.epoch < epochs:
        for batch in loader:
            record = packed_record(batch) if is_packed else record_of(batch)
            unfinished = journal / "unfinished"
            unfinished.write_text(json.dumps({**record, "state": loader.state_dict()}))
            os.replace(unfinished, journal / f"step-{number:06}.json")
            number += 1
            print(number, flush=True)
            # As training would: without it the whole data is read before the kills are over.
            time.sleep(0.002)


def record_of(batch: dict[str, Any]) -> dict[str, Any]:
    return {"ids": batch["id"].tolist(), "text": batch["text"], "tokens": int(batch["tokens"].sum())}


def packed_record(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: column.tolist() for name, column in batch.items()}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), (sys.argv[4:] or ["rows"])[0])
