"""A column of every Arrow type, and every way to write them as Parquet."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

NUM_ROWS = 10
_ROWS = range(NUM_ROWS)
_MOMENT = dt.datetime(2020, 6, 1, 12, 30, 15)
_UNITS = ("s", "ms", "us", "ns")
_ZONES = (None, "UTC", "Europe/Berlin", "+05:30")


def every_column() -> dict[str, pa.Array]:
    """Columns by their names, most with nulls."""
    return {**_numbers(), **_texts(), **_times(), **_dictionaries(), **_nested(), **_extensions()}


def _some(value: Callable[[int], Any]) -> list[Any]:
    return [value(row) if row % 4 else None for row in _ROWS]


def _numbers() -> dict[str, pa.Array]:
    kinds = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)] + ["float16", "float32", "float64"]
    columns = {kind: pa.array(_some(lambda row: row), getattr(pa, kind)()) for kind in kinds}
    columns["bool"] = pa.array(_some(lambda row: row % 2 == 0))
    columns["null"] = pa.nulls(NUM_ROWS)
    for kind in (
        pa.decimal32(7, 2),
        pa.decimal64(16, 3),
        pa.decimal128(5, 1),
        pa.decimal128(38, 10),
        pa.decimal256(12, 2),
        pa.decimal256(60, 2),
    ):
        columns[str(kind)] = pa.array(_some(lambda row: decimal.Decimal(row) / 2), kind)
    return columns


def _texts() -> dict[str, pa.Array]:
    texts = {str(kind): pa.array(_some(lambda row: f"é {row} a longer text"), kind) for kind in _TEXT_TYPES}
    return texts | {str(kind): pa.array(_some(lambda row: b"%020d" % row), kind) for kind in _BINARY_TYPES}


_TEXT_TYPES = (pa.string(), pa.large_string(), pa.string_view())
_BINARY_TYPES = (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(20))


def _times() -> dict[str, pa.Array]:
    columns = {}
    for unit in _UNITS:
        for zone in _ZONES:
            kind = pa.timestamp(unit, zone)
            moments = _some(lambda row: _MOMENT + dt.timedelta(hours=7 * row))
            columns[str(kind)] = pa.array(moments, kind)
            columns[f"list<{kind}>"] = pa.array([[_MOMENT, None], []] * (NUM_ROWS // 2), pa.list_(kind))
            columns[f"struct<{kind}>"] = pa.array([{"t": _MOMENT}, None] * (NUM_ROWS // 2), pa.struct([("t", kind)]))
        columns[f"duration[{unit}]"] = pa.array(_some(lambda row: row), pa.duration(unit))
    columns["map<timestamp>"] = pa.array([[("k", _MOMENT)]] * NUM_ROWS, pa.map_(pa.string(), pa.timestamp("us")))
    for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")):
        columns[str(kind)] = pa.array(_some(lambda row: dt.time(1, 2, row)), kind)
    for kind in (pa.date32(), pa.date64()):
        columns[str(kind)] = pa.array(_some(lambda row: _MOMENT.date()), kind)
        columns[f"list<{kind}>"] = pa.array([[_MOMENT.date()]] * NUM_ROWS, pa.list_(kind))
    return columns


def _dictionaries() -> dict[str, pa.Array]:
    def of(keys: pa.DataType, values: list[Any], kind: pa.DataType, ordered: bool = False) -> pa.Array:
        keys = pa.array(_some(lambda row: row % len(values)), keys)
        return pa.DictionaryArray.from_arrays(keys, pa.array(values, kind), ordered=ordered)

    words = ["a", "bb", "ccc"]
    signs = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    columns = {f"dictionary<{keys}>": of(getattr(pa, keys)(), words, pa.string()) for keys in signs}
    for kind in (pa.large_string(), pa.binary(), pa.large_binary()):
        columns[f"dictionary of {kind}"] = of(pa.int8(), words, kind)
    columns["ordered dictionary"] = of(pa.int8(), words, pa.string(), ordered=True)
    columns["dictionary of numbers"] = of(pa.int8(), [5, 6, 7], pa.int64())
    columns["dictionary of decimals"] = of(pa.int8(), [decimal.Decimal("1.25")], pa.decimal128(5, 2))
    columns["dictionary of fixed bytes"] = of(pa.int8(), [b"abcd", b"efgh"], pa.binary(4))
    columns["dictionary of moments"] = of(pa.int8(), [_MOMENT], pa.timestamp("us", "UTC"))
    columns["list of dictionaries"] = pa.array([words] * NUM_ROWS, pa.list_(pa.dictionary(pa.int8(), pa.string())))
    return columns


def _nested() -> dict[str, pa.Array]:
    inner = pa.struct(
        [
            ("a", pa.dictionary(pa.int16(), pa.string())),
            ("b", pa.large_string()),
            ("c", pa.date64()),
            ("d", pa.time32("s")),
            pa.field("e", pa.int16(), nullable=False),
        ]
    )
    values = [{"a": "x", "b": "y", "c": _MOMENT.date(), "d": dt.time(1, 2, 3), "e": row} for row in _ROWS]
    return {
        "list": pa.array(_some(lambda row: [None, *range(row % 4)]), pa.list_(pa.int32())),
        "large list": pa.array(_some(lambda row: [str(row)]), pa.large_list(pa.string())),
        "list view": pa.array(_some(lambda row: [row]), pa.list_view(pa.int32())),
        "large list view": pa.array(_some(lambda row: [str(row)]), pa.large_list_view(pa.string())),
        "fixed list": pa.array(_some(lambda row: [row, None]), pa.list_(pa.int32(), 2)),
        "lists": pa.array([[[1, None], []], None] * (NUM_ROWS // 2)),
        "strict list": pa.array([[row] for row in _ROWS], pa.list_(pa.field("item", pa.int64(), nullable=False))),
        "named list": pa.array([[row] for row in _ROWS], pa.list_(pa.field("wert", pa.int64()))),
        "struct": pa.array(values, inner),
        "structs": pa.array([[value, None] for value in values], pa.list_(inner)),
        "map": pa.array(_some(lambda row: [("k", row), ("j", None)]), pa.map_(pa.string(), pa.int64())),
        "sorted map": pa.array(_some(lambda row: [("k", row)]), pa.map_(pa.string(), pa.int64(), keys_sorted=True)),
        "map of lists": pa.array(_some(lambda row: [(row, ["x"])]), pa.map_(pa.int32(), pa.list_(pa.string()))),
    }


def _extensions() -> dict[str, pa.Array]:
    texts = _some(lambda row: json.dumps({"row": row}))
    ids = pa.array([uuid.UUID(int=row).bytes for row in _ROWS], pa.uuid())
    make = pa.ExtensionArray.from_storage
    pairs = pa.array([[row, row] for row in _ROWS], pa.list_(pa.int32(), 2))
    return {
        "uuid": ids,
        "uuids": pa.ListArray.from_arrays(pa.array(range(NUM_ROWS + 1), pa.int32()), ids),
        "json": make(pa.json_(), pa.array(texts)),
        "large json": make(pa.json_(pa.large_string()), pa.array(texts, pa.large_string())),
        "bool8": make(pa.bool8(), pa.array([row % 2 for row in _ROWS], pa.int8())),
        "tensor": make(pa.fixed_shape_tensor(pa.int32(), [2]), pairs),
        "opaque": make(pa.opaque(pa.int32(), "a", "b"), pa.array(_ROWS, pa.int32())),
    }


_OPTIONS: dict[str, dict[str, Any]] = {
    "pyarrow": {},
    "pyarrow without schema": {"store_schema": False},
    "pyarrow int96": {"use_deprecated_int96_timestamps": True},
    "pyarrow int96 without schema": {"use_deprecated_int96_timestamps": True, "store_schema": False},
    "pyarrow format 1.0": {"version": "1.0"},
    "pyarrow format 1.0 without schema": {"version": "1.0", "store_schema": False},
    "pyarrow format 2.4": {"version": "2.4"},
    "pyarrow pages 2.0": {"data_page_version": "2.0", "use_dictionary": False},
    "pyarrow in milliseconds": {"coerce_timestamps": "ms", "allow_truncated_timestamps": True},
    "pyarrow old lists": {"use_compliant_nested_type": False},
    "pyarrow decimals as integers": {"store_decimal_as_integer": True},
    "pyarrow decimals as integers without schema": {"store_decimal_as_integer": True, "store_schema": False},
}


def _polars(table: pa.Table, path: Path, **options: Any) -> None:
    import polars

    if any(pa.types.is_decimal256(kind) for kind in table.schema.types):
        raise NotImplementedError("polars panics, on stderr")
    polars.from_arrow(table).write_parquet(path, **options)


def _duckdb(table: pa.Table, path: Path, version: str) -> None:
    import duckdb

    if "fixed list" in table.column_names:
        raise NotImplementedError("pyarrow does not read what DuckDB writes of it")
    rows = table  # noqa: F841
    duckdb.sql(f"COPY rows TO '{path}' (FORMAT parquet, PARQUET_VERSION {version})")


def _with(options: dict[str, Any]) -> Callable[[pa.Table, Path], None]:
    return lambda table, path: pq.write_table(table, path, **options)


# Each raises for what it does not write.
WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    **{name: _with(options) for name, options in _OPTIONS.items()},
    "polars": _polars,
    "polars with pyarrow": lambda table, path: _polars(table, path, use_pyarrow=True),
    "duckdb": lambda table, path: _duckdb(table, path, "v1"),
    "duckdb 2": lambda table, path: _duckdb(table, path, "v2"),
}
