"""Parquet as people have it: every type, codec, writer and row-group shape reads back as pyarrow reads it."""

from __future__ import annotations

import datetime as dt
import decimal
import random
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import copy, through_json

import rowmill

NUM_ROWS = 60


def every_type() -> pa.Table:
    """A column of each type that pyarrow writes, with nulls and nesting."""
    rows = range(NUM_ROWS)
    moment = dt.datetime(2020, 1, 1)
    seconds = [moment + dt.timedelta(seconds=row) for row in rows]
    return pa.table(
        {
            "int8": pa.array([row % 100 - 50 for row in rows], pa.int8()),
            "uint64": pa.array([2**64 - 1 - row for row in rows], pa.uint64()),
            "float16": pa.array([float(row) for row in rows], pa.float16()),
            "float64": pa.array([row / 3 if row % 9 else None for row in rows]),
            "bool": pa.array([row % 3 == 0 if row % 5 else None for row in rows]),
            "string": pa.array([f"té {row}" if row % 7 else None for row in rows]),
            "large_string": pa.array([f"x{row}" for row in rows], pa.large_string()),
            "string_view": pa.array([f"a view of a longer text {row}" for row in rows], pa.string_view()),
            "binary": pa.array([bytes([row]) * (row % 3) for row in rows]),
            "fixed_binary": pa.array([bytes([row]) * 4 for row in rows], pa.binary(4)),
            "dictionary": pa.array([f"k{row % 4}" for row in rows]).dictionary_encode(),
            "number_dictionary": pa.array([row % 4 for row in rows]).dictionary_encode(),
            "date32": pa.array([moment.date()] * NUM_ROWS),
            "date64": pa.array([moment.date()] * NUM_ROWS, pa.date64()),
            "timestamp_s": pa.array(seconds, pa.timestamp("s")),
            "timestamp_us": pa.array(seconds, pa.timestamp("us", "Europe/Berlin")),
            "timestamp_ns": pa.array(seconds, pa.timestamp("ns")),
            "time32": pa.array([dt.time(1, 2, row) for row in rows], pa.time32("s")),
            "time64": pa.array([dt.time(1, 2, row, 7) for row in rows], pa.time64("us")),
            "duration": pa.array([dt.timedelta(row) for row in rows]),
            "decimal128": pa.array([decimal.Decimal(row) / 4 for row in rows], pa.decimal128(12, 2)),
            "decimal256": pa.array([decimal.Decimal(row) / 4 for row in rows], pa.decimal256(50, 2)),
            "list": pa.array([list(range(row % 4)) if row % 6 else None for row in rows]),
            "lists": pa.array([[[1, None], []], [], None] * (NUM_ROWS // 3)),
            "fixed_list": pa.array([[row, row + 1] for row in rows], pa.list_(pa.int32(), 2)),
            "large_list": pa.array([[str(row)] for row in rows], pa.large_list(pa.string())),
            "struct": pa.array([{"a": row, "b": {"c": f"{row}", "d": [row]}} if row % 4 else None for row in rows]),
            "map": pa.array([[("k", row), ("j", None)] for row in rows], pa.map_(pa.string(), pa.int64())),
            "structs": pa.array([[{"x": 1, "y": ["a"]}, None] for _ in rows]),
            "null": pa.nulls(NUM_ROWS),
        }
    )


def same_as_pyarrow(path: Path, index_dir: Path, columns: list[str] | None = None) -> None:
    expected = pq.read_table(path, columns=columns)
    opened = rowmill.open(path, index_dir=index_dir, columns=columns)
    assert opened.num_rows == expected.num_rows
    for field in expected.schema:
        assert opened.schema.field(field.name).type == field.type, field.name
    assert (expected.schema.metadata or {}).items() <= (opened.schema.metadata or {}).items()
    # numpy and pandas scalars compare equal to what they hold.
    assert list(opened) == expected.to_pylist()


WRITERS = [
    {},
    {"compression": "none"},
    {"compression": "gzip"},
    {"compression": "brotli"},
    {"compression": "lz4"},
    {"compression": "zstd"},
    {"data_page_version": "2.0"},
    {"data_page_version": "2.0", "compression": "zstd", "use_dictionary": False},
    {"use_dictionary": False},
    {"write_page_index": True, "data_page_size": 64},
    {"write_page_checksum": True},
    {"store_schema": False},
    {"row_group_size": 7},
    {"use_deprecated_int96_timestamps": True},
    {"use_dictionary": False, "use_byte_stream_split": ["float64"]},
    {
        "use_dictionary": False,
        "column_encoding": {
            "int8": "DELTA_BINARY_PACKED",
            "string": "DELTA_BYTE_ARRAY",
            "binary": "DELTA_LENGTH_BYTE_ARRAY",
        },
    },
]


@pytest.mark.parametrize("options", WRITERS, ids=lambda options: "-".join(map(str, options)) or "default")
def test_every_type_reads_as_pyarrow_reads_it(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(every_type(), path, **options)
    same_as_pyarrow(path, tmp_path / "index")


def test_what_polars_writes(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    path = tmp_path / "x.parquet"
    table = every_type().select(["int8", "string", "bool", "list", "struct", "timestamp_us", "decimal128"])
    polars.from_arrow(table).write_parquet(path, row_group_size=13)
    same_as_pyarrow(path, tmp_path / "index")


def test_what_duckdb_writes(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    rows = every_type().select(["int8", "string", "bool", "list", "struct", "date32", "decimal128"])  # noqa: F841
    duckdb.sql(f"COPY rows TO '{tmp_path}/x.parquet' (FORMAT parquet, CODEC 'zstd')")
    same_as_pyarrow(tmp_path / "x.parquet", tmp_path / "index")


def test_what_datasets_writes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    made = datasets.Dataset.from_dict({"text": [f"t{row}" for row in range(50)], "label": [0, 1] * 25}, features)
    made.to_parquet(tmp_path / "x.parquet")
    same_as_pyarrow(tmp_path / "x.parquet", tmp_path / "index")
    assert rowmill.open(tmp_path / "x.parquet", index_dir=tmp_path / "index").features == made.features


def text_table(start: int, stop: int, text_bytes: int = 200) -> pa.Table:
    texts = [random.Random(row).randbytes(text_bytes // 2).hex() for row in range(start, stop)]
    ragged = [[row] * (row % 5) for row in range(start, stop)]
    return pa.table({"id": pa.array(range(start, stop)), "text": texts, "ragged": ragged})


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    """Small row groups, and ones larger than a window with and without a page index."""
    folder, parts = tmp_path_factory.mktemp("mixed"), []
    shapes = [
        {"row_group_size": 100},
        {"row_group_size": 100_000, "write_page_index": True, "compression": "zstd"},
        {"row_group_size": 100_000, "data_page_version": "1.0"},
        {"row_group_size": 77, "write_page_index": True},
    ]
    first = 0
    for index, options in enumerate(shapes):
        large = options["row_group_size"] > 1000
        part = text_table(first, first + (12_000 if large else 500), 3000 if large else 200)
        pq.write_table(part, folder / f"part-{index}.parquet", **options)
        parts.append(part)
        first += part.num_rows
    return folder, pa.concat_tables(parts)


def test_large_row_groups_are_cut_into_blocks_and_read_the_same(mixed: tuple[Path, pa.Table], tmp_path: Path) -> None:
    folder, table = mixed
    opened = rowmill.open(folder, index_dir=tmp_path)
    blocks = [shard["num_blocks"] for shard in opened._plan.source.rust.shards()]
    assert blocks[0] == 5
    assert blocks[3] == 7
    assert min(blocks[1:3]) > 4, "a row group of 36 MB is more than a window"
    assert list(opened) == table.to_pylist()
    facts = opened._plan.source.rust.shard_facts()
    assert [fact["row_groups"] for fact in facts] == [5, 1, 1, 7]
    assert [fact["has_page_index"] for fact in facts] == [False, True, False, True]
    assert facts[1]["codecs"] == ["zstd"]
    assert facts[1]["largest_row_group_bytes"] > 30_000_000


@pytest.mark.parametrize("io", ["mmap", "read", "direct"])
def test_a_shuffle_reads_every_row_once_and_every_block_once(
    mixed: tuple[Path, pa.Table], tmp_path: Path, io: str
) -> None:
    folder, table = mixed
    opened = rowmill.open(folder, index_dir=tmp_path).shuffle(7, num_lanes=4)
    with opened.loader(io=io) as loader:
        rows = list(loader)
        stats = loader.stats()
    assert sorted(row["id"] for row in rows) == list(range(table.num_rows))
    texts = table["text"].to_pylist()
    assert all(row["text"] == texts[row["id"]] for row in rows)
    assert stats["blocks_decoded_again"] == 0
    # Two lanes may share the block in which one ends and the next begins, and read it at different times.
    assert stats["blocks_decoded"] <= opened._plan.source.rust.num_blocks + 8


@given(st.data())
def test_a_resumed_stream_is_the_straight_one(mixed: tuple[Path, pa.Table], tmp_path_factory: Any, data: Any) -> None:
    folder, _ = mixed
    opened = rowmill.open(folder, index_dir=tmp_path_factory.getbasetemp() / "index").select_columns(["id"])
    mode = data.draw(st.sampled_from(["window", "shard", "row", "none"]))
    batch = data.draw(st.sampled_from([32, 500]))
    chain = opened.shuffle(data.draw(st.integers(0, 5)), mode=mode, num_lanes=8)
    chain = chain.batch(batch).with_format("numpy")
    straight = [item["id"].tolist() for item in copy(chain)]
    iterator = iter(copy(chain))
    taken = data.draw(st.integers(0, len(straight) - 1))
    before = [next(iterator)["id"].tolist() for _ in range(taken)]
    resumed = copy(chain)
    resumed.load_state_dict(through_json(iterator.state_dict()))
    assert before + [item["id"].tolist() for item in resumed] == straight


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_take_the_same_rows_in_the_same_step(mixed: tuple[Path, pa.Table], tmp_path: Path, ranks: int) -> None:
    folder, _ = mixed
    whole = rowmill.open(folder, index_dir=tmp_path).select_columns(["id"]).shuffle(3, num_lanes=8)
    steps = [
        sorted(value for part in parts for value in part["id"].tolist())
        for parts in zip(
            *(whole.shard(ranks, rank).batch(64 // ranks).with_format("numpy") for rank in range(ranks)), strict=True
        )
    ]
    assert steps[:20] == [sorted(whole.shard(1, 0).row_ids(step * 64, step * 64 + 64)) for step in range(20)]


def test_columns_not_asked_for_are_not_read(tmp_path: Path) -> None:
    columns = {
        f"c{index}": [random.Random(index * 1000 + row).random() for row in range(20_000)] for index in range(10)
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet", use_dictionary=False, compression="none")

    def bytes_read(names: list[str]) -> int:
        opened = rowmill.open(tmp_path / "x.parquet", index_dir=tmp_path / "index").select_columns(names)
        with opened.loader(io="read") as loader:
            assert sum(1 for _ in loader) == 20_000
            return loader.stats()["read_bytes"]

    one, ten = bytes_read(["c3"]), bytes_read([f"c{index}" for index in range(10)])
    assert one < ten / 6


def test_a_filter_reads_only_row_groups_that_may_hold_what_it_keeps(tmp_path: Path) -> None:
    for part in range(3):
        pq.write_table(text_table(part * 1000, part * 1000 + 1000), tmp_path / f"{part}.parquet", row_group_size=100)
    opened = rowmill.open(tmp_path, index_dir=tmp_path / "index").shuffle(1, num_lanes=4)
    expression = (pc.field("id") >= 950) & (pc.field("id") < 1250)
    with opened.filter(expression).loader() as loader:
        rows = [row["id"] for row in loader]
        stats = loader.stats()
    # The same rows in the same order as a function picks out, which prunes nothing.
    assert rows == [row["id"] for row in opened.filter(lambda row: 950 <= row["id"] < 1250)]
    assert len(rows) == 300
    assert stats["blocks_pruned"] == 26
    assert stats["blocks_decoded"] == 4
    assert stats["skipped_rows"] == 0


def test_a_pruned_filter_resumes_where_it_stopped(tmp_path: Path) -> None:
    pq.write_table(text_table(0, 3000), tmp_path / "x.parquet", row_group_size=100)
    opened = rowmill.open(tmp_path, index_dir=tmp_path / "index").shuffle(1, num_lanes=4)
    chain = opened.filter(pc.field("id") >= 300).filter(pc.field("id") < 1234).batch(10).with_format("numpy")
    straight = [item["id"].tolist() for item in copy(chain)]
    for taken in (0, 1, 7, len(straight) - 1):
        iterator = iter(copy(chain))
        before = [next(iterator)["id"].tolist() for _ in range(taken)]
        resumed = copy(chain)
        resumed.load_state_dict(through_json(iterator.state_dict()))
        assert before + [item["id"].tolist() for item in resumed] == straight


def test_chosen_rows_are_pruned_by_where_they_lie(tmp_path: Path) -> None:
    for part in range(3):
        pq.write_table(text_table(part * 1000, part * 1000 + 1000), tmp_path / f"{part}.parquet", row_group_size=100)
    opened = rowmill.open(tmp_path, index_dir=tmp_path / "index")
    for chosen in (opened.skip(150).take(2500), opened.shuffle(1, num_lanes=4).skip(100)):
        kept = [row["id"] for row in chosen.filter(pc.field("id") > 1234)]
        assert kept == [row["id"] for row in chosen.filter(lambda row: row["id"] > 1234)]


HIVE = [
    ["1", "2"],
    ["1", "9999999999"],
    ["a", "1"],
    ["__HIVE_DEFAULT_PARTITION__", "3"],
    ["d%20e", "-1"],
    ["2020-01-01", "2020-01-02"],
]


@pytest.mark.parametrize("values", HIVE, ids="-".join)
def test_folders_named_key_value_are_columns(tmp_path: Path, values: list[str]) -> None:
    folder = tmp_path / "data"
    for index, value in enumerate(values):
        inner = folder / f"key={value}" / f"part={index}"
        inner.mkdir(parents=True)
        pq.write_table(text_table(index * 10, index * 10 + 10), inner / "x.parquet", row_group_size=3)
    (folder / "_SUCCESS").touch()
    expected = pds.dataset(folder, partitioning="hive").to_table().to_pylist()
    for paths in (folder, folder / "**/*.parquet"):
        opened = rowmill.open(paths, index_dir=tmp_path / "index")
        assert sorted(opened, key=lambda row: row["id"]) == sorted(expected, key=lambda row: row["id"])
        assert opened.schema.names == ["id", "text", "ragged", "key", "part"]
    chosen = opened.select_columns(["part", "id"]).shuffle(1).batch(4).with_format("numpy")
    assert all((item["id"] // 10 == item["part"]).all() for item in chosen)


def test_files_beside_folders_named_key_value_have_null_there(tmp_path: Path) -> None:
    for index, name in enumerate(["p.parquet", "k=1/p.parquet", "k=2/j=x/p.parquet"]):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(text_table(index * 10, index * 10 + 10), tmp_path / "data" / name)
    expected = pds.dataset(tmp_path / "data", partitioning="hive").to_table().to_pylist()
    for paths in (tmp_path / "data", tmp_path / "data" / "**/*.parquet"):
        opened = rowmill.open(paths, index_dir=tmp_path / "index")
        assert sorted(opened, key=lambda row: row["id"]) == sorted(expected, key=lambda row: row["id"])
        kept = [row["id"] for row in opened.filter(pc.field("k").is_null())]
        assert kept == list(range(10))


def test_partitions_prune_whole_files(tmp_path: Path) -> None:
    for year in range(2000, 2010):
        inner = tmp_path / "data" / f"year={year}"
        inner.mkdir(parents=True)
        pq.write_table(text_table(year * 10, year * 10 + 10), inner / "x.parquet")
    opened = rowmill.open(tmp_path / "data", index_dir=tmp_path / "index").shuffle(1, num_lanes=2)
    with opened.filter(pc.field("year") == 2003).loader() as loader:
        assert sorted(row["id"] for row in loader) == list(range(20_030, 20_040))
        stats = loader.stats()
    assert (stats["blocks_pruned"], stats["blocks_decoded"]) == (9, 1)


def test_a_format_that_the_files_do_not_have_is_refused(tmp_path: Path) -> None:
    pq.write_table(text_table(0, 3), tmp_path / "x.parquet")
    assert rowmill.open(tmp_path, format="parquet", index_dir=tmp_path / "index").num_rows == 3
    with pytest.raises(rowmill.RowmillError, match="it is Parquet, not arrow"):
        rowmill.open(tmp_path, format="arrow", index_dir=tmp_path / "index")


def test_an_arrow_file_named_as_its_neighbours_is_told_apart(tmp_path: Path) -> None:
    pq.write_table(text_table(0, 3), tmp_path / "a.parquet")
    other = pa.table({"x": [1]})
    with pa.ipc.new_stream(tmp_path / "zz.parquet", other.schema) as writer:
        writer.write_table(other)
    with pytest.raises(rowmill.RowmillError, match=r"zz.parquet is an Arrow IPC stream, not a Parquet file as"):
        rowmill.open(tmp_path, index_dir=tmp_path / "index")


def test_empty_tables_and_row_groups(tmp_path: Path) -> None:
    table = text_table(0, 5)
    pq.write_table(table.slice(0, 0), tmp_path / "empty.parquet")
    with pq.ParquetWriter(tmp_path / "some.parquet", table.schema) as writer:
        writer.write_table(table.slice(0, 0))
        writer.write_table(table)
    assert list(rowmill.open(tmp_path / "empty.parquet", index_dir=tmp_path / "index")) == []
    assert list(rowmill.open(tmp_path / "some.parquet", index_dir=tmp_path / "index")) == table.to_pylist()


def test_text_that_is_not_utf8_is_an_error_for_its_row_only(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    marker = b"WILL-BE-DAMAGED"
    table = pa.table({"text": ["fine", marker.decode(), "fine"]})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)
    content = path.read_bytes()
    path.write_bytes(content.replace(marker, b"\xff" * len(marker)))
    opened = rowmill.open(path, index_dir=tmp_path / "index")
    assert opened.fetch([0, 2])[1] == {"text": "fine"}
    with pytest.raises(rowmill.exceptions.CorruptShardError, match="UTF-8"):
        list(opened)


@pytest.mark.parametrize(
    ("values", "condition"),
    [
        ([0.0, float("nan"), 0.0], pc.field("x") != 0.0),
        ([0.0, float("nan")], ~(pc.field("x") < 0.1)),
        ([1.0, float("nan")], pc.field("x").is_null(nan_is_null=True)),
        ([0.0, -0.0, float("nan")], pc.field("x").isin([0.0])),
        (pa.array([200, 3], pa.uint8()), pc.field("x").cast(pa.int8(), safe=False) < 0),
    ],
)
def test_statistics_that_do_not_tell_prune_nothing(tmp_path: Path, values: Any, condition: Any) -> None:
    table = pa.table({"x": values})
    pq.write_table(table, tmp_path / "x.parquet")
    read = [row["x"] for row in rowmill.open(tmp_path).filter(condition)]
    assert str(read) == str(table.filter(condition)["x"].to_pylist())


def test_uuids_are_those_of_every_writer(tmp_path: Path) -> None:
    values = [uuid.UUID(int=number) for number in (0, 7, 2**128 - 1)]
    table = pa.table({"u": pa.array([value.bytes for value in values], pa.uuid())})
    for keeps_schema in (True, False):
        pq.write_table(table, tmp_path / "x.parquet", store_schema=keeps_schema)
        ds = rowmill.open(tmp_path / "x.parquet", force_reindex=True)
        assert [row["u"] for row in ds] == values
        assert ds.schema.field("u").type == pa.uuid()


def test_what_a_lists_items_are_called_does_not_tell_columns_apart(tmp_path: Path) -> None:
    table = pa.table({"tokens": [[1, 2], [3]], "deep": [[{"words": [["a"]]}], []]})
    for index, is_compliant in enumerate([True, False]):
        path = tmp_path / f"{index}.parquet"
        pq.write_table(table, path, use_compliant_nested_type=is_compliant, store_schema=bool(index))
    assert list(rowmill.open(tmp_path)) == table.to_pylist() * 2
    assert len(next(iter(rowmill.open(tmp_path).with_format("arrow").batch(4)))) == 4
