"""``rowmill download``: a data set of the Hub onto this machine, for jobs that will have no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rowmill.cli.output import AsJson, complain, plural, print_facts, print_json, size


def download(
    repo: Annotated[str, typer.Argument(help="The repository, as owner/name.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="One configuration.", show_default=False)] = None,
    split: Annotated[str | None, typer.Option(help="One split.", show_default=False)] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.", show_default="main")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--columns", "-c", help="Only these columns of Parquet files; wants --to.", show_default=False),
    ] = None,
    include: Annotated[list[str] | None, typer.Option(help="Only files like this glob.", show_default=False)] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No files like this glob.", show_default=False)] = None,
    max_bytes: Annotated[
        int | None, typer.Option(min=1, help="Whole files, in order, that fit into so many.", show_default=False)
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="A folder to put the files into as well.", show_default="the Hub's cache only")
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Take files that are here by their sizes, not by their hashes.")
    ] = False,
    cache_dir: Annotated[Path | None, typer.Option(help="Instead of the Hub's cache.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Download a data set of the Hub at one commit; a killed run goes on.

    Every size and hash is compared with the commit's; of columns, which have no hash, the sizes of their files,
    footers, schemas and rows. Jobs without a network find whole files by load_dataset with HF_HUB_OFFLINE=1; pin them
    to the commit that is told.
    """
    from rowmill.hub.downloading import download as download_it

    made = download_it(
        repo,
        name=name,
        split=split,
        revision=revision,
        columns=[one for part in columns for one in part.split(",")] if columns else None,
        include=include,
        exclude=exclude,
        max_bytes=max_bytes,
        to=to,
        check=not no_check,
        cache_dir=cache_dir,
    )
    if as_json:
        print_json(made.as_dict())
        return
    print_facts({"repository": repo, "commit": made.sha, "folder": made.folder})
    counts = f"{plural(len(made.files), 'file')}, {size(made.num_bytes)}, {made.num_fetched:,} fetched"
    print(f"{counts}: {_compared(made.columns is not None, no_check)}")
    if made.left_out:
        complain(
            f"--max-bytes has left out {plural(len(made.left_out), 'file')}: {made.left_out[0]} ...", kind="warning"
        )


def _compared(is_of_columns: bool, no_check: bool) -> str:
    """What was compared with what the commit says."""
    if is_of_columns:
        return "sizes, footers, schemas and rows are as the commit's files have them (its hashes are of whole files)"
    return "what was fetched is as the commit says, sizes are" if no_check else "all as the commit says"
