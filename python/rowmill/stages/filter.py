"""filter: rows that a pyarrow expression or a Python function keeps."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import SchemaMismatchError
from rowmill.stages.identity import describe_function

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Filter", "is_expression"]


@dataclass(frozen=True)
class Filter:
    """Keeps the rows for which ``condition`` holds; a null counts as no.

    Attributes:
        condition: A pyarrow expression or a Python function.
        schema: Of the rows that an expression is asked about, where that is known beforehand.
    """

    condition: Any
    schema: pa.Schema | None = None

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

        table = _without_views(pa.Table.from_batches([pa.record_batch(rows)]))
        numbered = table.append_column(_INDEX, pa.array(range(table.num_rows), pa.int32()))
        try:
            kept: list[int] = numbered.filter(self.condition)[_INDEX].to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError) as error:
            names = ", ".join(table.column_names)
            raise SchemaMismatchError(
                f"the filter {self.text or ''} does not fit the columns ({names}): {error}".replace(_INDEX, "row")
            ) from None
        return kept

    def matches_made(self, rows: list[dict[str, Any]]) -> list[int]:
        """The same of rows that Python has made; of what Arrow may have no type for only what is read."""
        import pyarrow as pa

        from rowmill.interop.reader import fitted
        from rowmill.values import record_batch

        names = self.columns_read(list(rows[0])) or list(rows[0])
        batch = record_batch({name: [row.get(name) for row in rows] for name in names})
        if self.schema is not None:
            batch = fitted(batch, pa.schema([self.schema.field(name) for name in names]))
        return self.matches(batch)

    def columns_read(self, names: list[str]) -> list[str]:
        """The columns that the expression may name: those that appear in its text, all where it has none."""
        text = self.text
        if text is None:
            return list(names)
        return [name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]

    def describe(self) -> str:
        return f"filter({self._expression_name() if self.is_expression else describe_function(self.condition)})"

    @property
    def text(self) -> str | None:
        """The expression as pyarrow prints it; None where that cuts a string inside of a character."""
        try:
            return str(self.condition)
        except UnicodeDecodeError:
            return None

    def _expression_name(self) -> str:
        text = self.text
        if text is not None and _CUT not in text:
            return text
        # What pyarrow does not print whole is told apart by all of its bytes.
        serialized = bytes(self.condition.__reduce__()[1][0])
        return f"{text or 'expression'}#{hashlib.blake2b(serialized, digest_size=8).hexdigest()}"


_INDEX = "__rowmill_row__"
# Where pyarrow leaves out parts of long strings and of sets of values.
_CUT = "..."


def _without_views(table: Any) -> Any:
    """The same values in the types that pyarrow has kernels for."""
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        if pa.types.is_string_view(field.type) or pa.types.is_binary_view(field.type):
            plain = pa.large_string() if pa.types.is_string_view(field.type) else pa.large_binary()
            table = table.set_column(index, field.name, table[index].cast(plain))
    return table


def is_expression(condition: Callable[..., Any] | Any) -> bool:
    """Whether ``condition`` is a pyarrow.compute.Expression, without importing pyarrow."""
    return any(
        base.__module__.startswith("pyarrow") and base.__name__ == "Expression" for base in type(condition).__mro__
    )
