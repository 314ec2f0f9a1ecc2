"""The list of commands, and what becomes of errors: exit status 1 for bad data or state, 2 for wrong use."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
import typer.core

from rowmill.cli import (
    bench,
    cache,
    convert,
    demo,
    download,
    head,
    index,
    inspect,
    preflight,
    presets,
    push,
    registry,
    rows,
    state,
    tokenize,
    verify,
)
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
        except Exception as error:
            if ctx.params.get("debug") or isinstance(error, _TYPERS_OWN):
                raise
            complain(_text(error))
            raise typer.Exit(2 if _is_use(error) else 1) from None


# The last is the base of wrong use, which older typers took from click and newer ones have of their own.
_TYPERS_OWN = (typer.Exit, typer.Abort, typer.BadParameter.__mro__[2])


def _is_use(error: Exception) -> bool:
    """Whether an argument is at fault: a plain ValueError is what the library says of one that was passed on."""
    if isinstance(error, IndexError):
        return True
    return isinstance(error, ValueError) and not isinstance(error, RowmillError | OSError)


def _text(error: Exception) -> str:
    if isinstance(error, RowmillError | OSError | ValueError | IndexError) or _says_what_to_install(error):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}; `rowmill --debug ...` shows where, please report it"


def _says_what_to_install(error: Exception) -> bool:
    return isinstance(error, ImportError) and "pip install" in str(error)


app = typer.Typer(
    name="rowmill",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", epilog="Example: rowmill demo --ranks 4")(demo.demo)
app.command("index", epilog="Example: rowmill index data --tokens tokenizer.json")(index.index)
app.command("inspect", epilog="Example: rowmill inspect data --shards --ranks 64")(inspect.inspect)
app.command("head", epilog="Example: rowmill head data -n 3 -c text --shuffle 42")(head.head)
app.command("verify", epilog="Example: rowmill verify data --checksums data/checksums.json")(verify.verify)
app.command("rows", epilog="Example: rowmill rows data --step 1200 --ranks 8 --batch-size 16 --seed 42")(rows.rows)
app.add_typer(state.app, name="state")
app.command("bench", epilog="Example: rowmill bench data --compare datasets --plot bench.png")(bench.bench)
app.add_typer(cache.app, name="cache")
app.command("convert", epilog="Example: rowmill convert data/*.jsonl.gz shards --to webdataset --shuffle 42")(
    convert.convert
)
app.command("tokenize", epilog="Example: rowmill tokenize data/*.parquet ids -t tokenizer.json --seq-len 2048")(
    tokenize.tokenize
)
app.command("presets", epilog="Example: rowmill presets --json")(presets.presets)
app.add_typer(registry.app, name="registry")
app.command("download", epilog="Example: rowmill download HuggingFaceFW/fineweb-edu --name sample-10BT --split train")(
    download.download
)
app.command("preflight", epilog="Example: rowmill preflight data --ranks 64 --batch-size 8 --steps 10000")(
    preflight.preflight
)
app.command("push", epilog="Example: rowmill push shards me/my-data --license apache-2.0 --tag v1.0")(push.push)


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
    app(prog_name="rowmill")


if __name__ == "__main__":
    main()
