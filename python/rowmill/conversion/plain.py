"""Columns as members of a tar can hold them: as bytes, as text, as an image, or as a part of a JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["kind_of", "plain"]


def plain(name: str, kind: pa.DataType) -> pa.DataType:
    """The type to cast a column to, whose Python values bytes, text or JSON can hold.

    Raises:
        SchemaMismatchError: There is none, as for maps and for bytes inside of lists or dicts.
    """
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(kind):
        return plain(name, kind.value_type)
    if types.is_duration(kind):
        return pa.int64()
    if types.is_temporal(kind) or types.is_decimal(kind):
        return pa.string()
    if _is_bytes(kind) or _is_media(kind):
        return kind
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_inner(name, kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _inner(name, field.type)) for field in kind])
    if types.is_map(kind) or types.is_union(kind):
        raise _no_place(name, str(kind))
    return kind


def _inner(name: str, kind: pa.DataType) -> pa.DataType:
    if _is_bytes(kind) or _is_media(kind):
        raise _no_place(name, "bytes inside of lists or dicts")
    return plain(name, kind)


def _no_place(name: str, what: str) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"column {name!r} holds {what}, for which a tar has no member; leave it out by columns, or choose parquet"
    )


def kind_of(kind: pa.DataType) -> str:
    """What a column of this type is written as: "text", "bytes", "media" or "json"."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if _is_text(kind):
        return "text"
    return "bytes" if _is_bytes(kind) else "media" if _is_media(kind) else "json"


def _is_bytes(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)) or (
        str(kind) == "binary_view"
    )


def _is_text(kind: pa.DataType) -> bool:
    return str(kind) in ("string", "large_string", "string_view")


def _is_media(kind: pa.DataType) -> bool:
    """HF's images and audio as they are stored."""
    from pyarrow import types

    return bool(
        types.is_struct(kind)
        and {field.name for field in kind} == {"bytes", "path"}
        and _is_bytes(kind.field("bytes").type)
        and (_is_text(kind.field("path").type) or types.is_null(kind.field("path").type))
    )
