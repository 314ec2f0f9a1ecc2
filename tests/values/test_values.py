"""Rows made in Rust equal what pyarrow's `to_pylist` gives, by value and by type."""

from __future__ import annotations

import datetime
import decimal
import math
import subprocess
import sys
import uuid
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pyarrow as pa
import pytest

from rowmill import _rust


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal values of equal types, at every depth; NaN equals NaN."""
    assert type(ours) is type(theirs), f"{ours!r} is not a {type(theirs)}"
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key, value in theirs.items():
            assert_same(ours[key], value)
    elif type(theirs) in (list, tuple):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert_same(mine, other)
    elif isinstance(theirs, float) and math.isnan(theirs):
        assert math.isnan(ours)
    elif isinstance(theirs, decimal.Decimal):
        assert ours.as_tuple() == theirs.as_tuple()
    elif isinstance(theirs, datetime.datetime) and theirs == theirs:  # NaT is not
        assert ours == theirs
        assert repr(ours) == repr(theirs)
        assert getattr(ours, "fold", 0) == getattr(theirs, "fold", 0)
    elif theirs == theirs:
        assert ours == theirs
    else:
        assert ours is theirs


def check(array: pa.Array) -> None:
    """Compares a column, whole and sliced, with strings stored as strings and as bytes."""
    batch = pa.record_batch([array], names=["column"])
    for part in (batch, batch.slice(1), batch.slice(len(batch) // 3, len(batch) // 2)):
        expected = [{"column": value} for value in part.column(0).to_pylist()]
        assert_same(_rust.rows_from_arrow(part), expected)
        assert_same(_rust.rows_from_arrow(part, storage=True), expected)


def extension(kind: pa.DataType, values: list[Any]) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))


def view_of(kind: pa.DataType, values: list[int | None], storage: pa.DataType | None = None) -> pa.Array:
    return pa.array(values, storage or pa.int64()).view(kind)


TIMES = [0, 1, -1, 999, 1001, 1_700_000_000, -62_135_596_800, 253_402_300_799, None]
ZONES = ["UTC", "+00:00", "+02:00", "-07:30", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"]
# The hour that Berlin's clocks show twice, and the gap in spring.
FOLDS = [1_698_537_600, 1_698_541_200, 1_698_544_800, 1_679_792_400, None]

COLUMNS = {
    "null": pa.nulls(5),
    "bool": pa.array([True, False, None, True]),
    **{
        str(kind): pa.array([0, 1, None, 127, 2 ** (kind.bit_width - 1) - 1], kind)
        for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())
    },
    **{
        str(kind): pa.array([0, 1, None, 2**kind.bit_width - 1], kind)
        for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    },
    "int64 ends": pa.array([-(2**63), 2**63 - 1, None]),
    **{
        str(kind): pa.array([0.0, -0.0, 1.5, None, math.inf, math.nan, 6.1e-5], kind)
        for kind in (pa.float16(), pa.float32(), pa.float64())
    },
    **{
        f"{kind}": pa.array(
            [None, *(decimal.Decimal(n).scaleb(-kind.scale) for n in (0, 1, -1, 12, -99999, 12300))], kind
        )
        for kind in (
            pa.decimal32(5, 2),
            pa.decimal32(5, -2),
            pa.decimal64(18, 18),
            pa.decimal64(10, 0),
            pa.decimal128(38, 38),
            pa.decimal128(38, -3),
            pa.decimal128(20, 9),
            pa.decimal256(76, 5),
            pa.decimal256(76, -5),
        )
    },
    "decimal128 ends": pa.array([decimal.Decimal(10**38 - 1), decimal.Decimal(1 - 10**38)], pa.decimal128(38, 0)),
    "decimal256 ends": pa.array([decimal.Decimal("9" * 76), decimal.Decimal("-" + "9" * 76)], pa.decimal256(76, 0)),
    "date32": view_of(pa.date32(), [0, -1, 1, 11016, 2932896, -719162, None], pa.int32()),
    "date64": view_of(pa.date64(), [0, -1, 86_399_999, 86_400_001, -86_400_001, 17_280_086_399_999, None]),
    "time32[s]": view_of(pa.time32("s"), [0, 1, 86399, -1, 86400, None], pa.int32()),
    "time32[ms]": view_of(pa.time32("ms"), [0, 1, 86399999, -1, None], pa.int32()),
    "time64[us]": view_of(pa.time64("us"), [0, 1, 86399999999, None]),
    "time64[ns]": view_of(pa.time64("ns"), [0, 1001, 86399999999999, None]),
    "timestamp[s]": pa.array(TIMES, pa.timestamp("s")),
    "timestamp[ms]": pa.array(TIMES, pa.timestamp("ms")),
    "timestamp[us]": pa.array(TIMES, pa.timestamp("us")),
    "timestamp[ns]": pa.array([*TIMES, -(2**63)], pa.timestamp("ns")),
    **{f"timestamp[us, {zone}]": pa.array(TIMES[:6], pa.timestamp("us", zone)) for zone in ZONES},
    **{f"timestamp[ns, {zone}]": pa.array(TIMES[:6], pa.timestamp("ns", zone)) for zone in ZONES},
    "timestamp[s, fold]": pa.array(FOLDS, pa.timestamp("s", "Europe/Berlin")),
    "duration[s]": pa.array([0, -1, 86400, 86399999999999, None], pa.duration("s")),
    "duration[ms]": pa.array([0, -1, 1001, 10**15, None], pa.duration("ms")),
    "duration[us]": pa.array([0, -1, 1001, 10**17, None], pa.duration("us")),
    "duration[ns]": pa.array([0, -1, 1001, 10**17, -(2**63), None], pa.duration("ns")),
    "month_day_nano": pa.array([pa.MonthDayNano([1, -2, 3]), None], pa.month_day_nano_interval()),
    **{
        str(kind): pa.array([b"", b"\x00\xff", None, b"x" * 40, b"twelve bytes", b"13 bytes long"], kind)
        for kind in (pa.binary(), pa.large_binary(), pa.binary_view())
    },
    "fixed binary": pa.array([b"abc", None, b"\x00\x01\xff"], pa.binary(3)),
    "empty fixed binary": pa.array([b"", None], pa.binary(0)),
    **{
        str(kind): pa.array(["", "é", None, "日本語" * 9, "\U0001f600", "a\x00b", "x" * 5000], kind)
        for kind in (pa.string(), pa.large_string(), pa.string_view())
    },
    **{
        str(kind): pa.array([[1, None, 3], [], None, [4] * 300, [None]], kind)
        for kind in (
            pa.list_(pa.int32()),
            pa.large_list(pa.float32()),
            pa.list_view(pa.uint8()),
            pa.large_list_view(pa.int64()),
            pa.list_(pa.list_view(pa.float16())).value_type,
        )
    },
    "list of bool": pa.array([[True, None], [], None, [False]]),
    "fixed list": pa.array([[1, 2], None, [3, None], [4, 5]], pa.list_(pa.int16(), 2)),
    "empty fixed list": pa.array([[], None, []], pa.list_(pa.int16(), 0)),
    "list of list of text": pa.array([[["a", None], []], None, [None, ["é"]], []]),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}, {"a": 2, "b": ""}]),
    "empty struct": pa.array([{}, None, {}], pa.struct([])),
    "list of struct": pa.array([[{"a": [1], "b": {"c": b"x"}}, None], [], None, [{"a": None, "b": {"c": None}}]]),
    "map": pa.array([[("a", 1), ("a", 2)], [], None, [("b", None)]], pa.map_(pa.string(), pa.int8())),
    "map of maps": pa.array(
        [[(1, [("x", 1.5)])], None, [(2, None)]], pa.map_(pa.int8(), pa.map_(pa.string(), pa.float32()))
    ),
    **{
        f"dictionary {kind}": pa.DictionaryArray.from_arrays(
            pa.array([0, None, 1, 2, 0], kind), pa.array(["a", "é", None])
        )
        for kind in (
            pa.int8(),
            pa.int16(),
            pa.int32(),
            pa.int64(),
            pa.uint8(),
            pa.uint16(),
            pa.uint32(),
            pa.uint64(),
        )
    },
    "dictionary of structs": pa.DictionaryArray.from_arrays([0, 1, None, 0], pa.array([{"a": "x"}, None])),
    **{
        f"run ends {kind}": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 7], kind), ["a", None, "é"])
        for kind in (pa.int16(), pa.int32(), pa.int64())
    },
    "sparse union": pa.UnionArray.from_sparse(
        pa.array([0, 1, 1, 0], pa.int8()), [pa.array([1, None, None, None]), pa.array([None, "b", None, "d"])]
    ),
    "dense union": pa.UnionArray.from_dense(
        pa.array([5, 7, 7, 5, 7], pa.int8()),
        pa.array([0, 0, 1, 1, 2], pa.int32()),
        [pa.array([1, None]), pa.array(["b", None, "d"])],
        ["number", "text"],
        [5, 7],
    ),
    "uuid": extension(pa.uuid(), [uuid.uuid5(uuid.NAMESPACE_DNS, "x").bytes, None, b"\x00" * 16]),
    "json": extension(pa.json_(), ['{"a": 1}', None, "[]"]),
    "bool8": extension(pa.bool8(), [0, 1, None, -3]),
    "opaque": extension(pa.opaque(pa.binary(), "thing", "vendor"), [b"x", None]),
    "fixed shape tensor": extension(pa.fixed_shape_tensor(pa.int32(), [2, 2]), [[1, 2, 3, 4], None]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_reads_as_pyarrow_reads_it(name: str) -> None:
    check(COLUMNS[name])


def test_extension_types_keep_their_values_inside_other_types() -> None:
    ids = extension(pa.uuid(), [b"0" * 16, None, b"1" * 16])
    check(pa.ListArray.from_arrays(pa.array([0, 2, 3], pa.int32()), ids))
    check(pa.StructArray.from_arrays([ids, extension(pa.bool8(), [1, None, 0])], ["id", "flag"]))


def test_the_last_of_two_columns_with_one_name_stands() -> None:
    batch = pa.record_batch([pa.array([1]), pa.array(["x"])], names=["a", "a"])
    assert _rust.rows_from_arrow(batch) == batch.to_pylist() == [{"a": "x"}]


def test_a_struct_with_two_fields_of_one_name_is_an_error_as_in_pyarrow() -> None:
    array = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(ValueError, match="two fields of one name") as caught:
        _rust.rows_from_arrow(pa.record_batch([array], names=["s"]))
    assert caught.value.__notes__ == ['in column "s"']


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@pytest.mark.parametrize("bad", [b"\xff", b"a" * 20 + b"\xed\xa0\x80", b"\xc0\x80"])
def test_text_that_is_not_utf8_is_damage_that_names_its_column(kind: pa.DataType, bad: bytes) -> None:
    twin = {
        pa.string(): pa.binary(),
        pa.large_string(): pa.large_binary(),
        pa.string_view(): pa.binary_view(),
    }
    good = pa.array([b"fine", bad, b"fine"], twin[kind])
    array = pa.Array.from_buffers(kind, len(good), good.buffers())
    batch = pa.record_batch([array], names=["words"])
    with pytest.raises(ValueError, match=r'column "words" is damaged: a string is not UTF-8'):
        _rust.rows_from_arrow(damaged_as_storage(batch), storage=False)


def damaged_as_storage(batch: pa.RecordBatch) -> Any:
    """The batch with its strings carried as bytes but called strings, as the engine reads them."""

    class Carrier:
        def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
            column = batch.column(0)
            twin = {
                pa.string(): pa.binary(),
                pa.large_string(): pa.large_binary(),
                pa.string_view(): pa.binary_view(),
            }
            bytes_column = pa.Array.from_buffers(twin[column.type], len(column), column.buffers())
            _, array = pa.record_batch([bytes_column], names=["words"]).__arrow_c_array__()
            return batch.schema.__arrow_c_schema__(), array

    return Carrier()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.timestamp("s"), 253_402_300_800),
        (pa.timestamp("us"), 2**62),
        (pa.timestamp("s", "Europe/Berlin"), 2**62),
        (pa.duration("s"), 2**62),
        (pa.date32(), 2**31 - 1),
    ],
)
def test_what_python_cannot_hold_overflows_as_in_pyarrow(kind: pa.DataType, value: int) -> None:
    array = view_of(kind, [value], pa.int32() if kind == pa.date32() else pa.int64())
    with pytest.raises(OverflowError):
        array.to_pylist()
    with pytest.raises(OverflowError):
        _rust.rows_from_arrow(pa.record_batch([array], names=["t"]))


def test_an_unknown_time_zone_fails_at_its_first_value_and_not_before() -> None:
    kind = pa.timestamp("us", "Mars/Olympus")
    assert _rust.rows_from_arrow(pa.record_batch([pa.array([None], kind)], names=["t"])) == [{"t": None}]
    with pytest.raises(ValueError, match="Mars/Olympus"):
        _rust.rows_from_arrow(pa.record_batch([pa.array([0], kind)], names=["t"]))


WITHOUT_PANDAS = """
import sys
class NoPandas:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoPandas())
import pyarrow as pa
from rowmill import _rust
for kind in (pa.timestamp("ns"), pa.timestamp("ns", "Europe/Berlin"), pa.duration("ns"), pa.time64("ns")):
    column = pa.array([0, 1_001_000, None], kind)
    rows = [row["t"] for row in _rust.rows_from_arrow(pa.record_batch([column], names=["t"]))]
    assert repr(rows) == repr(column.to_pylist()), (rows, column.to_pylist())
    try:
        _rust.rows_from_arrow(pa.record_batch([pa.array([1001], kind)], names=["t"]))
    except ValueError as error:
        assert "install pandas" in str(error)
    else:
        raise AssertionError(f"{kind}: a nanosecond was lost")
