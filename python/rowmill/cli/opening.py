"""How commands open what they were pointed at."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from rowmill.cli.output import complain

if TYPE_CHECKING:
    from rowmill import Dataset

__all__ = ["IndexDir", "Paths", "Split", "is_repository", "open_dataset", "open_repository", "with_warnings"]

T = TypeVar("T")

Paths = Annotated[list[str], typer.Argument(help="Files, folders or globs.", show_default=False)]
IndexDir = Annotated[
    Path | None, typer.Option(help="Folder of the index, instead of the user's cache folder.", show_default=False)
]
Split = Annotated[
    str | None,
    typer.Option(help="Which split of a folder where `datasets` keeps several.", show_default=False),
]
# What the library says to a caller in Python.
_IN_PYTHON = re.compile(r"as in rowmill\.open\(\.\.\., split=\"([^\"]*)\"\)")


def open_dataset(
    paths: list[str],
    index_dir: Path | None,
    *,
    split: str | None = None,
    force: bool = False,
    on_error: Literal["raise", "skip"] = "raise",
    is_quiet: bool = False,
) -> Dataset:
    """Opens ``paths`` as one rank, whatever job this shell is part of; warnings go to stderr as plain lines."""
    import rowmill

    def opened() -> Dataset:
        try:
            return rowmill.open(
                paths[0] if len(paths) == 1 else paths,
                split=split,
                index_dir=index_dir,
                force_reindex=force,
                on_error=on_error,
            )
        except ValueError as error:
            if type(error) is not ValueError:
                raise
            raise ValueError(_IN_PYTHON.sub(r"as in --split \1", str(error)).replace("split=", "--split ")) from None

    with _status():
        return with_warnings(opened, is_quiet=is_quiet)


def is_repository(paths: list[str]) -> bool:
    """Whether what was given can only be the name of a repository of the Hub."""
    from rowmill.hub_cache import is_repo_name

    return len(paths) == 1 and paths[0].count("/") == 1 and is_repo_name(paths[0]) and not Path(paths[0]).exists()


def open_repository(
    repo: str, index_dir: Path | None, *, name: str | None, split: str | None, revision: str | None, force: bool = False
) -> Dataset:
    """A repository as one rank streams it; warnings go to stderr as plain lines."""
    from rowmill.hub.load import load_dataset

    def opened() -> Dataset:
        return load_dataset(
            repo,
            name,
            split=split or "train",
            revision=revision,
            streaming=True,
            index_dir=index_dir,
            force_reindex=force,
        )

    with _status():
        return with_warnings(opened)


def with_warnings(make: Callable[[], T], *, is_quiet: bool = False) -> T:
    """What ``make`` makes; what it warns of goes to stderr as plain lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = make()
    for warning in caught if not is_quiet else ():
        complain(str(warning.message), kind="warning")
    return made


def _status() -> Any:
    """A spinner on a terminal, for a first open may take seconds."""
    from rich.console import Console

    return Console(stderr=True).status("reading the shards' headers") if sys.stderr.isatty() else nullcontext()
