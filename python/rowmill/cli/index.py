"""``rowmill index``: walk the shards once, so that every later open is instant."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from rowmill.cli.opening import IndexDir, Paths, Split, open_dataset
from rowmill.cli.output import AsJson, print_json, size
from rowmill.folders import index_folder


def index(
    paths: Paths,
    force: Annotated[bool, typer.Option("--force", help="Read all headers again.")] = False,
    split: Split = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Index shards where `rowmill.open` looks; only changed ones are read."""
    import rowmill.dataset  # noqa: F401  (torch's import is not the open's)

    begun = time.perf_counter()
    ds = open_dataset(paths, index_dir, split=split, force=force)
    seconds = time.perf_counter() - begun
    source = ds._plan.source.rust
    facts: dict[str, Any] = {
        "index": str(index_folder(index_dir)),
        "num_shards": source.num_shards,
        "num_walked": source.num_walked,
        "num_reused": source.num_shards - source.num_walked,
        "num_rows": source.num_rows,
        "num_bytes": source.num_bytes,
        "fingerprint": source.fingerprint,
        "seconds": round(seconds, 6),
    }
    if as_json:
        print_json(facts)
        return
    print(
        f"{facts['num_shards']:,} shards, {facts['num_rows']:,} rows, {size(facts['num_bytes'])}: "
        f"{facts['num_walked']:,} walked, {facts['num_reused']:,} known from the index, in {seconds:.3f} s"
    )
