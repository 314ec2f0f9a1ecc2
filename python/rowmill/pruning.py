"""Row groups that a filter by expression need not read, by the statistics in Parquet footers.

They are looked at one file at a time, when rows of that file come near. What is pruned keeps its place in the order,
so nothing but the speed changes.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
from collections.abc import Sequence
from typing import Any

from rowmill import _rust
from rowmill.mixing.source import MixedSource
from rowmill.plan import Plan
from rowmill.remote.objects import ObjectFile
from rowmill.row_groups import kept_row_groups
from rowmill.stages import Filter

__all__ = ["Pruning"]

_FLOATS = re.compile("float|double")


class Pruning:
    """Tells an engine which row groups the leading filters of a plan keep rows of."""

    def __init__(self, plan: Plan, rust: _rust.Lanes) -> None:
        self._rust = rust
        self._plan, self._source = plan, plan.source.rust
        self._expression = _leading_expression(plan) if self._source.is_parquet and plan.cached is None else None

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

        found = self._found(shard)
        if found is None:
            return None
        source, shard = found
        path, values = str(source.shard_path(shard)), source.partition_values(shard)
        remote = source.shard_object(shard)
        partition = [
            pds.field(name).is_null() if value is None else pds.field(name) == value for name, value in values.items()
        ]
        where = functools.reduce(operator.and_, partition) if partition else None
        schema = pa.schema(self._source.schema)
        names = {name for stage in _conditions(self._plan) for name in stage.columns_read(schema.names)}
        try:
            file = path if remote is None else ObjectFile(remote)
            return kept_row_groups(file, self._expression, schema, sorted(names), where)
        except (pa.ArrowException, OSError):
            # Whatever is wrong, with the file or the expression, is said where it is read.
            return None

    def _found(self, shard: int) -> tuple[_rust.Source, int] | None:
        """The opened source of a shard, and which of its shards it is; None where its columns have other names."""
        if not isinstance(self._plan.source, MixedSource):
            return self._source, shard
        own, shard = self._plan.source.rust.find_shard(shard)
        source = own.source.rust
        is_told = source.is_parquet and not _names_renamed(_conditions(self._plan), own.pipeline.columns)
        return (source, shard) if is_told else None


def _leading_expression(plan: Plan) -> Any:
    """The expressions that every row must pass first, as one; None without, or where columns were renamed."""
    if plan.pipeline.tokenize is not None:
        # What the filter sees is not what the files hold.
        return None
    conditions = _conditions(plan)
    if not conditions or _names_renamed(conditions, plan.pipeline.columns):
        return None
    expression = functools.reduce(operator.and_, (stage.condition for stage in conditions))
    is_sound = all(_is_told_by_statistics(stage, plan) for stage in conditions)
    return expression if is_sound else None


def _conditions(plan: Plan) -> list[Filter]:
    """The filters by expression that come first."""
    stages = itertools.takewhile(lambda stage: isinstance(stage, Filter), plan.pipeline.row_stages)
    filters = (stage for stage in stages if isinstance(stage, Filter))
    return list(itertools.takewhile(lambda stage: stage.is_expression, filters))


def _names_renamed(conditions: list[Filter], columns: Sequence[tuple[str, str]]) -> bool:
    """Whether the filters may name a column that is called otherwise in the files, or that another one is called."""
    renamed = {name for old, new in columns if old != new for name in (old, new)}
    return any(stage.columns_read(sorted(renamed)) for stage in conditions)


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
