"""The types of JSON's values, and the narrowest type that holds two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TypeConflict", "Unfit", "check_size", "has_grown", "type_of", "unify", "unify_schemas", "with_text"]

# Objects that use values as names would make a column of each.
_MOST_FIELDS = 10_000
# Arrow's file format stops at 64, rows and columns included.
_MOST_LEVELS = 60


class Unfit(Exception):
    """Rows that are JSON, and for which there are no columns; the text says what to do."""


class TypeConflict(Unfit):
    """Two values of one field that no one type holds."""

    def __init__(self, field: str, before: str, now: str) -> None:
        super().__init__(
            f"{field or 'the row'} is {now}, but {before} before it; write one type of value, or leave the field out"
        )
        self.field, self.before, self.now = field, before, now


def unify(before: pa.DataType, now: pa.DataType, field: str = "") -> pa.DataType:
    """Null widens to anything, integers to doubles, lists by their items, objects by their fields.

    Raises:
        TypeConflict: No type holds both, such as a number and a text.
    """
    import pyarrow as pa
    from pyarrow import types

    if before.equals(now) or types.is_null(now):
        return before
    if types.is_null(before):
        return now
    if types.is_list(before) and types.is_list(now):
        return pa.list_(unify(before.value_type, now.value_type, f"{field}[]"))
    if types.is_struct(before) and types.is_struct(now):
        return pa.struct(_unify_fields(list(before), list(now), f"{field}." if field else ""))
    numbers = (pa.int64(), pa.float64())
    if before in numbers and now in numbers:
        return pa.float64()
    raise TypeConflict(field, _name(before), _name(now))


def _unify_fields(before: list[pa.Field], now: list[pa.Field], prefix: str) -> list[pa.Field]:
    import pyarrow as pa

    fields = {field.name: field.type for field in before}
    for field in now:
        known = fields.get(field.name)
        fields[field.name] = field.type if known is None else unify(known, field.type, prefix + field.name)
    return [pa.field(name, kind) for name, kind in fields.items()]


def unify_schemas(before: pa.Schema, now: pa.Schema) -> pa.Schema:
    """The columns of both, in the order in which they came up."""
    import pyarrow as pa

    return pa.schema(_unify_fields(list(before), list(now), ""))


def with_text(schema: pa.Schema) -> pa.Schema:
    """JSON knows no dates: what pyarrow takes for one is a text, and stays as it is written."""
    import pyarrow as pa

    return pa.schema([pa.field(field.name, _with_text(field.type)) for field in schema])


def _with_text(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    if types.is_temporal(kind):
        return pa.string()
    if types.is_list(kind):
        return pa.list_(_with_text(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _with_text(field.type)) for field in kind])
    return kind


def check_size(schema: pa.Schema) -> None:
    """Refuses columns that no file should have, or can.

    Raises:
        Unfit: There are too many, or one is nested too deep.
    """
    if _num_fields(schema) > _MOST_FIELDS:
        raise Unfit(
            f"the objects have more than {_MOST_FIELDS:,} different fields, as if values stood for names; write such "
            "an object as a list of pairs"
        )
    if _depth(schema) > _MOST_LEVELS:
        raise Unfit(
            f"values are nested more than {_MOST_LEVELS} levels deep, which Arrow files cannot hold; store such a "
            "value as a text"
        )


def _num_fields(schema: pa.Schema) -> int:
    """Columns, and fields of fields."""

    def count(kind: pa.DataType) -> int:
        return sum(1 + count(kind.field(index).type) for index in range(kind.num_fields))

    return sum(1 + count(field.type) for field in schema)


def has_grown(before: pa.Schema, now: pa.Schema) -> bool:
    """Whether rows of ``before`` are rows of ``now`` but for nulls: what was no null has kept its type."""
    import pyarrow as pa
    from pyarrow import types

    def is_same(then: pa.DataType, kind: pa.DataType) -> bool:
        if types.is_struct(then) and types.is_struct(kind):
            fields = {field.name: field.type for field in kind}
            return all(is_same(field.type, fields[field.name]) for field in then)
        if types.is_list(then) and types.is_list(kind):
            return is_same(then.value_type, kind.value_type)
        return types.is_null(then) or bool(then.equals(kind))

    return is_same(pa.struct(list(before)), pa.struct(list(now)))


def _depth(schema: pa.Schema) -> int:
    """Levels of lists and objects in the deepest column."""

    def levels(kind: pa.DataType) -> int:
        return max((1 + levels(kind.field(index).type) for index in range(kind.num_fields)), default=0)

    return max((levels(field.type) for field in schema), default=0)


def type_of(value: Any, field: str = "") -> pa.DataType:
    """The type of one parsed value.

    Raises:
        TypeConflict: Items of a list have no one type.
    """
    import pyarrow as pa

    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.int64() if -(1 << 63) <= value < 1 << 63 else pa.float64()
    if isinstance(value, float):
        return pa.float64()
    if isinstance(value, str):
        return pa.string()
    if isinstance(value, dict):
        prefix = f"{field}." if field else ""
        return pa.struct([pa.field(name, type_of(inner, prefix + name)) for name, inner in value.items()])
    items: pa.DataType = pa.null()
    for item in value:
        items = unify(items, type_of(item, f"{field}[]"), f"{field}[]")
    return pa.list_(items)


def _name(kind: pa.DataType) -> str:
    """A type in JSON's words."""
    words = {"bool": "true or false", "int64": "a number", "double": "a number", "string": "a text"}
    return words.get(str(kind), "a list" if str(kind).startswith("list") else "an object")
