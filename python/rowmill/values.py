"""Rows that Python functions have made, put together to one batch in the asked format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rowmill import torch as _torch
from rowmill.exceptions import SchemaMismatchError

__all__ = ["Format", "batch_column", "chosen", "collate", "numbers_of", "record_batch", "stored_dtype"]


@dataclass(frozen=True, slots=True)
class Format:
    """What rows and batches are handed out as.

    Attributes:
        name: "python", "numpy", "torch" or "arrow"; None is the default: rows as Python values, batches as
            torch tensors (NumPy arrays without torch).
        dtypes: Element type by column name; the empty name stands for all numeric columns.
        fill_null: What stands for a null in a numeric batch column, by column name; empty for all.
    """

    name: str | None = None
    dtypes: tuple[tuple[str, str], ...] = ()
    fill_null: tuple[tuple[str, float], ...] = ()
    stored: tuple[tuple[str, str], ...] = ()
    """Element type of the numeric columns as they are stored: what a function passes on keeps its type."""
    schema: bytes | None = None
    """Of Arrow batches, serialized, where it is known beforehand."""

    @property
    def batch_name(self) -> str:
        """The format of batches, with the default resolved."""
        return self.name or ("torch" if _torch.has_torch() else "numpy")

    @property
    def row_name(self) -> str:
        """The format of single rows, with the default resolved."""
        return self.name or "python"


def collate(rows: list[dict[str, Any]], batch_format: Format) -> Any:
    """One batch of ``rows``: a dict of tensors, arrays or lists, or a pyarrow.RecordBatch.

    Raises:
        SchemaMismatchError: Rows differ in their columns, or a numeric column holds a null without a fill value.
    """
    names = list(rows[0]) if rows else []
    for row in rows:
        if row.keys() != rows[0].keys():
            raise SchemaMismatchError(f"rows of one batch differ in their columns: {names} and {list(row)}")
    columns = {name: [row[name] for row in rows] for name in names}
    if batch_format.batch_name == "arrow":
        return _under(record_batch(columns), batch_format.schema)
    if batch_format.batch_name == "python":
        return columns
    return {name: batch_column(name, values, batch_format) for name, values in columns.items()}


def _under(batch: Any, schema: bytes | None) -> Any:
    if schema is None:
        return batch
    import pyarrow as pa

    from rowmill.interop.reader import fitted

    return fitted(batch, pa.ipc.read_schema(pa.py_buffer(schema)))


def record_batch(columns: dict[str, list[Any]]) -> Any:
    """Columns of Python values as a pyarrow.RecordBatch.

    Raises:
        SchemaMismatchError: Arrow has no type for a column's values.
    """
    import pyarrow as pa

    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array([_plain(value) for value in values])
        except (pa.ArrowException, OverflowError, TypeError) as error:
            raise SchemaMismatchError(
                f"column {name!r} holds what Arrow has no type for, or values of several types ({error}); have .map() "
                f'return plain values of one type, leave the column as bytes with .decode({{"{name}": "bytes"}}), or '
                "leave it out with select_columns"
            ) from error
    return pa.RecordBatch.from_pydict(arrays)


def batch_column(name: str, values: list[Any], batch_format: Format) -> Any:
    """One column of a batch: a tensor or array where the values are numbers of one shape, else a list."""
    if all(_torch.is_tensor(value) for value in values):
        return _stacked_tensors(values, batch_format, chosen(batch_format.dtypes, name))
    numbers = _numbers(_filled(name, values, batch_format))
    if numbers is None:
        return values
    dtype = chosen(batch_format.dtypes, name) or stored_dtype(numbers, dict(batch_format.stored).get(name))
    if batch_format.batch_name == "torch":
        if isinstance(numbers, list):
            return [_torch.tensor_from(row, dtype or _token_dtype(row)) for row in numbers]
        # Lists of integers are token ids: int64, as embedding layers want them.
        return _torch.tensor_from(numbers, dtype or (_token_dtype(numbers) if numbers.ndim > 1 else None))
    return numbers if dtype is None else _as_numpy(numbers, dtype)


def stored_dtype(numbers: Any, dtype: str | None) -> str | None:
    """``dtype`` where it holds all of ``numbers``: Python's int and float know no width of their own."""
    if dtype is None or dtype in ("bool", "bfloat16"):
        return None
    wanted = np.dtype(dtype)
    for array in numbers if isinstance(numbers, list) else [numbers]:
        if not array.size:
            # No number that it could not hold; NumPy takes an empty list for floats.
            continue
        if wanted.kind == "f" and array.dtype.kind == "f":
            continue
        if wanted.kind not in "iu" or array.dtype.kind not in "iu":
            return None
        limits = np.iinfo(wanted)
        if not limits.min <= int(array.min()) <= int(array.max()) <= limits.max:
            return None
    return dtype


