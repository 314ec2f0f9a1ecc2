"""The rows of a dataset as Arrow tables, each with the cursor after it, from any cursor on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rowmill.cursor import Cursor
from rowmill.stages import Filter

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.dataset import Dataset

__all__ = ["tables"]

# As large as what `datasets` writes, and small enough that a table of images is no burden.
_TABLE_ROWS = 1000
_TABLE_BYTES = 4 << 20

Tables = Iterator[tuple["pa.Table", Callable[[], Cursor]]]


def tables(rows: Dataset, features: Any, cursor: Cursor | None) -> Tables:
    """One pass over unbatched ``rows``, begun at ``cursor``: tables of ``features``, and what tells the place after.

    From one cursor the cuts are always the same: `datasets` counts them. Of Python functions, ``rows`` may pass
    through filters only.
    """
    made = _of_columns if all(stage.is_expression for stage in _filters(rows)) else _of_rows
    for table, after in made(rows, _table_rows(rows), cursor):
        yield _cast(table, features), after


def _filters(rows: Dataset) -> list[Filter]:
    return [stage for stage in rows._plan.pipeline.row_stages if isinstance(stage, Filter)]


def _of_rows(rows: Dataset, size: int, cursor: Cursor | None) -> Tables:
    """Of what a Python function was asked about, in the types that it had before."""
    import pyarrow as pa

    made = _begun(rows, rows, cursor)
    while taken := list(itertools.islice(made, size)):
        yield pa.Table.from_pylist(taken, rows.schema), made.state_dict


def _of_columns(rows: Dataset, size: int, cursor: Cursor | None) -> Tables:
    import pyarrow as pa

    arrow = rows._with(format=replace(rows._plan.format, name="arrow"))
    missing = 0 if cursor is None else _rows_before_a_step(rows, cursor, size)
    if missing:
        # Steps of so many rows do not start there: single ones up to where they do.
        singles = _begun(rows, arrow, cursor)
        head = list(itertools.islice(singles, missing))
        cursor = singles.state_dict()
        if head:
            yield pa.Table.from_batches(head), singles.state_dict
        singles.close()
    made = _begun(rows, arrow.batch(size), cursor)
    for batch in made:
        yield pa.Table.from_batches([batch]), made.state_dict


def _begun(rows: Dataset, chain: Dataset, cursor: Cursor | None) -> Any:
    """A pass over ``chain``, which is made of ``rows``, in their epoch."""
    chain = chain._with()
    chain.set_epoch(rows.epoch)
    if cursor is not None:
        chain.load_state_dict(cursor)
    return iter(chain)


def _table_rows(rows: Dataset) -> int:
    source = rows._plan.source.rust
    return max(1, min(_TABLE_ROWS, _TABLE_BYTES * source.num_rows // max(source.num_bytes, 1)))


def _rows_before_a_step(rows: Dataset, cursor: Cursor, size: int) -> int:
    """Rows of this rank from ``cursor`` to where a step of ``size`` rows of each rank starts."""
    plan = rows._plan
    if plan.pipeline.is_laned:
        return 0
    num_ranks, (start, stop) = (plan.rank or (1, 0))[0], plan.position_range
    position = (cursor["epoch"] - cursor["first_epoch"]) * (stop - start) + cursor["position"]
    return int(-position % (num_ranks * size) // num_ranks)


def _cast(table: pa.Table, features: Any) -> pa.Table:
    from datasets.table import cast_table_to_features

    # Else `datasets` casts what it has cut of it, row by row.
    return table if table.schema == features.arrow_schema else cast_table_to_features(table, features)
