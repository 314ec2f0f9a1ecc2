"""Batches of padded rows: what Python makes of the engine's, and those of rows that Python functions have made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rowmill import torch as _torch
from rowmill.exceptions import SchemaMismatchError
from rowmill.stages.pad import ATTENTION_MASK, LABELS, PER_TOKEN, Pad
from rowmill.values import Format, batch_column, chosen, collate, numbers_of, record_batch, stored_dtype

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.plan import Plan

__all__ = ["collated", "engine_output", "first_row", "padded_schema", "shown"]

Array = np.ndarray[Any, Any]
Places = tuple[list[tuple[int, int]], int]


def engine_output(plan: Plan) -> str:
    """What the engine makes for the format: what is padded comes as arrays, whichever way it is shown."""
    chosen_format = plan.full_format
    name = chosen_format.row_name if plan.batch_size is None else chosen_format.batch_name
    return "numpy" if plan.pipeline.pad is not None and name in ("python", "arrow") else name


def shown(plan: Plan, batch: dict[str, Any]) -> Any:
    """The engine's padded batch in the asked format: a row of it where nothing is batched."""
    batch_format = plan.full_format
    name = batch_format.row_name if plan.batch_size is None else batch_format.batch_name
    if plan.pipeline.pad is None or name in ("torch", "numpy"):
        made: Any = batch
    elif name == "python":
        made = {column: _plain(values) for column, values in batch.items()}
    else:
        made = _record_batch(batch)
    return made if plan.batch_size is not None or name == "arrow" else first_row(made)


def first_row(batch: dict[str, Any]) -> dict[str, Any]:
    """The one row of a batch of one."""
    return {name: column[0] for name, column in batch.items()}


def collated(plan: Plan, rows: list[dict[str, Any]]) -> Any:
    """Rows that Python functions have made as one batch, or as a row where nothing is batched; padded if asked for."""
    pad, batch_format = plan.pipeline.pad, plan.full_format
    if pad is None:
        made = collate(rows, batch_format)
        is_whole = plan.batch_size is not None or batch_format.row_name == "arrow"
        return made if is_whole else first_row(made)
    columns = _pad_rows(rows, pad, batch_format)
    name = batch_format.row_name if plan.batch_size is None else batch_format.batch_name
    if name in ("torch", "numpy"):
        is_torch = name == "torch"
        columns = {
            column: _tensor(values, column, batch_format, is_torch)
            if isinstance(values, np.ndarray)
            else batch_column(column, values, batch_format)
            for column, values in columns.items()
        }
    return shown(plan, columns)


def padded_schema(schema: pa.Schema, pad: Pad) -> pa.Schema:
    """The columns of a padded batch's rows."""
    import pyarrow

    ids = pyarrow.list_(pyarrow.int64())
    fields = [field.with_name(pad.shown_name(field.name)) for field in schema]
    added = pad.shown_names(schema.names)[len(fields) :]
    return pyarrow.schema([*fields, *(pyarrow.field(name, ids) for name in added)], metadata=schema.metadata)


def _pad_rows(rows: list[dict[str, Any]], pad: Pad, batch_format: Format) -> dict[str, Any]:
    """Columns of one batch: arrays of one width where there is a value a token, lists of the rows' values elsewhere.

    Raises:
        SchemaMismatchError: Rows differ in their columns, or a column has another number of values than tokens.
    """
    names = list(rows[0])
    for row in rows:
        if row.keys() != rows[0].keys():
            raise SchemaMismatchError(f"rows of one batch differ in their columns: {names} and {list(row)}")
    tokens = _tokens(rows, pad)
    lengths = [len(row) for row in tokens]
    width, places = pad.rust.places(lengths)
    columns: dict[str, Any] = {}
    for name in names:
        values, shown_name = [row[name] for row in rows], pad.shown_name(name)
        arrays = tokens if name == pad.column else _per_token(name, values, lengths, pad)
        if arrays is None:
            columns[shown_name] = values
        else:
            dtype = _dtype(shown_name, arrays, name, batch_format)
            columns[shown_name] = _wide(shown_name, arrays, places, width, pad.fill(shown_name), dtype)
    if ATTENTION_MASK not in columns:
        ones = [np.ones(length, np.int64) for length in lengths]
        dtype = _dtype(ATTENTION_MASK, ones, "", batch_format)
        columns[ATTENTION_MASK] = _wide(ATTENTION_MASK, ones, places, width, 0, dtype)
    if pad.makes_labels:
        if LABELS in columns:
            raise SchemaMismatchError(
                f'there is a column "labels" already, and labels={pad.labels!r} would make another; leave one of them '
                "out with select_columns"
            )
        labels = _masked(tokens, rows, pad)
        dtype = _dtype(LABELS, labels, "", batch_format)
        columns[LABELS] = _wide(LABELS, labels, places, width, pad.fill(LABELS), dtype)
    return columns


