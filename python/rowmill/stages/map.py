"""map: a Python function over rows, or over groups of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rowmill.exceptions import SchemaMismatchError
from rowmill.stages.columns import check_names
from rowmill.stages.identity import describe_function

__all__ = ["Map"]


@dataclass(frozen=True)
class Map:
    """``function`` as ``datasets.map`` takes it: its result is merged over the row, after ``remove_columns`` left."""

    function: Callable[..., Any]
    batched: bool = False
    batch_size: int = 1000
    remove_columns: tuple[str, ...] = ()
    fn_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """The function on one row (or on one batch, after ``.batch``)."""
        result = self._checked(self.function(row, **self.fn_kwargs))
        return row if result is None and not self.remove_columns else {**self._rest(row), **(result or {})}

    def group(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The function on a group of rows, as columns; it may return more rows or fewer."""
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        result = self._checked(self.function(dict(columns), **self.fn_kwargs))
        merged = {**self._rest(columns), **(result or {})}
        lengths = {name: len(values) for name, values in merged.items()}
        if len(set(lengths.values())) > 1:
            raise SchemaMismatchError(
                f"{self.describe()} returned columns of different lengths, {lengths}; a function that changes the "
                "number of rows must replace every column: name the others in remove_columns"
            )
        return [dict(zip(merged, values, strict=True)) for values in zip(*merged.values(), strict=True)]

    def _rest(self, row: dict[str, Any]) -> dict[str, Any]:
        if not self.remove_columns:
            return row
        check_names(self.remove_columns, list(row))
        return {name: value for name, value in row.items() if name not in self.remove_columns}

    def _checked(self, result: Any) -> Mapping[str, Any] | None:
        if result is None or isinstance(result, Mapping):
            return result
        raise SchemaMismatchError(
            f"{self.describe()} returned {type(result).__name__}; it must return a dict of columns, or None"
        )

    def describe(self) -> str:
        group = f",{self.batch_size}" if self.batched else ""
        return f"map({describe_function(self.function)}{group})"
