"""What commands print: JSON, tables, facts, and errors as one paragraph."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

__all__ = ["AsJson", "complain", "print_facts", "print_json", "print_table", "shorten"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def print_json(value: Any) -> None:
    """One JSON document; bytes as base64, what JSON has no word for as text."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_as_json))


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.tolist() if hasattr(value, "tolist") else str(value)


def print_facts(facts: Mapping[str, Any]) -> None:
    """One line a fact, the names in one column."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        text = f"{value:,}" if type(value) is int else str(value)
        print(f"{name:<{width}}  {text}")


def print_table(columns: Sequence[str], lines: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """A table, never cut off where the output is no terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    for line in lines:
        # As text: what comes from a file may look like rich's markup.
        table.add_row(*(Text(str(value)) for value in line))
    console = Console(highlight=False)
    console.print(table) if console.is_terminal else Console(highlight=False, width=160).print(table)


def shorten(value: Any, length: int = 72) -> str:
    """A value as text of at most ``length`` characters; a long list says how long it is."""
    text = repr(value)
    if isinstance(value, list) and len(text) > length:
        text = f"{len(value)} values: {', '.join(repr(one)[:40] for one in value[:length])}"
    return text if len(text) <= length else text[: length - 3] + "..."


def complain(text: str, *, kind: str = "error") -> None:
    """One paragraph on stderr."""
    print(f"{kind}: {' '.join(text.split())}", file=sys.stderr)
