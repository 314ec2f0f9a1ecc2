"""Nulls inside of lists and objects, whose number pyarrow's JSON parser gets wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["counted"]


def counted(table: pa.Table) -> pa.Table:
    """The table, with as many nulls in each list and object as they hold; a parser's table has no offsets."""
    import pyarrow as pa

    if not any(_has_inner(kind) for kind in table.schema.types):
        return table
    columns = [pa.chunked_array([_counted(chunk) for chunk in column.chunks], column.type) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _has_inner(kind: pa.DataType) -> bool:
    inner = [kind.field(index).type for index in range(kind.num_fields)]
    return any(str(part) == "null" or _has_inner(part) for part in inner)


def _counted(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    from pyarrow import types

    if not _has_inner(array.type):
        return array
    if types.is_list(array.type):
        validity, offsets = array.buffers()[:2]
        length = array.offsets[-1].as_py() if len(array) else 0
        values = pa.nulls(length) if types.is_null(array.type.value_type) else _counted(array.values)
        return pa.Array.from_buffers(array.type, len(array), [validity, offsets], children=[values])
    children = [
        pa.nulls(len(array)) if types.is_null(field.type) else _counted(array.field(index))
        for index, field in enumerate(array.type)
    ]
    return pa.Array.from_buffers(array.type, len(array), array.buffers()[:1], children=children)
