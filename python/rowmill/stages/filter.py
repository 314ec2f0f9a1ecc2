"""filter: rows that a pyarrow expression or a Python function keeps."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rowmill.exceptions import SchemaMismatchError
from rowmill.stages.identity import describe_function

__all__ = ["Filter", "is_expression"]


@dataclass(frozen=True)
class Filter:
    """Keeps the rows for which ``condition`` holds; a null counts as no."""

    condition: Any

    @property
    def is_expression(self) -> bool:
        return is_expression(self.condition)

    def keeps(self, row: dict[str, Any]) -> bool:
        """The answer for one row, where the condition is a function."""
        return bool(self.condition(row))

    def matches(self, rows: Any) -> list[int]:
        """Indices of the rows of an Arrow record batch that the expression keeps."""
        # Imported here: opening and plain reading need no pyarrow.
        import pyarrow as pa

        table = pa.Table.from_batches([pa.record_batch(rows)])
        numbered = table.append_column(_INDEX, pa.array(range(table.num_rows), pa.int32()))
        try:
            kept: list[int] = numbered.filter(self.condition)[_INDEX].to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError) as error:
            raise SchemaMismatchError(f"the filter {self.condition} does not fit the columns: {error}") from None
        return kept

    def columns_read(self, names: list[str]) -> list[str]:
        """The columns that the expression may name: those that appear in its text."""
        text = str(self.condition)
        return [name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]

    def describe(self) -> str:
        name = str(self.condition) if self.is_expression else describe_function(self.condition)
        return f"filter({name})"


_INDEX = "__rowmill_row__"


def is_expression(condition: Callable[..., Any] | Any) -> bool:
    """Whether ``condition`` is a pyarrow.compute.Expression, without importing pyarrow."""
    return any(
        base.__module__.startswith("pyarrow") and base.__name__ == "Expression" for base in type(condition).__mro__
    )
