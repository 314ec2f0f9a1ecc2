"""In which files the rows of a ``datasets`` table lie, and under which names their columns stand there."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import SchemaMismatchError
from rowmill.source import OpenedSource, OpenOptions

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Placed", "find_files"]

# What `datasets` does to a mapped table that changes neither its rows nor what its columns hold; whether a cast has
# is seen by the types afterwards.
_HARMLESS = frozenset({"combine_chunks", "replace_schema_metadata", "cast"})


@dataclass(frozen=True)
class Placed:
    """Rows that lie in files.

    Attributes:
        paths: The files, in order; one may come again.
        ranges: Which of the files' rows, counted over all of them; empty for all.
        columns: (stored name, name) of each column.
    """

    paths: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...]
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Slice:
    """Rows of one mapped table, and what happened to its columns."""

    path: str
    start: int
    num_rows: int
    is_whole: bool
    steps: tuple[tuple[str, tuple[Any, ...]], ...]


def find_files(table: Any, options: OpenOptions) -> Placed | None:
    """Where the rows of ``table`` (a ``datasets.table.Table``) lie; None where files do not hold just these.

    That is so for tables in memory, for columns put beside others, and for casts that change the values.
    """
    slices = _slices(table)
    if not slices or not all(os.path.isfile(one.path) for one in slices):
        return None
    paths = tuple(one.path for one in slices)
    try:
        opened = OpenedSource(replace(options, paths=paths)).rust
    except SchemaMismatchError:
        # Joined tables with other columns: those that one lacks are null in it.
        return None
    columns = {_columns(opened.column_names, one.steps) for one in slices}
    if len(columns) != 1 or (chosen := columns.pop()) is None:
        return None
    if not _has_types(opened, chosen, table.schema):
        return None
    ranges = _ranges(slices, [shard["num_rows"] for shard in opened.shards()])
    return None if ranges is None else Placed(paths, ranges, chosen)


def _slices(table: Any) -> list[_Slice] | None:
    """The mapped tables one below the other; None where there is anything else."""
    if hasattr(table, "blocks"):
        rows = [block for block in table.blocks if block]
        if any(len(block) != 1 for block in rows):
            return None
        slices = [_slice(block[0]) for block in rows]
    else:
        slices = [_slice(table)]
    found = [one for one in slices if one is not None]
    return found if len(found) == len(slices) else None


def _slice(table: Any) -> _Slice | None:
    path, replays = getattr(table, "path", None), getattr(table, "replays", None)
    if path is None or replays is None:
        return None
    start, is_whole, steps = 0, True, []
    for name, args, kwargs in replays:
        if name == "slice":
            offset, _ = _slice_arguments(*args, **kwargs)
            if offset < 0:
                return None
            start, is_whole = start + offset, False
        elif name in ("select", "drop", "remove_column", "rename_columns") and args and not kwargs:
            steps.append((name, (args[0],)))
        elif name not in _HARMLESS:
            return None
    return _Slice(path, start, table.num_rows, is_whole, tuple((name, _frozen(given)) for name, given in steps))


def _slice_arguments(offset: int = 0, length: int | None = None) -> tuple[int, int | None]:
    return offset, length


def _frozen(given: tuple[Any, ...]) -> tuple[Any, ...]:
    value = given[0]
    return (value if isinstance(value, int | str) else tuple(value),)


def _columns(stored: list[str], steps: tuple[tuple[str, tuple[Any, ...]], ...]) -> tuple[tuple[str, str], ...] | None:
    """(stored name, name) of each column after what was done to them; None where that cannot be followed."""
    columns = [(name, name) for name in stored]
    for step, (wanted,) in steps:
        if step == "rename_columns":
            if len(wanted) != len(columns):
                return None
            columns = [(old, new) for (old, _), new in zip(columns, wanted, strict=True)]
            continue
        names = [name for _, name in columns]
        if step == "remove_column":
            wanted = (names[wanted],) if isinstance(wanted, int) else ()
        wanted = (wanted,) if isinstance(wanted, str) else wanted
        if not set(wanted) <= set(names):
            return None
        if step == "select":
            columns = [columns[names.index(name)] for name in wanted]
        else:
            columns = [column for column in columns if column[1] not in wanted]
    return tuple(columns)


def _has_types(opened: Any, columns: tuple[tuple[str, str], ...], schema: pa.Schema) -> bool:
    """Whether the files hold what the table shows, value by value."""
    import pyarrow as pa

    stored = pa.schema(opened.schema)
    return [name for _, name in columns] == schema.names and all(
        stored.field(old).type == schema.field(name).type for old, name in columns
    )


def _ranges(slices: list[_Slice], file_rows: list[int]) -> tuple[tuple[int, int], ...] | None:
    """The slices as ranges over all rows of all files; None where a file is not what it was."""
    ranges, first, is_all = [], 0, True
    for one, num_rows in zip(slices, file_rows, strict=True):
        stop = one.start + one.num_rows
        if stop > num_rows or (one.is_whole and one.num_rows != num_rows):
            return None
        is_all = is_all and one.num_rows == num_rows
        ranges.append((first + one.start, first + stop))
        first += num_rows
    return () if is_all else tuple(ranges)
