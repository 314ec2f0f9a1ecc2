"""Fields that were null in all rows so far: read so that pyarrow's parser gets them right, and given a type later."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["completed", "probing", "settled"]


@lru_cache(maxsize=4)
def probing(schema: pa.Schema) -> pa.Schema:
    """What the parser is told to read: a text for each null, so that any value is found, at once or by ``settled``.

    A parser that is told null takes any value, follows it however deep it is nested, and counts the nulls inside of
    lists and objects wrongly.
    """
    import pyarrow as pa

    return pa.schema([pa.field(field.name, _probing(field.type)) for field in schema])


def _probing(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    if types.is_null(kind):
        return pa.string()
    if types.is_list(kind):
        return pa.list_(_probing(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _probing(field.type)) for field in kind])
    return kind


def settled(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """What was read under ``probing(schema)`` as rows of ``schema``.

    Raises:
        ArrowInvalid: A field that was null so far is a text here.
    """
    import pyarrow as pa

    if table.schema.equals(schema):
        return table
    columns = [
        pa.chunked_array([_settled(chunk, field.type) for chunk in column.chunks], field.type)
        for column, field in zip(table.columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _settled(array: pa.Array, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa
    from pyarrow import types

    if array.type.equals(kind):
        return array
    if types.is_null(kind):
        if array.null_count < len(array):
            raise pa.ArrowInvalid("a field that was null in all rows before is a text")
        return pa.nulls(len(array))
    if types.is_list(kind):
        return _like(array, kind, [_settled(array.values, kind.value_type)])
    return _like(array, kind, [_settled(array.field(index), field.type) for index, field in enumerate(kind)])


def completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows from before ``schema`` had grown: null where it has new fields, and of its types where they were null."""
    import pyarrow as pa

    if table.schema.equals(schema):
        return table
    batches = [
        pa.record_batch(
            [_completed(_column(batch, field.name), field.type, batch.num_rows) for field in schema], schema
        )
        for batch in table.to_batches()
    ]
    return pa.Table.from_batches(batches, schema)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    index = batch.schema.get_field_index(name)
    return None if index < 0 else batch.column(index)


def _completed(array: pa.Array | None, kind: pa.DataType, length: int) -> pa.Array:
    import pyarrow as pa
    from pyarrow import types

    if array is None or types.is_null(array.type):
        return pa.nulls(length, kind)
    if array.type.equals(kind):
        return array
    if types.is_list(kind):
        return _like(array, kind, [_completed(array.values, kind.value_type, len(array.values))])
    inner = {field.name: array.field(index) for index, field in enumerate(array.type)}
    return _like(array, kind, [_completed(inner.get(field.name), field.type, length) for field in kind])


def _like(array: pa.Array, kind: pa.DataType, children: list[pa.Array]) -> pa.Array:
    """A list or object of other ``children``; neither a parser's array nor one from a file has an offset."""
    import pyarrow as pa

    own = array.buffers()[: 2 if pa.types.is_list(kind) else 1]
    return pa.Array.from_buffers(kind, len(array), own, children=children)