def _tokens(rows: list[dict[str, Any]], pad: Pad) -> list[Array]:
    if pad.column not in rows[0]:
        raise SchemaMismatchError(
            f"there is no column {pad.column!r} of token ids to pad; the columns are {', '.join(rows[0])}. .tokenize "
            "makes ids of text, .pad(column=NAME) takes those of another column"
        )
    arrays = [numbers_of(row[pad.column]) for row in rows]
    made = [array for array in arrays if array is not None and array.ndim == 1]
    if len(made) < len(rows) or any(array.size and array.dtype.kind not in "iu" for array in made):
        raise SchemaMismatchError(f"column {pad.column!r} holds no lists of token ids, which .pad makes batches of")
    return made


def _per_token(name: str, values: list[Any], lengths: list[int], pad: Pad) -> list[Array] | None:
    """The values of a column that holds one a token; None for any other."""
    asked = dict(pad.values)
    if name in asked and asked[name] is None:
        return None
    arrays = [numbers_of(value) for value in values]
    made = [array for array in arrays if array is not None and array.ndim == 1]
    if len(made) < len(values):
        return None
    found = [len(array) for array in made]
    if found == lengths:
        return made
    if len(set(found)) == 1 and name not in asked and pad.shown_name(name) not in PER_TOKEN:
        return None  # features of one length: a tensor as it is
    at = next(at for at, length in enumerate(lengths) if length != found[at])
    raise SchemaMismatchError(
        f"column {name!r} holds {found[at]} values in a row of {lengths[at]} tokens; if it does not hold one a token, "
        f"leave it as it is with .pad(pad_values={{{name!r}: None}}) or out with select_columns"
    )


def _masked(tokens: list[Array], rows: list[dict[str, Any]], pad: Pad) -> list[Array]:
    """The ids as labels, -100 where the mask says that they do not count."""
    labels = [row.astype(np.int64) for row in tokens]
    if pad.label_mask is None:
        return labels
    if pad.label_mask not in rows[0]:
        raise SchemaMismatchError(f"there is no column {pad.label_mask!r}; the columns are {', '.join(rows[0])}")
    for row, label in zip(rows, labels, strict=True):
        mask = numbers_of(row[pad.label_mask])
        if mask is not None and mask.ndim == 0 and mask.dtype.kind in "iu":
            label[: max(int(mask), 0)] = -100
        elif mask is not None and mask.shape == label.shape:
            label[mask == 0] = -100
        else:
            raise SchemaMismatchError(
                f"label_mask={pad.label_mask!r} holds {row[pad.label_mask]!r:.100} in a row of {len(label)} tokens; it "
                "must be a list with one 0 or 1 a token, or the number of tokens before the answer"
            )
    return labels


def _dtype(name: str, rows: list[Array], stored: str, batch_format: Format) -> np.dtype[Any]:
    """The type that is asked for; else the one that the column is stored with, where it still holds all values."""
    kinds = [row.dtype for row in rows if row.size]
    natural = np.result_type(*kinds) if kinds else np.dtype(np.int64)
    asked = dict(batch_format.dtypes).get(name) if not stored else chosen(batch_format.dtypes, name)
    if asked not in (None, "bfloat16"):
        return np.dtype(asked)
    kept = stored_dtype(rows, dict(batch_format.stored).get(stored))
    dtype = natural if kept is None else np.dtype(kept)
    return np.dtype(np.int64) if name == LABELS and dtype.kind == "u" else dtype


def _wide(name: str, rows: list[Array], places: list[Places], width: int, fill: float, dtype: np.dtype[Any]) -> Array:
    """One array of rows cut and padded to ``width``."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        ends = [fill, *(value for row in rows if row.size for value in (row.min(), row.max()))]
        for value in ends:
            if not limits.min <= value <= limits.max:
                what = "is padded with" if value is fill else "holds"
                raise SchemaMismatchError(
                    f"column {name!r} {what} {value:g}, which {dtype} cannot hold; ask for a wider dtype"
                )
    made = np.full((len(rows), width), fill, dtype)
    for at, (row, (parts, first)) in enumerate(zip(rows, places, strict=True)):
        for start, stop in parts:
            made[at, first : first + stop - start] = row[start:stop]
            first += stop - start
    return made


def _tensor(values: Array, name: str, batch_format: Format, is_torch: bool) -> Any:
    if not is_torch:
        return values
    asked = chosen(batch_format.dtypes, name)
    return _torch.tensor_from(values, asked or ("int64" if values.dtype.kind in "iu" else None))


def _plain(values: Any) -> Any:
    if isinstance(values, list):
        return [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    return values.tolist() if isinstance(values, np.ndarray) else values


def _record_batch(batch: dict[str, Any]) -> pa.RecordBatch:
    """Rows of one width as lists."""
    import pyarrow

    others = {name: _plain(values) for name, values in batch.items() if not _is_wide(values)}
    known = dict(zip(others, record_batch(others).columns, strict=True)) if others else {}
    arrays = {name: _lists(values) if _is_wide(values) else known[name] for name, values in batch.items()}
    return pyarrow.RecordBatch.from_pydict(arrays)


def _lists(values: Array) -> pa.Array:
    """Plain lists: of one length here, of another in the next batch, and of one type in both."""
    import pyarrow

    rows, width = values.shape
    offsets = pyarrow.array(np.arange(rows + 1, dtype=np.int32) * width)
    return pyarrow.ListArray.from_arrays(offsets, pyarrow.array(values.reshape(-1)))


def _is_wide(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.ndim == 2
