"""The token ids of a block of rows, as flat arrays, without a look at single rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_ids", "id_type", "ids_of", "narrowed", "num_ids"]


def id_type(schema: pa.Schema, column: str) -> np.dtype[Any]:
    """The integers of a column of token ids.

    Raises:
        SchemaMismatchError: There is no such column, or it holds no lists of integers.
    """
    import pyarrow as pa

    if column not in schema.names:
        raise SchemaMismatchError(
            f"there is no column {column!r} of token ids; the columns are {', '.join(schema.names)}. "
            "rowmill.tokenize makes ids of text, column= names those that are there"
        )
    kind = schema.field(column).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_integer(kind.value_type):
        raise SchemaMismatchError(f"column {column!r} is {kind}, not lists of token ids; column= names another one")
    stored: np.dtype[Any] = np.dtype(kind.value_type.to_pandas_dtype())
    return stored


def ids_of(blocks: Iterable[pa.Table], column: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The ids of each block's documents, one after the other, and how many each has; a null is an empty document."""
    for block in blocks:
        lists = _whole(block[column])
        ids = lists.flatten()
        if ids.null_count:
            raise SchemaMismatchError(f"column {column!r} has a null inside of a document; a token is a number")
        yield ids.to_numpy(zero_copy_only=False), _lengths(lists)


def num_ids(column: pa.ChunkedArray) -> int:
    """How many ids a column of lists holds."""
    return sum(len(chunk.flatten()) for chunk in column.chunks)


def _whole(column: pa.ChunkedArray) -> Any:
    """One array of all lists: what there is, where that is one already."""
    import pyarrow as pa

    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _lengths(lists: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    import pyarrow as pa

    if lists.null_count or pa.types.is_fixed_size_list(lists.type):
        import pyarrow.compute as pc

        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        return np.asarray(lengths, np.int64)
    # Not by `compute`, which takes a tenth of a second to be imported.
    offsets: np.ndarray[Any, np.dtype[np.int64]] = lists.offsets.to_numpy().astype(np.int64)
    return np.diff(offsets)


def narrowed(ids: np.ndarray, dtype: np.dtype[Any], to: str) -> np.ndarray:
    """The same ids as ``dtype``.

    Raises:
        SchemaMismatchError: One does not fit.
    """
    # What is signed may hold what is no id, whatever it is written as.
    if ids.dtype.kind == "i" or not np.can_cast(ids.dtype, dtype, "safe"):
        check_ids(ids, dtype, to)
    return np.ascontiguousarray(ids, dtype=dtype)


def check_ids(ids: np.ndarray, dtype: np.dtype[Any], to: str) -> None:
    """Raises SchemaMismatchError where an id is negative, or larger than ``dtype`` holds."""
    if len(ids) and (ids.min() < 0 or ids.max() > np.iinfo(dtype).max):
        worst = ids.min() if ids.min() < 0 else ids.max()
        remedy = "name another column" if worst < 0 else "choose another format for such a vocabulary"
        raise SchemaMismatchError(
            f"id {worst} has no place in {to}, whose ids are {dtype}: 0 to {np.iinfo(dtype).max}; {remedy}"
        )