"""


def test_without_pandas_nanoseconds_are_datetimes_or_an_error_as_in_pyarrow() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_PANDAS], check=True, timeout=60)


LEAVES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    (pa.string(), st.text(max_size=20)),
    (pa.large_string(), st.text(max_size=20)),
    (pa.string_view(), st.text(max_size=20)),
    (pa.binary(), st.binary(max_size=20)),
    (pa.binary_view(), st.binary(max_size=20)),
    (pa.binary(4), st.binary(min_size=4, max_size=4)),
    (pa.date32(), st.dates()),
    (pa.time64("us"), st.times()),
    (pa.timestamp("us"), st.datetimes()),
    (
        pa.timestamp("us", "America/New_York"),
        st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)),
    ),
    (pa.timestamp("ns"), st.integers(-(2**62), 2**62)),
    (pa.duration("us"), st.integers(-(2**62), 2**62)),
    (pa.decimal128(20, 4), st.decimals(-(10**15), 10**15, places=4)),
    (pa.decimal256(40, 0), st.integers(-(10**39), 10**39).map(decimal.Decimal)),
]


def lists_of(inner: tuple[pa.DataType, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    kind, values = inner
    items = st.lists(st.none() | values, max_size=4)
    makers = [pa.list_, pa.large_list, pa.list_view, pa.large_list_view]
    return st.sampled_from([(make(kind), items) for make in makers]) | st.just(
        (pa.list_(kind, 2), st.lists(st.none() | values, min_size=2, max_size=2))
    )


def structs_of(
    inner: list[tuple[pa.DataType, st.SearchStrategy[Any]]],
) -> tuple[pa.DataType, st.SearchStrategy[Any]]:
    names = [f"field{index}" for index in range(len(inner))]
    kind = pa.struct(list(zip(names, (kind for kind, _ in inner), strict=True)))
    values = {name: st.none() | values for name, (_, values) in zip(names, inner, strict=True)}
    return kind, st.fixed_dictionaries(values)


def maps_of(inner: tuple[pa.DataType, st.SearchStrategy[Any]]) -> tuple[pa.DataType, st.SearchStrategy[Any]]:
    kind, values = inner
    return pa.map_(pa.string(), kind), st.lists(st.tuples(st.text(max_size=3), st.none() | values), max_size=3)


KINDS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: (
        inner.flatmap(lists_of) | st.lists(inner, min_size=1, max_size=3).map(structs_of) | inner.map(maps_of)
    ),
    max_leaves=4,
)


@st.composite
def arrays(draw: st.DrawFn) -> pa.Array:
    kind, values = draw(KINDS)
    array = pa.array(draw(st.lists(st.none() | values, max_size=12)), kind)
    start = draw(st.integers(0, len(array)))
    return array.slice(start, draw(st.integers(0, len(array) - start)))


@hypothesis.given(arrays())
@hypothesis.settings(max_examples=200, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_any_column_reads_as_pyarrow_reads_it(array: pa.Array) -> None:
    check(array)


@hypothesis.given(st.lists(arrays(), min_size=1, max_size=4))
@hypothesis.settings(max_examples=100, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_any_batch_reads_as_pyarrow_reads_it(columns: list[pa.Array]) -> None:
    rows = min(len(column) for column in columns)
    batch = pa.record_batch([c.slice(0, rows) for c in columns], names=[f"column{i}" for i in range(len(columns))])
    assert_same(_rust.rows_from_arrow(batch), batch.to_pylist())
