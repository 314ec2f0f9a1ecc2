"""``rowmill preflight``: what would stop a job, before it waits in a queue."""

from __future__ import annotations

from typing import Annotated

import typer

from rowmill.cli.options import Columns
from rowmill.cli.output import AsJson, plural, print_facts, print_json, print_warnings


def preflight(
    data: Annotated[
        str,
        typer.Argument(metavar="PATH|REPO", help="A folder, file, glob or URL, or a repository.", show_default=False),
    ],
    ranks: Annotated[int, typer.Option(min=1, help="Ranks of the job.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="DataLoader workers of each rank; 1 for ds.loader().")] = 1,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows of each rank a step.", show_default=False)] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps that are planned.", show_default=False)] = None,
    seq_len: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a packed sample, where text is packed.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="Configuration of a repository.", show_default=False)] = None,
    split: Annotated[str | None, typer.Option(help="The split.", show_default="train of a repository")] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a repository.", show_default="main")] = None,
    columns: Columns = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="A name or path that must be there.", show_default=False)
    ] = None,
    streaming: Annotated[
        bool, typer.Option("--streaming", help="The job reads what is not here over the network.")
    ] = False,
    repeat: Annotated[bool, typer.Option("--repeat", help="The job goes over the data again, by .repeat().")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a data set for a job before sbatch; downloads nothing.

    All files are here and as large as the commit says, each shard opens, its first and last rows are read, columns and
    counts are as promised, ranks take equal steps and enough of them (of packed samples where tokens were counted by
    rowmill index --tokens), the tokenizer is there. Exit status 1 with a list of what is not.
    """
    from rowmill.hub.readiness import preflight as check

    if steps is not None and batch_size is None:
        raise typer.BadParameter("--steps are counted in batches: say --batch-size as well")

    report = check(
        data,
        ranks=ranks,
        workers=workers,
        batch_size=batch_size,
        steps=steps,
        seq_len=seq_len,
        name=name,
        split=split,
        revision=revision,
        columns=[one for part in columns for one in part.split(",")] if columns else None,
        tokenizer=tokenizer,
        streaming=streaming,
        repeat=repeat,
    )
    if as_json:
        print_json(report.as_dict())
    else:
        print_facts({key: value for key, value in report.facts.items() if not isinstance(value, dict)})
        print_warnings(report.warnings)
        for problem in report.problems:
            print(f"problem: {problem}")
        print("ready" if report.ok else plural(len(report.problems), "problem"))
    if not report.ok:
        raise typer.Exit(1)
