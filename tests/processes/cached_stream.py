"""Reads rows while their cache is written, in a process that may be killed: SOURCE FOLDER STATE.

STATE holds the digests of all batches so far and the cursor behind them, whole or not at all.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import rowmill


def slow(row: dict[str, Any]) -> dict[str, Any]:
    time.sleep(0.001)
    return {"text": row["text"].upper(), "length": len(row["text"])}


def chain(source: str) -> rowmill.Dataset:
    return rowmill.open(source).map(slow).tokenize("bytes", keep_columns="id")


def order(ds: rowmill.Dataset) -> rowmill.Dataset:
    return ds.shuffle(5, num_lanes=4).pack(20, document_ids=True).batch(3, remainder="keep").with_format("numpy")


def digest(batch: dict[str, Any]) -> str:
    return hashlib.sha256(b"|".join(batch[name].tobytes() for name in sorted(batch))).hexdigest()[:16]


if __name__ == "__main__":
    state = Path(sys.argv[3])
    known: dict[str, Any] = json.loads(state.read_text()) if state.exists() else {"cursor": None, "digests": []}
    ds = order(chain(sys.argv[1]).cache(sys.argv[2], wait=False))
    if known["cursor"] is not None:
        ds.load_state_dict(known["cursor"])
    loader = ds.loader()
    for batch in loader:
        known = {"cursor": loader.state_dict(), "digests": [*known["digests"], digest(batch)]}
        part = state.with_suffix(".part")
        part.write_text(json.dumps(known))
        os.replace(part, state)
    print(json.dumps(loader.stats()["receipt"]))
