"""``rowmill registry``: the data sets of a project, pinned to commits in ``rowmill.toml`` and shown in its README."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rowmill.cli.output import AsJson, plural, print_json, print_table

if TYPE_CHECKING:
    from rowmill.hub.registry import Entry, Registry

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The data sets of a project, pinned to commits in rowmill.toml.")

Project = Annotated[Path, typer.Option("--project", help="The project's folder.", show_default="here")]
Name = Annotated[str, typer.Argument(help="What the project calls it.", show_default=False)]


@app.command("list", epilog="Example: rowmill registry list --json")
def list_(project: Project = Path(), as_json: AsJson = False) -> None:
    """List the data sets of the project."""
    registry = _open(project)
    if as_json:
        print_json([asdict(entry) for entry in registry.entries.values()])
        return
    names = ("name", "repo", "config", "split", "sha", "folder", "rows", "use")
    lines = ([_cell(getattr(entry, name)) for name in names] for entry in registry.entries.values())
    print_table(names, lines, right=["rows"])


@app.command(epilog="Example: rowmill registry init")
def init(project: Project = Path(), as_json: AsJson = False) -> None:
    """Make rowmill.toml, data/, outputs/, their lines in .gitignore, and a table in the README.

    What is there stays; a second time nothing changes.
    """
    changed = _open(project).init()
    if as_json:
        print_json({"changed": changed})
    else:
        print(f"made or changed: {', '.join(changed)}" if changed else "nothing to do")


@app.command(
    epilog="Example: rowmill registry add web --repo HuggingFaceFW/fineweb-edu --config sample-10BT --use pre-training"
)
def add(
    name: Name,
    repo: Annotated[str | None, typer.Option(help="Its repository on the Hub.", show_default=False)] = None,
    sha: Annotated[
        str | None,
        typer.Option(help="The commit that is meant.", show_default="that of --revision, which is asked for"),
    ] = None,
    revision: Annotated[str, typer.Option(help="Branch or tag whose commit is pinned.")] = "main",
    config: Annotated[str | None, typer.Option(help="Configuration.", show_default=False)] = None,
    split: Annotated[str | None, typer.Option(help="Split.", show_default=False)] = None,
    folder: Annotated[str | None, typer.Option(help="Where its files are.", show_default="data/NAME")] = None,
    rows: Annotated[int | None, typer.Option(min=0, help="How many rows it has.", show_default="counted")] = None,
    use: Annotated[str | None, typer.Option(help="What it is for.", show_default=False)] = None,
    replace_it: Annotated[bool, typer.Option("--replace", help="Take the place of the one of that name.")] = False,
    project: Project = Path(),
    as_json: AsJson = False,
) -> None:
    """Add a data set to the table, pinned to a commit."""
    from rowmill.hub.registry import Entry

    if repo is not None and sha is None:
        sha = _commit_of(repo, revision)
    registry = _open(project)
    entry = Entry(name, folder or f"data/{name}", repo, sha, config, split, rows, use)
    if rows is None:
        entry = replace(entry, rows=_count_rows(project / entry.folder, entry))
    registry.add(entry, replace=replace_it)
    if as_json:
        print_json(asdict(entry))
    else:
        print(f"{registry.path}: {name}{'' if sha is None else f', {repo} at {sha}'}")


@app.command(epilog="Example: rowmill registry remove web")
def remove(name: Name, project: Project = Path(), as_json: AsJson = False) -> None:
    """Take a data set out of the table; its files stay."""
    registry = _open(project)
    entry = registry.remove(name)
    if as_json:
        print_json(asdict(entry))
    else:
        print(f"{registry.path}: {name} removed; its files stay in {entry.folder}")


@app.command(epilog="Example: rowmill registry check")
def check(project: Project = Path(), as_json: AsJson = False) -> None:
    """Compare the table with what is on the disk; exit status 1 where they differ."""
    registry = _open(project)
    problems = registry.check()
    if as_json:
        print_json({"ok": not problems, "problems": problems, "num_datasets": len(registry.entries)})
    else:
        print(
            "\n".join([*problems, f"{plural(len(registry.entries), 'data set')}, {plural(len(problems), 'problem')}"])
        )
    if problems:
        raise typer.Exit(1)


def _open(project: Path) -> Registry:
    from rowmill.hub.registry import open_registry

    return open_registry(project)


def _commit_of(repo: str, revision: str) -> str:
    from rowmill.hub.revisions import find_commit
    from rowmill.hub.settings import find_settings

    return find_commit(repo, revision, find_settings())


def _count_rows(folder: Path, entry: Entry) -> int | None:
    from rowmill.hub.registry import count_rows

    return count_rows(folder, entry) if folder.is_dir() and any(folder.iterdir()) else None


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
