"""Row groups that an expression need not read: never one of a row that it keeps, with nulls or without."""

from __future__ import annotations

import datetime
import operator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.fs import LocalFileSystem

import rowmill
from rowmill.row_groups import kept_row_groups

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MOMENTS = [EPOCH + datetime.timedelta(microseconds=number) for number in (-1, 0, 1, 10**15 + 1)]
# And a column that is called as the path of a field is.
KINDS: dict[str, tuple[pa.DataType, Any]] = {
    "i": (pa.int64(), st.integers(-5, 5)),
    "u": (pa.uint64(), st.sampled_from([0, 1, 2**63, 2**64 - 1])),
    "s": (pa.string(), st.sampled_from(["", "a", "b", "ä", "z" * 80])),
    "b": (pa.bool_(), st.booleans()),
    "d": (pa.date32(), st.dates(datetime.date(1969, 12, 30), datetime.date(1970, 1, 3))),
    "t": (pa.timestamp("us", "Europe/Berlin"), st.sampled_from(MOMENTS)),
    "o.x": (pa.int64(), st.integers(-2, 2)),
}
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    num_rows = draw(st.integers(1, 30))
    columns = {}
    for name, (kind, values) in KINDS.items():
        cells = draw(st.sampled_from([values, values | st.none(), st.none()]))
        columns[name] = pa.array(draw(st.lists(cells, min_size=num_rows, max_size=num_rows)), kind)
    columns["o"] = pa.array([{"x": row % 3} for row in range(num_rows)])
    return pa.table(columns)


@st.composite
def comparisons(draw: st.DrawFn) -> pds.Expression:
    name = draw(st.sampled_from(list(KINDS)))
    kind, values = KINDS[name]
    value = pa.scalar(draw(values), kind)
    field = pds.field(name)
    made = draw(st.integers(0, 9))
    if made == 0:
        return field.is_null()
    if made == 1:
        return field.is_valid()
    if made == 2:
        return field.isin(pa.array([value.as_py()], kind))
    if made == 3:
        return pc.coalesce(field, value) == value
    return draw(st.sampled_from(COMPARISONS))(field, value)


expressions = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.builds(operator.and_, inner, inner),
        st.builds(operator.or_, inner, inner),
        inner.map(operator.invert),
        inner.map(lambda expression: expression.is_null()),
    ),
    max_leaves=5,
)


def kept_by_pyarrow(path: Path, expression: pds.Expression, schema: pa.Schema) -> list[int]:
    fragment = pds.ParquetFileFormat().make_fragment(str(path), LocalFileSystem())
    return [group.id for part in fragment.split_by_row_group(expression, schema=schema) for group in part.row_groups]


@given(tables(), expressions, st.integers(1, 8))
def test_a_row_group_of_a_row_that_is_kept_is_kept(
    tmp_path_factory: pytest.TempPathFactory, table: pa.Table, expression: pds.Expression, size: int
) -> None:
    path = tmp_path_factory.mktemp("pruned") / "x.parquet"
    pq.write_table(table, path, row_group_size=size)
    numbered = table.append_column("row", pa.array(range(table.num_rows)))
    rows = numbered.filter(expression)["row"].to_pylist()
    kept = kept_row_groups(str(path), expression, table.schema, table.schema.names, None)
    assert {row // size for row in rows} <= set(kept) <= set(kept_by_pyarrow(path, expression, table.schema))


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        (pc.field("x") > 5, [1, 3]),
        (~(pc.field("x") <= 5), [1, 3]),
        (pc.field("x") == 4, [1]),
        (pc.field("x").isin([4, 100]), [1]),
        (pc.field("s") == "c", [1]),
        ((pc.field("x") == 1) | (pc.field("s") == "x"), [0, 3]),
        (pc.field("x").is_null(), [0, 2, 3]),
        (pc.field("x").is_null() & (pc.field("s") > "d"), [3]),
    ],
)
def test_nulls_beside_values_out_of_reach_are_not_read(tmp_path: Path, expression: Any, kept: list[int]) -> None:
    numbers = [1, None, 3, 4, 5, 6, None, None, None, 9, None, 11]
    texts = ["a", None, "b", "c", "d", "e", None, None, None, "x", "y", None]
    table = pa.table({"x": numbers, "s": texts})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=3)
    with rowmill.open(tmp_path / "x.parquet").filter(expression).loader() as loader:
        assert list(loader) == table.filter(expression).to_pylist()
        assert loader.stats()["blocks_pruned"] == 4 - len(kept)
    assert kept_row_groups(str(tmp_path / "x.parquet"), expression, table.schema, table.schema.names, None) == kept


def test_more_columns_with_nulls_than_are_looked_at_prune_what_pyarrow_prunes(tmp_path: Path) -> None:
    table = pa.table({f"c{index}": [0, 1, None, None, None, None, 8, 9, None] for index in range(5)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=3)
    expression = pc.field("c0") > 5
    for index in range(1, 5):
        expression &= pc.field(f"c{index}") > 5
    kept = kept_row_groups(str(tmp_path / "x.parquet"), expression, table.schema, table.schema.names, None)
    assert kept == kept_by_pyarrow(tmp_path / "x.parquet", expression, table.schema) == [0, 2]
