"""``rowmill state``: show a cursor, compare two, merge those of workers and ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rowmill.cli.output import AsJson, print_facts, print_json, print_table, shorten
from rowmill.cli.state_file import read_cursor, read_state, write_state
from rowmill.exceptions import StateMismatchError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Show, compare and merge states.")

StateFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A state, as JSON.", show_default=False)]
# What must be equal for a cursor to fit; the rest says where it stands and who took it.
_IDENTITY = ("schema_version", "order_version", "fingerprint", "num_rows", "order", "mix", "pipeline")


@app.command(epilog="Example: rowmill state show cursor.json")
def show(file: StateFile, as_json: AsJson = False) -> None:
    """Show what a state belongs to and where it stands."""
    cursor = read_cursor(file)
    if as_json:
        print_json(cursor)
    else:
        print_facts({name: shorten(value, 160) for name, value in _flat(cursor).items()})


@app.command(epilog="Example: rowmill state diff monday.json tuesday.json")
def diff(first: StateFile, second: StateFile, as_json: AsJson = False) -> None:
    """Compare two states; exit status 1 where they do not belong to the same stream."""
    left, right = _flat(read_cursor(first)), _flat(read_cursor(second))
    differences = {
        name: [left.get(name), right.get(name)]
        for name in [*left, *(name for name in right if name not in left)]
        if left.get(name) != right.get(name)
    }
    _forgive_python(left, right, differences)
    identity = {name: pair for name, pair in differences.items() if name.split(".")[0] in _IDENTITY}
    place = {name: pair for name, pair in differences.items() if name not in identity}
    if as_json:
        print_json({"is_same_stream": not identity, "identity": identity, "place": place})
    elif differences:
        lines = [[name, *(shorten(value, 60) for value in pair)] for name, pair in {**identity, **place}.items()]
        print_table(["", first.name, second.name], lines)
    if not as_json:
        print(f"differ in {', '.join(identity)}: not the same stream" if identity else _verdict(place))
    raise typer.Exit(1 if identity else 0)


@app.command(epilog="Example: rowmill state merge rank-*.json -o cursor.json")
def merge(
    files: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="A StatefulDataLoader's state, or one state a rank."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where the cursor goes; else stdout.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make one cursor, for any ranks and workers, of the states of several."""
    from rowmill.merge import merge_states

    states = [_checked(file, part) for file in files for part in _as_list(file, read_state(file))]
    try:
        cursor = merge_states(states)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        if isinstance(error, StateMismatchError):
            raise
        raise StateMismatchError(f"a state is damaged: {type(error).__name__} {error}") from error
    if output is not None:
        write_state(output, cursor)
    if output is None or as_json:
        print_json(cursor)
    else:
        print(f"{output}: epoch {cursor['epoch']}, position {cursor['position']:,}")


def _as_list(file: Path, state: Any) -> list[Any]:
    states = state if isinstance(state, list) else [state]
    if not all(isinstance(one, dict) for one in states):
        raise StateMismatchError(f"{file} holds no state, which is a JSON object, or a list of them, one a rank")
    return states


def _checked(file: Path, state: dict[str, Any]) -> dict[str, Any]:
    from rowmill.merge import cursors_of

    try:
        cursors_of(state)
    except StateMismatchError as error:
        raise StateMismatchError(f"{file}: {error}; give the files that state_dict() was written to") from None
    return state


def _flat(cursor: dict[str, Any]) -> dict[str, Any]:
    """The cursor's fields, the order's and the worker's by dotted names."""
    made: dict[str, Any] = {}
    for name, value in cursor.items():
        if isinstance(value, dict):
            made.update({f"{name}.{inner}": one for inner, one in value.items()})
        else:
            made[name] = value
    return made


def _forgive_python(left: dict[str, Any], right: dict[str, Any], differences: dict[str, Any]) -> None:
    """Leaves out a pipeline that differs only because another Python made the functions' digests."""
    from rowmill.cursor import _comparable

    if "pipeline" not in differences or left.get("python") == right.get("python"):
        return
    chains = [[_comparable(str(text), False) for text in side.get("pipeline") or ()] for side in (left, right)]
    if chains[0] == chains[1]:
        del differences["pipeline"]


def _verdict(place: dict[str, Any]) -> str:
    return "the same stream, at different places" if place else "the same"
