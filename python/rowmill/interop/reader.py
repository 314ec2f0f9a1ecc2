"""One pass over a dataset as a stream of Arrow record batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import SchemaMismatchError
from rowmill.placement import find_rank

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.dataset import Dataset

__all__ = ["fitted", "own_rows", "to_reader"]

_BATCH_ROWS = 1000


def to_reader(dataset: Dataset, batch_size: int | None = None) -> pa.RecordBatchReader:
    """The rows of ``dataset`` in its order; see :meth:`rowmill.Dataset.to_reader`."""
    import pyarrow as pa

    plan = dataset._plan
    if plan.batch_size is not None and batch_size is not None:
        raise ValueError(f"the dataset has batches of {plan.batch_size} rows already; leave batch_size or .batch() out")
    rows = dataset if plan.batch_size is not None else own_rows(dataset).batch(batch_size or _BATCH_ROWS)
    read = rows._with(format=replace(plan.format, name="arrow"))
    read.set_epoch(dataset.epoch)
    if not plan.pipeline.needs_python_rows and not plan.pipeline.batch_stages:
        return pa.RecordBatchReader.from_batches(dataset.schema, _batches(iter(read), dataset.schema))
    return _of_made(iter(read), dataset.schema)


def own_rows(dataset: Dataset) -> Dataset:
    """The rows that ``iter(dataset)`` yields here, however they are dealt on: the last ones come like the others."""
    plan = dataset._plan
    num_shards, _ = find_rank(plan.rank)
    drops = plan.remainder_for(num_shards) == "drop" and num_shards > 1
    if drops and not plan.pipeline.is_laned and plan.epochs_per_pass == 1:
        dataset = dataset.take(dataset.num_rows // num_shards * num_shards)
    return dataset._with(remainder="keep")


def _of_made(made: Iterator[Any], schema: pa.Schema) -> pa.RecordBatchReader:
    """A reader of what Python functions return: its schema is that of the first batch."""
    import pyarrow as pa

    first = next(made, None)
    if first is None:
        return pa.RecordBatchReader.from_batches(schema, [])
    if not isinstance(first, pa.RecordBatch):
        raise SchemaMismatchError(
            f"a function after .batch() returns {type(first).__name__}, which is no Arrow record batch; leave it out, "
            "or map the rows before .batch()"
        )
    return pa.RecordBatchReader.from_batches(first.schema, _batches(itertools.chain([first], made), first.schema))


def _batches(made: Iterator[Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    return (fitted(batch, schema) for batch in made)


def fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """``batch``, which Python functions may have made, under the ``schema`` of the first rows.

    Raises:
        SchemaMismatchError: Its columns are others, or hold what has no place in them.
    """
    import pyarrow as pa

    if batch.schema.equals(schema, check_metadata=True):
        return batch
    try:
        if sorted(batch.schema.names) != sorted(schema.names):
            raise KeyError("other columns")
        return pa.RecordBatch.from_arrays(
            [_cast(batch.column(field.name), field.type) for field in schema], schema=schema
        )
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaMismatchError(
            f"a batch has the columns {_text(batch.schema)}, the first one had {_text(schema)}, and they do not go "
            f"together ({error}); have .map() return the same types for every row"
        ) from None


def _cast(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """A safe cast that neither reads numbers out of texts nor writes them as such."""
    import pyarrow as pa

    if not pa.types.is_null(column.type) and _is_text(column.type) != _is_text(wanted):
        raise pa.ArrowInvalid(f"{column.type} is not {wanted}")
    return column.cast(wanted)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return str(kind) in ("string", "large_string", "string_view")


def _text(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)
