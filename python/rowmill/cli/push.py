"""``rowmill push``: a data set to the Hub, in one commit, proven to have arrived."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from rowmill.cli.output import AsJson, complain, plural, print_facts, print_json, size


def push(
    source: Annotated[str, typer.Argument(help="A folder, file or glob.", show_default=False)],
    repo: Annotated[str, typer.Argument(help="The repository, as owner/name.", show_default=False)],
    split: Annotated[
        str | None, typer.Option(help="The split that this is.", show_default="train, or by folders of that name")
    ] = None,
    config: Annotated[str, typer.Option(help="The configuration that this is.")] = "default",
    columns: Annotated[
        list[str] | None, typer.Option("--columns", "-c", help="Only these, with commas between.", show_default=False)
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Which column is the text, where several are layers of it.", show_default=False)
    ] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="Such as apache-2.0.", show_default="asked for, or unknown")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see a repository that is made.")] = False,
    tag: Annotated[str | None, typer.Option(help="A name for the commit.", show_default=False)] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Of the commit.", show_default=False)] = None,
    shard_bytes: Annotated[int, typer.Option(min=1, help="About the bytes of a shard.")] = 500_000_000,
    deep: Annotated[bool, typer.Option("--deep", help="Read every row back, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Push a data set to the Hub in one commit, and verify that it has arrived.

    Parquet shards that the Hub stores without duplicates (tars go as they lie), a dataset card, private unless
    --public says otherwise. Readers never see half; the same command after a kill goes on and uploads nothing twice. It
    says done when every size and hash was listed anew and the rows were counted there. The token is that of
    `hf auth login` or HF_TOKEN.
    """
    from rowmill.hub.pushing import push as push_it

    names = [name for part in columns or () for name in part.split(",")] or None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = push_it(
            source,
            repo,
            split=split,
            config=config,
            columns=names,
            column=column,
            license=_license(license_),
            private=not public,
            tag=tag,
            message=message,
            shard_bytes=shard_bytes,
            deep=deep,
        )
    for warning in caught:
        # Those of others' libraries are for those who write them.
        if warning.category is UserWarning:
            complain(str(warning.message), kind="warning")
    if as_json:
        print_json(made.as_dict())
        return
    rows = ", ".join(f"{name} {number:,}" for name, number in made.num_rows.items())
    print_facts(
        {"repository": repo, "commit": made.sha, **({"tag": tag} if tag else {}), "rows": rows, "page": made.url}
    )
    new = plural(made.num_uploaded, "new file")
    print(f"{plural(made.num_files, 'shard')}, {size(made.num_bytes)}, {new}: verified, every size, hash and count")


def _license(given: str | None) -> str | None:
    """As given, or asked for where somebody can answer."""
    if given is not None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return given
    answer = typer.prompt("Licence, as in apache-2.0 (empty: as it is, or unknown)", default="", show_default=False)
    return str(answer).strip() or None
