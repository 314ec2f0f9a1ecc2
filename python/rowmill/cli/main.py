"""The list of commands, and what becomes of errors: exit status 1 for bad data or state, 2 for wrong use."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
import typer.core

from rowmill.cli import bench, convert, demo, head, index, inspect, rows, state
from rowmill.cli.output import complain
from rowmill.exceptions import RowmillError

__all__ = ["app", "main"]


class _Commands(typer.core.TyperGroup):
    """Tells of an error in one paragraph instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # `rowmill head ... | head -1`: whoever reads has seen enough. The interpreter flushes once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (RowmillError, OSError, ValueError, IndexError) as error:
            if ctx.params.get("debug"):
                raise
            complain(str(error))
            # A plain ValueError or IndexError is what the library says of an argument that was passed on.
            raise typer.Exit(1 if isinstance(error, RowmillError | OSError) else 2) from None


app = typer.Typer(
    name="rowmill",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("index")(index.index)
app.command("inspect")(inspect.inspect)
app.command("head")(head.head)
app.command("rows")(rows.rows)
app.add_typer(state.app, name="state")
app.command("bench")(bench.bench)
app.command("convert")(convert.convert)


def _version(is_asked: bool) -> None:
    if is_asked:
        import rowmill

        print(f"rowmill {rowmill.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Rows in, batches out: Arrow shards to shuffled, resumable batches.

    Exit status: 0 done, 1 the data or state is bad, 2 wrong use.
    """


def main() -> None:
    """The entry point of the ``rowmill`` command."""
    app()


if __name__ == "__main__":
    main()
