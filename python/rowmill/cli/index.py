"""``rowmill index``: walk the shards once, so that every later open is instant; count their tokens once."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from rowmill.cli import token_counts as counts
from rowmill.cli.opening import (
    IndexDir,
    Paths,
    Split,
    is_repository,
    open_dataset,
    open_repository,
    with_warnings,
)
from rowmill.cli.output import AsJson, print_json, size
from rowmill.folders import index_folder


def index(
    paths: Paths,
    force: Annotated[bool, typer.Option("--force", help="Read all headers, or count all tokens, again.")] = False,
    tokens: counts.Tokens = None,
    column: counts.TextColumn = None,
    token_column: counts.TokenColumn = None,
    append_eos: counts.AppendEos = True,
    prepend_bos: counts.PrependBos = False,
    eos_token: counts.EosToken = None,
    bos_token: counts.BosToken = None,
    allow_special: counts.AllowSpecial = False,
    split: Split = None,
    name: Annotated[str | None, typer.Option(help="Configuration of a repository.", show_default=False)] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a repository.", show_default="main")] = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Index shards where `rowmill.open` looks; only changed ones are read.

    The name of a repository of the Hub (owner/name) indexes it for streaming: its headers are read over the network,
    and the folder of the index can be copied to other machines.

    With --tokens (or --token-column) also count the tokens of each document, which gives packed datasets a length and
    finite epochs on several ranks. A count that was interrupted goes on where it was.
    """
    import rowmill.dataset  # noqa: F401  (torch's import is not the open's)

    counting = counts.Counting(
        tokens, column, token_column, append_eos, prepend_bos, eos_token, bos_token, allow_special
    )
    begun = time.perf_counter()
    if is_repository(paths):
        ds = open_repository(paths[0], index_dir, name=name, split=split, revision=revision, force=force)
    elif name is not None or revision is not None:
        raise typer.BadParameter("--name and --revision are those of a repository, given as owner/name")
    else:
        ds = open_dataset(paths, index_dir, split=split, force=force)
    seconds = time.perf_counter() - begun
    documents = with_warnings(lambda: counting.dataset(ds))
    source = ds._plan.source.rust
    facts: dict[str, Any] = {
        "index": str(index_folder(index_dir)),
        "num_shards": source.num_shards,
        "num_walked": source.num_walked,
        "num_reused": source.num_shards - source.num_walked,
        "num_rows": source.num_rows,
        "num_bytes": source.num_bytes,
        "fingerprint": ds.fingerprint,
        **({"revision": origin} if (origin := ds._plan.source.options.origin) else {}),
        "seconds": round(seconds, 6),
    }
    if documents is not None:
        facts["tokens"] = counts.count(documents, force=force)
    if as_json:
        print_json(facts)
        return
    print(
        f"{facts['num_shards']:,} shards, {facts['num_rows']:,} rows, {size(facts['num_bytes'])}: "
        f"{facts['num_walked']:,} walked, {facts['num_reused']:,} known from the index, in {seconds:.3f} s"
    )
    if origin is not None:
        print(f"of {origin}")
    if documents is not None:
        print(counts.tell(facts["tokens"]))
