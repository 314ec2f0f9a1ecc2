"""Choosing and renaming columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rowmill.exceptions import SchemaMismatchError

__all__ = ["Rename", "Select", "check_names"]


@dataclass(frozen=True, slots=True)
class Select:
    """Keeps these columns, in this order."""

    names: tuple[str, ...]

    def columns(self, columns: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The same choice over (stored name, name) pairs, before any row is made."""
        check_names(self.names, [name for _, name in columns])
        stored = {name: source for source, name in columns}
        return [(stored[name], name) for name in self.names]

    def row(self, row: Any) -> Any:
        """The choice on one row (or batch) that a Python stage has made."""
        if not isinstance(row, dict):  # a pyarrow.RecordBatch
            return row.select(list(self.names))
        check_names(self.names, list(row))
        return {name: row[name] for name in self.names}

    def describe(self) -> str:
        return f"select({','.join(self.names)})"


@dataclass(frozen=True, slots=True)
class Rename:
    """Renames columns; the rest stay."""

    mapping: tuple[tuple[str, str], ...]

    def columns(self, columns: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The renaming over (stored name, name) pairs."""
        names = [name for _, name in columns]
        renamed = self._renamed(names)
        return [(stored, new) for (stored, _), new in zip(columns, renamed, strict=True)]

    def row(self, row: Any) -> Any:
        """The renaming on one row (or batch) that a Python stage has made."""
        if not isinstance(row, dict):  # a pyarrow.RecordBatch
            return row.rename_columns(self._renamed(row.schema.names))
        return dict(zip(self._renamed(list(row)), row.values(), strict=True))

    def _renamed(self, names: list[str]) -> list[str]:
        mapping = dict(self.mapping)
        check_names(tuple(mapping), names)
        renamed = [mapping.get(name, name) for name in names]
        twice = {name for name in renamed if renamed.count(name) > 1}
        if twice:
            raise SchemaMismatchError(f"renaming would make two columns {sorted(twice)[0]!r}; choose another name")
        return renamed

    def describe(self) -> str:
        return f"rename({','.join(f'{old}={new}' for old, new in self.mapping)})"


def check_names(wanted: Sequence[str], known: Sequence[str]) -> None:
    """Raises SchemaMismatchError where a wanted column is not there or is wanted twice."""
    for name in wanted:
        if name not in known:
            raise SchemaMismatchError(f"there is no column {name!r}; the columns are {', '.join(known) or 'none'}")
    if len(set(wanted)) != len(wanted):
        raise SchemaMismatchError(f"a column is named twice in {list(wanted)}")