def _stacked_tensors(values: list[Any], batch_format: Format, dtype: str | None) -> Any:
    if len({(value.shape, value.dtype) for value in values}) != 1:
        return values
    if batch_format.batch_name == "torch":
        stacked = _torch.stack(values)
        return stacked if dtype is None else _torch.tensor_from(stacked.numpy(), dtype)
    stacked = np.stack([value.numpy() for value in values])
    return stacked if dtype is None else stacked.astype(dtype)


def _as_numpy(numbers: Any, dtype: str) -> Any:
    return [row.astype(dtype) for row in numbers] if isinstance(numbers, list) else numbers.astype(dtype)


def _token_dtype(numbers: np.ndarray[Any, Any]) -> str | None:
    return "int64" if numbers.dtype.kind in "iu" and numbers.dtype.itemsize > 1 and numbers.dtype != np.uint64 else None


def _numbers(values: list[Any]) -> np.ndarray[Any, Any] | list[np.ndarray[Any, Any]] | None:
    """One array where shapes agree, a list of arrays where they differ, None where these are no numbers."""
    rows = [numbers_of(value) for value in values]
    if not rows or any(row is None for row in rows):
        return None
    arrays = [row for row in rows if row is not None]
    if len({array.shape for array in arrays}) > 1:
        return _of_one_type(values, arrays) if all(array.ndim > 0 for array in arrays) else None
    return np.stack(arrays)


def _of_one_type(values: list[Any], arrays: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Rows of different lengths, where an empty list, in which nothing tells of what it is, is as the others are."""
    dtypes = {array.dtype for array in arrays if array.size}
    if not dtypes:
        return arrays
    dtype = np.result_type(*dtypes)
    empty = (isinstance(value, list | tuple) and not array.size for value, array in zip(values, arrays, strict=True))
    return [array.astype(dtype) if is_empty else array for array, is_empty in zip(arrays, empty, strict=True)]


def numbers_of(value: Any) -> np.ndarray[Any, Any] | None:
    """A value as an array of numbers; None where it holds others, or lists of different lengths."""
    if isinstance(value, str | bytes | Mapping) or value is None:
        return None
    try:
        array = value.numpy() if _torch.is_tensor(value) else np.asarray(value)
    except ValueError:  # lists inside of the row differ in length
        return None
    return array if array.dtype.kind in "biuf" else None


def _filled(name: str, values: list[Any], batch_format: Format) -> list[Any]:
    """``values`` with nulls filled, or an error where a numeric column holds one that nothing stands for."""
    present = [value for value in values if value is not None]
    if not present and batch_format.schema is not None and (dtype := dict(batch_format.stored).get(name)) is not None:
        # Known to be of numbers, though none is there.
        present = [np.zeros((), None if dtype == "bfloat16" else dtype)]
    elif len(present) == len(values) or not present or numbers_of(present[0]) is None:
        return values
    fill = chosen(batch_format.fill_null, name)
    if fill is None:
        raise SchemaMismatchError(
            f"column {name!r} holds a null, which a numeric batch cannot show; give fill_null={{{name!r}: VALUE}}, "
            "filter the nulls out, or leave the column out with select_columns"
        )
    example = np.asarray(present[0])
    return [np.full_like(example, fill) if value is None else value for value in values]


def chosen(entries: tuple[tuple[str, Any], ...], name: str) -> Any:
    """The entry for a column, else the one for all columns, else None."""
    known = dict(entries)
    return known.get(name, known.get(""))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) or _torch.is_tensor(value) else value
