"""Row groups that a filter by expression need not read, by the statistics in Parquet footers.

pyarrow itself says which row groups an expression may keep rows of, one file at a time, when rows of that file
come near. What is pruned keeps its place in the order, so nothing but the speed changes.
"""

from __future__ import annotations

import functools
import operator
import re
from typing import Any

from rowmill import _rust
from rowmill.plan import Plan
from rowmill.stages import Filter

__all__ = ["Pruning"]

_FLOATS = re.compile("float|double")


class Pruning:
    """Tells an engine which row groups the leading filters of a plan keep rows of."""

    def __init__(self, plan: Plan, rust: _rust.Lanes) -> None:
        self._rust = rust
        self._source = plan.source.rust
        self._expression = _leading_expression(plan) if self._source.is_parquet else None

    def prepare(self, epoch: int, lane: int, start: int, size: int) -> None:
        """Looks at the footers of the files that rows of a chunk lie in, those that were not looked at before."""
        if self._expression is None:
            return
        for shard in self._rust.unknown_shards(epoch, lane, start, size):
            kept = self._row_groups(shard)
            if kept is None:
                self._rust.prune_nothing(shard)
            else:
                self._rust.prune(shard, kept)

    def _row_groups(self, shard: int) -> list[int] | None:
        """Row groups that may hold a row that is kept; None where that cannot be told."""
        import pyarrow as pa
        import pyarrow.dataset as pds
        from pyarrow.fs import LocalFileSystem

        path, values = str(self._source.shard_path(shard)), self._source.partition_values(shard)
        partition = [
            pds.field(name).is_null() if value is None else pds.field(name) == value for name, value in values.items()
        ]
        where = functools.reduce(operator.and_, partition) if partition else None
        try:
            file_format = pds.ParquetFileFormat()
            fragment = file_format.make_fragment(path, LocalFileSystem(), partition_expression=where)
            # A partition that contradicts the filter leaves nothing of the file.
            schema = pa.schema(self._source.schema)
            parts = fragment.split_by_row_group(self._expression, schema=schema)
            return [group.id for part in parts for group in part.row_groups]
        except (pa.ArrowException, OSError):
            # Whatever is wrong, with the file or the expression, is said where it is read.
            return None


def _leading_expression(plan: Plan) -> Any:
    """The expressions that every row must pass first, as one; None without, or where columns were renamed."""
    if plan.pipeline.tokenize is not None:
        # What the filter sees is not what the files hold.
        return None
    names = dict(plan.pipeline.columns)
    conditions = []
    for stage in plan.pipeline.row_stages:
        if not isinstance(stage, Filter) or not stage.is_expression:
            break
        conditions.append(stage)
    renamed = {new for old, new in names.items() if old != new} | {old for old, new in names.items() if old != new}
    if not conditions or any(stage.columns_read(sorted(renamed)) for stage in conditions):
        return None
    expression = functools.reduce(operator.and_, (stage.condition for stage in conditions))
    is_sound = all(_is_told_by_statistics(stage, plan) for stage in conditions)
    return expression if is_sound else None


def _is_told_by_statistics(stage: Filter, plan: Plan) -> bool:
    """Whether least and greatest values say what the expression keeps.

    They leave out NaN and do not tell zeros of either sign apart, and a cast that may overflow does not keep their
    order; pyarrow prunes by them all the same.
    """
    import pyarrow as pa

    text = stage.text
    if text is None or "cast(" in text:
        return False
    told = [field for field in pa.schema(plan.source.rust.schema) if not _FLOATS.search(str(field.type))]
    try:
        pa.schema(told).empty_table().filter(stage.condition)
    except (pa.ArrowException, TypeError):
        # It names a column with floats, or does not fit, which is said where it is evaluated.
        return False
    return True
