"""Every type by every writer of Parquet: values and Arrow schema are pyarrow's."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_types import WRITERS, every_column

import rowmill


def differences(path: Path, index_dir: Path) -> dict[str, str]:
    """What rowmill reads otherwise than ``pyarrow.parquet.read_table``, by column.

    What a list's items are called is no difference, as it is none to pyarrow's own ``==``: rowmill calls all of them
    "element", so that shards of old and new writers are one dataset.
    """
    expected = pq.read_table(path)
    opened = rowmill.open(path, index_dir=index_dir)
    assert opened.schema.metadata == expected.schema.metadata
    rows = list(opened)
    batches = pa.Table.from_batches(opened.batch(7, remainder="keep").with_format("arrow"))
    found = {}
    for field in expected.schema:
        name, own = field.name, opened.schema.field(field.name)
        values, wanted = [row[name] for row in rows], expected[name].to_pylist()
        if own.type != field.type or own.nullable != field.nullable or (own.metadata or {}) != (field.metadata or {}):
            found[name] = f"{own} {own.metadata}, pyarrow has {field} {field.metadata}"
        # Moments in different zones are equal, but do not look alike.
        elif values != wanted or repr(values) != repr(wanted) or batches[name].to_pylist() != wanted:
            found[name] = f"{values}, pyarrow has {wanted}"
    return found


@pytest.mark.parametrize("writer", list(WRITERS))
def test_every_type_by_every_writer(tmp_path: Path, writer: str) -> None:
    pytest.importorskip("polars" if "polars" in writer else "duckdb" if "duckdb" in writer else "pyarrow")
    path, write = tmp_path / "x.parquet", WRITERS[writer]
    columns = every_column()
    for name, values in list(columns.items()) if writer.startswith(("polars", "duckdb")) else ():
        try:
            write(pa.table({name: values}), path)
        except Exception:
            del columns[name]
    assert len(columns) > 80
    write(pa.table(columns), path)
    assert differences(path, tmp_path / "index") == {}


def test_types_that_polars_alone_has(tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    words = ["a", "b", None, "a"]
    frame = pl.DataFrame(
        {
            "categorical": pl.Series(words, dtype=pl.Categorical),
            "enum": pl.Series(words, dtype=pl.Enum(["a", "b"])),
            "list": pl.Series([["a"], ["b"], [], None], dtype=pl.List(pl.Categorical)),
            "struct": pl.Series([{"a": "x", "b": 1}] * 4, dtype=pl.Struct({"a": pl.Categorical, "b": pl.Int8})),
            "array": pl.Series([[1, 2]] * 4, dtype=pl.Array(pl.Int8, 2)),
            "moment": pl.Series([dt.datetime(2020, 1, 1)] * 4, dtype=pl.Datetime("ms", "Europe/Berlin")),
            "null": pl.Series([None] * 4),
        }
    )
    frame.write_parquet(tmp_path / "x.parquet")
    assert differences(tmp_path / "x.parquet", tmp_path / "index") == {}


DUCKDB = [
    "uuid()",
    "'a'::ENUM('a', 'b')",
    "interval 3 days",
    "170141183460469231731687303715884105727::hugeint",
    "timestamptz '2020-01-01'",
    "timestamp_s '2020-01-01'",
    "timestamp_ns '2020-01-01'",
    "time '01:02:03'",
    "timetz '01:02:03+01'",
    "'101'::bit",
    "map {'a': 1}",
    "{'a': [1, null]}",
    "'{\"a\": 1}'::json",
    "[uuid()]",
    "1.5::decimal(4, 1)",
    "1.5::decimal(38, 1)",
]


def test_types_that_duckdb_alone_has(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    columns = ", ".join(f"{value} AS c{index}" for index, value in enumerate(DUCKDB))
    duckdb.sql(f"COPY (SELECT {columns}) TO '{tmp_path}/x.parquet' (FORMAT parquet)")
    assert differences(tmp_path / "x.parquet", tmp_path / "index") == {}


def test_a_schema_that_contradicts_the_columns_or_is_damaged_counts_for_nothing(tmp_path: Path) -> None:
    plain = pa.table({"x": [1, 2], "y": ["a", "b"]})
    other = pa.schema([("x", pa.list_(pa.string())), ("y", pa.int8())])
    pq.write_table(pa.Table.from_arrays([pa.array([], kind) for kind in other.types], schema=other), tmp_path / "o")
    foreign = pq.ParquetFile(tmp_path / "o").metadata.metadata[b"ARROW:schema"]
    for note in (foreign, b"", b"AAAA", b"not base64", foreign[:60], foreign[:-40] + b"A" * 40):
        with pq.ParquetWriter(tmp_path / "x.parquet", plain.schema, store_schema=False) as writer:
            writer.write_table(plain)
            writer.add_key_value_metadata({b"ARROW:schema": note, b"kept": b"yes"})
        opened = rowmill.open(tmp_path / "x.parquet", index_dir=tmp_path / "index", force_reindex=True)
        assert list(opened) == plain.to_pylist()
        assert opened.schema.types == plain.schema.types
        assert opened.schema.metadata[b"kept"] == b"yes"


def shards_of_words(folder: Path, keys: list[pa.DataType], num_words: int) -> pa.Table:
    folder.mkdir()
    tables = []
    for index, kind in enumerate(keys):
        words = pa.array([f"{index}-{word}" for word in range(num_words)]).dictionary_encode()
        tables.append(pa.table({"word": words.cast(pa.dictionary(kind, pa.string()))}))
        pq.write_table(tables[-1], folder / f"{index}.parquet")
    return pa.concat_tables([table.cast(pa.schema([("word", pa.string())])) for table in tables])


@pytest.mark.parametrize(
    ("keys", "wide"),
    [([pa.int8(), pa.int16()], pa.int16()), ([pa.int32(), pa.int8()], pa.int32()), ([pa.int8()] * 2, pa.int8())],
)
def test_shards_of_different_dictionary_keys_are_one_dataset(
    tmp_path: Path, keys: list[pa.DataType], wide: pa.DataType
) -> None:
    words = shards_of_words(tmp_path / "data", keys, 60)
    opened = rowmill.open(tmp_path / "data", index_dir=tmp_path / "index")
    assert opened.schema.field("word").type == pa.dictionary(wide, pa.string())
    assert list(opened) == words.to_pylist()
    for format in ("arrow", "python"):
        batches: list[Any] = list(opened.shuffle(1).batch(50, remainder="keep").with_format(format))
        columns = [batch.column(0).to_pylist() if format == "arrow" else batch["word"] for batch in batches]
        assert sorted(word for column in columns for word in column) == sorted(words["word"].to_pylist())


def test_more_words_than_the_keys_count_fit_all_batches_but_arrows(tmp_path: Path) -> None:
    words = shards_of_words(tmp_path / "data", [pa.int8()] * 4, 100)
    opened = rowmill.open(tmp_path / "data", index_dir=tmp_path / "index").shuffle(1).batch(300, remainder="keep")
    for format in ("python", "numpy"):
        found = [word for batch in opened.with_format(format) for word in batch["word"]]
        assert sorted(found) == sorted(words["word"].to_pylist())
    with pytest.raises(rowmill.exceptions.SchemaMismatchError, match=r"several dictionaries.*smaller batches"):
        list(opened.with_format("arrow"))


def test_a_dictionary_that_pyarrow_does_not_read_is_no_damage(tmp_path: Path) -> None:
    halves = [
        pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), [f"{half}-{word}" for word in range(100)])
        for half in range(2)
    ]
    pq.write_table(pa.table({"word": pa.chunked_array(halves)}), tmp_path / "x.parquet")
    with pytest.raises(pa.ArrowInvalid, match="not in range"):
        pq.read_table(tmp_path / "x.parquet")
    with pytest.raises(rowmill.RowmillError, match=r'column "word" has more different values.*wider keys$'):
        list(rowmill.open(tmp_path / "x.parquet", index_dir=tmp_path / "index"))


def nested(depth: int) -> pa.Table:
    kind, value = pa.int32(), 5
    for _ in range(depth):
        kind, value = pa.list_(kind), [value]
    return pa.table({"deep": pa.array([value], kind)})


def test_columns_are_read_deeper_than_pyarrow_reads_them(tmp_path: Path) -> None:
    for depth in (49, 60, 62):
        table = nested(depth)
        pq.write_table(table, tmp_path / "x.parquet")
        for _ in range(2):
            opened = rowmill.open(tmp_path / "x.parquet", index_dir=tmp_path / "index")
            assert list(opened) == table.to_pylist()
            assert len(list(opened.batch(1).with_format("arrow").loader(num_threads=2))) == 1


@pytest.mark.parametrize("depth", [63, 64, 100, 400])
def test_columns_that_are_too_deep_are_a_limit_and_no_damage(tmp_path: Path, depth: int) -> None:
    pq.write_table(nested(depth), tmp_path / "x.parquet", store_schema=False)
    with pytest.raises(
        rowmill.RowmillError, match=r"nested .* deep.*rowmill .*write it flatter|them flatter"
    ) as caught:
        rowmill.open(tmp_path / "x.parquet", index_dir=tmp_path / "index")
    assert "damaged" not in str(caught.value)
