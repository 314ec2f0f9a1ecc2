"""What commands print: JSON, tables, facts, and errors as one paragraph."""

from __future__ import annotations

import base64
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "AsJson",
    "check_target",
    "complain",
    "console",
    "plural",
    "print_facts",
    "print_json",
    "print_table",
    "print_warnings",
    "shorten",
    "size",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def print_json(value: Any) -> None:
    """One JSON document; bytes as base64, what JSON has no word for as text."""
    print(json.dumps(_finite(value), indent=2, ensure_ascii=False, default=_as_json))


def _finite(value: Any) -> Any:
    """JSON has no word for NaN and infinities: they become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.tolist() if hasattr(value, "tolist") else str(value)


def console() -> Console:
    """Where tables go: as wide as the terminal, and wide enough where there is none."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def print_facts(facts: Mapping[str, Any]) -> None:
    """One line a fact, the names in one column."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        text = f"{value:,}" if type(value) is int else str(value)
        print(f"{name:<{width}}  {text}")


def print_table(
    columns: Sequence[str],
    lines: Iterable[Sequence[Any]],
    *,
    title: str | None = None,
    right: Sequence[str] | None = None,
) -> None:
    """A table, never cut off where the output is no terminal; ``right`` names the columns set to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        is_right = number > 0 if right is None else name in right
        table.add_column(Text(name), justify="right" if is_right else "left", overflow="fold")
    for line in lines:
        # As text: what comes from a file may look like rich's markup.
        table.add_row(*(value if isinstance(value, Text) else Text(str(value)) for value in line))
    console().print(table)


def print_warnings(texts: Iterable[str]) -> None:
    """One paragraph each, marked."""
    from rich.text import Text

    for text in texts:
        console().print(Text.assemble(("warning: ", "bold yellow"), text))


def size(num_bytes: float) -> str:
    """A number of bytes as people say it, in powers of 1,000 as disks and rates are counted."""
    unit = 0
    while abs(num_bytes) >= 1000 and unit < len(_UNITS) - 1:
        num_bytes, unit = num_bytes / 1000, unit + 1
    return f"{num_bytes:,.0f} {_UNITS[unit]}" if unit == 0 or num_bytes >= 100 else f"{num_bytes:,.3g} {_UNITS[unit]}"


def plural(number: int, noun: str) -> str:
    """A count and what is counted."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def check_target(path: Path, option: str) -> None:
    """Raises ValueError where no file can be written as ``path``: before the work whose result it is for."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{option} {path}: there is no folder {folder}; make it, or name another file")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ValueError(f"{option} {path}: it cannot be written; name another file")


def shorten(value: Any, length: int = 72) -> str:
    """A value as text of at most ``length`` characters; a long list says how long it is, bytes what they are."""
    if isinstance(value, bytes | bytearray | memoryview):
        return _bytes(bytes(value), length)
    text = value if isinstance(value, str) and "\x1b" not in value else repr(value)
    if isinstance(value, list) and len(text) > length:
        text = f"{len(value):,} values: {', '.join(shorten(one, 40) for one in value[:length])}"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{name}: {shorten(one, 40)}" for name, one in value.items()) + "}"
    text = " ".join(text.split()) if isinstance(value, str) else text
    return text if len(text) <= length else text[: length - 3] + "..."


_MAGICS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "RIFF",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "zip",
    b"%PDF": "PDF",
    b"\x1f\x8b": "gzip",
}


def _bytes(value: bytes, length: int) -> str:
    kind = next((f", {name}" for magic, name in _MAGICS.items() if value.startswith(magic)), "")
    if len(value) <= 16 and not kind:
        return repr(value)[:length]
    return f"<{size(len(value))}{kind}>"


def complain(text: str, *, kind: str = "error") -> None:
    """One paragraph on stderr, in which nothing steers the terminal."""
    shown = " ".join(text.split())
    print(f"{kind}: {''.join(letter if letter.isprintable() else '?' for letter in shown)}", file=sys.stderr)
