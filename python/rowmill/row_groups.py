"""Which row groups of a Parquet file an expression may keep rows of, by the statistics in its footer."""

from __future__ import annotations

import functools
import io
import itertools
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["kept_row_groups"]

# Each of these columns doubles the cases of a row group.
_MOST_NULLABLE = 3


def kept_row_groups(
    file: str | io.RawIOBase, expression: Any, schema: pa.Schema, names: Sequence[str], where: Any
) -> list[int]:
    """Numbers of row groups that may hold a row for which ``expression`` is true.

    Args:
        file: A Parquet file: the path of a local one, or one that Python reads.
        expression: Of pyarrow.
        schema: Of the data set.
        names: Columns that the expression may name.
        where: An expression that is true of all rows of the file, or None.

    Raises:
        ArrowException: The expression does not fit, or the file is damaged.
        OSError: The file cannot be read.
    """
    import pyarrow.dataset as pds
    from pyarrow.fs import LocalFileSystem

    system = LocalFileSystem() if isinstance(file, str) else None
    fragment = pds.ParquetFileFormat().make_fragment(file, system, partition_expression=where)
    # A partition that contradicts the filter leaves nothing of the file.
    parts = fragment.split_by_row_group(expression, schema=schema)
    kept = [group.id for part in parts for group in part.row_groups]
    if not kept:
        return []
    # pyarrow itself takes a null for a value that may be anything.
    metadata = parts[0].metadata
    columns = [index for index in range(metadata.num_columns) if _is_told(metadata.schema.column(index), schema, names)]
    cases = {group: _cases(metadata.row_group(group), columns, schema, where) for group in kept}
    divided = {group: found for group, found in cases.items() if found}
    still = _satisfiable(divided, expression, schema)
    return [group for group in kept if group in still or group not in divided]


def _is_told(column: Any, schema: pa.Schema, names: Sequence[str]) -> bool:
    """Whether statistics of a column in the file are of values that the expression may see, to their last bit."""
    name = column.path
    # A dot may stand in a name, and before that of a field.
    return name in names and "." not in name and name in schema.names and _is_exact(schema.field(name).type)


def _cases(group: Any, columns: Sequence[int], schema: pa.Schema, where: Any) -> list[Any]:
    """Expressions of which one is true of each row: by which of its values are null, the others in their bounds.

    None where no column has nulls.
    """
    known = (_facts_of(group.column(index), schema) for index in columns)
    facts = [fact for fact in known if fact]
    if not 0 < sum(len(fact) > 1 for fact in facts) <= _MOST_NULLABLE:
        return []
    certain = [] if where is None else [where]
    return [functools.reduce(operator.and_, [*certain, *case]) for case in itertools.product(*facts)]


def _facts_of(column: Any, schema: pa.Schema) -> list[Any]:
    """Expressions of which one is true of the column's value in each row; none where nothing is known."""
    import pyarrow as pa
    import pyarrow.dataset as pds

    name, statistics = column.path_in_schema, column.statistics
    if statistics is None:
        return []
    field, num_nulls = pds.field(name), statistics.null_count if statistics.has_null_count else None
    if num_nulls is not None and num_nulls >= column.num_values:
        return [field.is_null()]
    if not statistics.has_min_max:
        return []
    kind = schema.field(name).type
    try:
        least, greatest = pa.scalar(statistics.min, kind), pa.scalar(statistics.max, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return []
    bounds = (field >= least) & (field <= greatest)
    return [bounds] if num_nulls == 0 else [bounds, field.is_null()]


def _is_exact(kind: pa.DataType) -> bool:
    """Whether Python's values of the type are those of the file."""
    from pyarrow import types

    is_plain = types.is_integer(kind) or types.is_boolean(kind) or types.is_date32(kind)
    is_text = types.is_string(kind) or types.is_large_string(kind)
    return bool(is_plain or is_text or (types.is_timestamp(kind) and kind.unit != "ns"))


def _satisfiable(cases: dict[int, list[Any]], expression: Any, schema: pa.Schema) -> set[int]:
    """Row groups of which a case goes together with the expression."""
    import pyarrow.dataset as pds
    from pyarrow.fs import LocalFileSystem

    if not cases:
        return set()
    file_format, files = pds.ParquetFileFormat(), LocalFileSystem()
    # Nothing is read: pyarrow looks at what is said of each file first. A number stands for its name.
    told = [
        file_format.make_fragment(str(group), files, partition_expression=case)
        for group, found in cases.items()
        for case in found
    ]
    dataset = pds.FileSystemDataset(told, schema, file_format, files)
    return {int(fragment.path) for fragment in dataset.get_fragments(filter=expression)}
