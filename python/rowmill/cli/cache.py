"""``rowmill cache``: what rowmill keeps in its cache folder, and an end of it."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from rowmill.cli.output import AsJson, print_json, print_table, size
from rowmill.folders import cache_folder

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List or clear what rowmill can make again.")


class Kind(Enum):
    """What is kept."""

    index = "index"
    converted = "converted"
    tables = "tables"
    indices = "indices"
    cached = "cached"
    windows = "windows"


# What rowmill itself names so; whatever else lies there is somebody else's. Locks have no bytes, and may be held.
_INDEX = re.compile(r"[0-9a-f]{32}\.(index|tokens|tokens\.part)")
_KEY = re.compile(r"[0-9a-f]{32}")
# What such a folder holds when it is whole; without it a folder is being made, or is none of ours.
# Names as `Path.glob` has them.
_HOLDS = {
    Kind.converted: "conversion.json",
    Kind.tables: "data-00000-of-*.arrow",
    Kind.indices: "indices.arrow",
    # Finished ones have another note; this matches both, and those that go on when the same call comes again.
    Kind.cached: "*.json*",
    Kind.windows: "windows.arrow",
}
_FINISHED = "dataset.json"

Kinds = Annotated[Kind | None, typer.Option("--kind", help="Only these.", show_default=False)]


@dataclass(frozen=True)
class _Entry:
    kind: str
    path: str
    num_bytes: int
    age_seconds: float
    is_finished: bool


@app.command("list", epilog="Example: rowmill cache list --kind index")
def list_(kind: Kinds = None, as_json: AsJson = False) -> None:
    """List what is kept, with sizes and ages: indexes, converted and encoded text, what .cache and datasets held.

    What is unfinished goes on where it stopped when the same call comes again.
    """
    entries = list(_entries(kind))
    total = sum(entry.num_bytes for entry in entries)
    if as_json:
        print_json({"folder": str(cache_folder()), "num_bytes": total, "entries": [asdict(entry) for entry in entries]})
        return
    if entries:
        lines = ([_shown(entry), entry.path, size(entry.num_bytes), _age(entry.age_seconds)] for entry in entries)
        print_table(["kind", "path", "size", "last used"], lines, right=["size", "last used"])
    print(f"{cache_folder()}: {len(entries):,} entries, {size(total)}")


@app.command(epilog="Example: rowmill cache clear --kind converted --older-than 30 --yes")
def clear(
    kind: Kinds = None,
    older_than: Annotated[
        float, typer.Option("--older-than", min=0, metavar="DAYS", help="Only what was not used for so many days.")
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is kept; it is made again when it is needed.

    Nothing else in that folder is touched. A file in use stays usable by whoever has it open.
    """
    entries = [entry for entry in _entries(kind) if entry.age_seconds >= older_than * 86_400]
    total = sum(entry.num_bytes for entry in entries)
    if entries and not yes:
        _ask(f"Remove {len(entries):,} entries, {size(total)}, from {cache_folder()}?")
    for entry in entries:
        _remove(Path(entry.path))
    if as_json:
        print_json({"folder": str(cache_folder()), "num_removed": len(entries), "num_bytes": total})
    else:
        print(f"{cache_folder()}: {len(entries):,} entries removed, {size(total)}")


def _entries(kind: Kind | None) -> Iterator[_Entry]:
    for name in Kind:
        folder = cache_folder() / name.value
        if kind in (None, name) and folder.is_dir():
            yield from (_entry(name.value, path) for path in sorted(folder.iterdir()) if _is_ours(name, path))


def _is_ours(kind: Kind, path: Path) -> bool:
    if path.is_symlink():
        return False
    if kind == Kind.index:
        return _INDEX.fullmatch(path.name) is not None and path.is_file()
    return _KEY.fullmatch(path.name) is not None and next(path.glob(_HOLDS[kind]), None) is not None


def _shown(entry: _Entry) -> str:
    return entry.kind if entry.is_finished else f"{entry.kind}, unfinished"


def _entry(kind: str, path: Path) -> _Entry:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    stats = [file.stat() for file in files] or [path.stat()]
    used = max(max(stat.st_mtime, stat.st_atime) for stat in stats)
    is_finished = kind != Kind.cached.value or (path / _FINISHED).exists()
    return _Entry(kind, str(path), sum(stat.st_size for stat in stats), max(time.time() - used, 0.0), is_finished)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise ValueError(f"{question} Say so with --yes; nothing is asked without a terminal")
    typer.confirm(question, abort=True)


def _age(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"
