"""of_sources: what each source of a mix makes of its own rows, before they are rows of the mix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rowmill.stages.columns import Rename, Select
from rowmill.stages.map import Map

__all__ = ["SOURCE", "OfSources"]

# The column by which the engine says of which source a row is; no column of a file is called so.
SOURCE = "\0source"


@dataclass(frozen=True)
class OfSources:
    """The functions of sources that have some, by name; each makes one row of one."""

    functions: Mapping[str, tuple[Map | Rename | Select, ...]]

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """What the row's own source makes of it."""
        for stage in self.functions.get(row.pop(SOURCE), ()):
            row = stage.row(row)
        return row

    def describe(self) -> str:
        made = (f"{name}={'+'.join(stage.describe() for stage in stages)}" for name, stages in self.functions.items())
        return f"of({','.join(made)})"
