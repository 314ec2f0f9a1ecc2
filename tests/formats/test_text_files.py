"""JSON lines and CSV: the rows are what the lines say, whatever the container, the chunks and who else converts."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import json
import os
import pickle
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes.launch import GENEROUS, finish, start

import rowmill
from rowmill.conversion import cache, chunks, csv_files, json_lines, shard_writer
from rowmill.conversion.json_types import TypeConflict, unify
from rowmill.conversion.kinds import sniff
from rowmill.conversion.sanity import is_shallow

PACKERS = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
    ".bz2": bz2.compress,
}
MUTANTS = Path(__file__).parent / "mutants.py"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone."""
    monkeypatch.setenv("ROWMILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "converted"


@contextlib.contextmanager
def small_pieces(size: int = 64, early: int = 128) -> Iterator[None]:
    """Cuts where no test's data would be cut otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_BYTES", size)
        patch.setattr(json_lines, "_EARLY_BYTES", early)
        patch.setattr(csv_files, "_BLOCK_BYTES", size)
        yield


def rows_of(*paths: Path, **options: Any) -> list[dict[str, Any]]:
    ds = rowmill.open(list(paths), **options)
    return ds.fetch(range(ds.num_rows))


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines_of(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def completed(value: Any, like: Any) -> Any:
    """A parsed value with a null for each field that only other rows have, as columns cannot help having."""
    if isinstance(like, dict):
        return None if value is None else {name: completed(value.get(name), inner) for name, inner in like.items()}
    if isinstance(like, list):
        # Items of one list are alike, empty lists aside.
        return None if value is None else [completed(item, inner) for item, inner in zip(value, like, strict=True)]
    return value


def assert_equal_to_lines(read: list[dict[str, Any]], text: str) -> None:
    parsed = [json.loads(line) for line in text.splitlines() if line.strip()]
    assert len(read) == len(parsed)
    assert [completed(row, like) for row, like in zip(parsed, read, strict=True)] == read
    for row, like in zip(parsed, read, strict=True):
        assert row.keys() <= like.keys()


numbers = st.one_of(st.integers(-(1 << 53), 1 << 53), st.floats(allow_nan=False, allow_infinity=False))
texts = st.one_of(st.text(), st.dates().map(str), st.datetimes().map(lambda moment: moment.isoformat()))
objects = st.fixed_dictionaries({}, optional={"x": st.none() | numbers, "y": st.none() | texts, "z": st.lists(texts)})
rows = st.fixed_dictionaries(
    {},
    optional={
        "number": st.none() | numbers,
        "text": st.none() | texts,
        "truth": st.none() | st.booleans(),
        "numbers": st.none() | st.lists(st.none() | numbers, max_size=4),
        "object": st.none() | objects,
        "objects": st.lists(objects, max_size=3),
        "nothing": st.none(),
    },
)


@given(
    st.lists(rows, min_size=1, max_size=40),
    st.integers(8, 400),
    st.integers(1, 1000),
    st.sampled_from(["\n", "\r\n", "\n\n", "\n  \n"]),
    st.booleans(),
)
def test_rows_are_what_the_lines_say_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Any], size: int, early: int, end: str, is_ended: bool
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    text = end.join(json.dumps(row) for row in drawn) + (end if is_ended else "")
    with small_pieces(size, early):
        read = rows_of(put(folder / "rows.jsonl", text))
    assert_equal_to_lines(read, text)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("packing", PACKERS)
def test_every_container_has_the_same_rows_and_fingerprint(tmp_path: Path, packing: str, end: str) -> None:
    text = end.join(json.dumps({"id": index, "text": f"row {index} é"}) for index in range(3000))
    content = b"\xef\xbb\xbf" + text.encode()
    with small_pieces(500):
        packed = rowmill.open(put(tmp_path / f"rows.jsonl{packing}", PACKERS[packing](content)))
        plain = rowmill.open(put(tmp_path / "plain.ndjson", text))
    assert packed.fetch(range(3000)) == [json.loads(line) for line in text.splitlines()]
    assert packed.num_rows == plain.num_rows == 3000
    if end == "\n" and not packing:
        assert packed._plan.source.rust.num_blocks > 10
    if packing:
        with small_pieces(500):
            same = rowmill.open(put(tmp_path / "same.jsonl", content))
        assert packed.fingerprint == same.fingerprint


def test_concatenated_gzip_members_are_one_file(tmp_path: Path) -> None:
    content = gzip.compress(b'{"a": 1}\n') + gzip.compress(b'{"a": 2}\n')
    assert rows_of(put(tmp_path / "rows.jsonl.gz", content)) == [{"a": 1}, {"a": 2}]


def test_nulls_alone_inside_of_lists_and_objects_are_counted(tmp_path: Path) -> None:
    rows = [
        {"list": [None] * (index % 4), "object": {"a": None, "b": [[None], []]}, "both": [{"c": None}] * (index % 3)}
        for index in range(50)
    ]
    with small_pieces(200):
        assert rows_of(put(tmp_path / "rows.jsonl", lines_of([{"list": None}, *rows]))) == [
            {"list": None, "object": None, "both": None},
            *rows,
        ]


def test_a_field_that_comes_late_and_types_that_widen_hold_for_the_whole_file(tmp_path: Path) -> None:
    early = [{"n": index, "later": None, "deep": {"a": index}, "list": []} for index in range(200)]
    late = {"n": 1.5, "later": "text", "deep": {"b": [1]}, "list": [{"c": True}], "new": 7}
    with small_pieces():
        ds = rowmill.open(put(tmp_path / "rows.jsonl", lines_of([*early, late])))
    assert ds.schema.field("n").type == pa.float64()
    assert ds.schema.field("deep").type == pa.struct({"a": pa.int64(), "b": pa.list_(pa.int64())})
    assert ds.fetch([0, 200]) == [
        {"n": 0.0, "later": None, "deep": {"a": 0, "b": None}, "list": [], "new": None},
        {"n": 1.5, "later": "text", "deep": {"a": None, "b": [1]}, "list": [{"c": True}], "new": 7},
    ]


def test_what_grows_late_is_not_read_again_and_what_changes_its_type_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = 0
    count = json_lines.JsonLines.tables

    def tables(self: json_lines.JsonLines) -> Iterator[pa.Table]:
        nonlocal passes
        passes += 1
        yield from count(self)

    monkeypatch.setattr(json_lines.JsonLines, "tables", tables)
    early = [{"n": index, "null": None, "list": [None], "object": {"a": None}, "none": []} for index in range(100)]
    grown = {"n": 1, "null": [{"b": 1}], "list": ["x"], "object": {"a": [1], "c": 2}, "none": [[1.5]], "new": {"d": {}}}
    for index, (late, expected) in enumerate([(grown, 1), ({"n": 0.5}, 2), ({**grown, "n": 0.5}, 2)]):
        passes = 0
        text = lines_of([*early, late, *early])
        with small_pieces():
            read = rows_of(put(tmp_path / f"{index}.jsonl", text))
        assert_equal_to_lines(read, text)
        assert passes == expected


def test_integers_that_soon_are_doubles_are_read_again_at_once(tmp_path: Path) -> None:
    text = '{"n": -0}\n' * 10 + '{"n": 0.5}\n' + lines_of([{"n": index, "later": None} for index in range(200)])
    with small_pieces(early=1200):
        reader = json_lines.JsonLines([sniff(str(put(tmp_path / "rows.jsonl", text)))], lambda _: None)
        assert list(reader.tables()) == []
        assert reader.needs_restart
        again = reader.again()
        assert not again.is_final
        values = pa.concat_tables(again.tables())["n"].to_pylist()
        assert not again.needs_restart
    assert str(values[9:11]) == "[-0.0, 0.5]"
    assert values[11:] == list(range(200))


def test_shards_are_the_same_wherever_the_schema_grew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_writer, "_SHARD_BYTES", 4000)
    tables = [pa.table({"a": range(first, first + 100)}) for first in range(0, 1000, 100)]
    grown = [table.append_column("b", pa.array([["x"]] * 100)) for table in tables]
    kind = grown[0].schema
    for switch in (0, 1, 4, 9, 10):
        folder = tmp_path / str(switch)
        folder.mkdir()
        writer = shard_writer.ShardWriter(folder)
        for table in [*tables[:switch], *grown[switch:]]:
            writer.write(table)
        shards = writer.close(kind)
        assert sorted(path.name for path in folder.iterdir()) == [shard["name"] for shard in shards]
        assert len(shards) > 2
        read = [pa.ipc.open_file(folder / shard["name"]).read_all() for shard in shards]
        assert [table.num_rows for table in read] == [shard["num_rows"] for shard in shards]
        assert {table.schema for table in read} == {kind}
        whole = pa.concat_tables(read)
        assert whole["a"].to_pylist() == list(range(1000))
        assert whole["b"].null_count == switch * 100


def test_the_columns_come_in_the_order_of_the_file_at_every_conversion(tmp_path: Path) -> None:
    rows = [{f"field{(index * 7 + step) % 90}": step for step in range(60)} for index in range(400)]
    path = put(tmp_path / "rows.jsonl", lines_of(rows))
    with small_pieces(1000):
        made = {rowmill.open(path, cache_dir=tmp_path / f"cache-{turn}").fingerprint for turn in range(5)}
    assert len(made) == 1


def test_files_of_a_folder_are_one_dataset_in_natural_order_under_one_schema(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for number in (1, 2, 10):
        put(folder / f"part-{number}.jsonl.gz", gzip.compress(lines_of([{"n": number, f"only{number}": "x"}]).encode()))
    put(folder / "README.md", "words")
    put(folder / "config.json", "{}")
    put(folder / ".hidden.jsonl", "nonsense")
    by_folder, by_glob = rowmill.open(folder), rowmill.open(folder / "*.jsonl.gz")
    assert [row["n"] for row in by_folder.fetch(range(3))] == [1, 2, 10]
    assert by_folder.column_names == ["n", "only1", "only2", "only10"]
    assert by_glob.fingerprint == by_folder.fingerprint
    given = rowmill.open([folder / "part-10.jsonl.gz", folder / "part-1.jsonl.gz"])
    assert [row["n"] for row in given.fetch(range(2))] == [10, 1]


def test_what_a_file_is_follows_from_its_first_bytes_where_its_name_says_nothing(tmp_path: Path) -> None:
    assert rows_of(put(tmp_path / "rows", b'{"a": 1}\n')) == [{"a": 1}]
    assert rows_of(put(tmp_path / "rows.gz", gzip.compress(b'{"a": 2}\n'))) == [{"a": 2}]
    assert rows_of(put(tmp_path / "named.jsonl", gzip.compress(b'{"a": 3}\n'))) == [{"a": 3}]
    assert rows_of(put(tmp_path / "rows.txt", b"a,b\n1,2\n"), format="csv") == [{"a": 1, "b": 2}]
    assert rows_of(put(tmp_path / "one.json", b'{"a": 4}\n')) == [{"a": 4}]


def test_shards_beside_text_are_for_the_engine_to_judge(tmp_path: Path) -> None:
    put(tmp_path / "data" / "a.jsonl", '{"a": 1}\n')
    put(tmp_path / "data" / "b.arrow", b"")
    with pytest.raises(rowmill.SchemaMismatchError, match="mixed formats"):
        rowmill.open(tmp_path / "data")
    with pytest.raises(rowmill.MissingShardError, match="no paths"):
        rowmill.open([])


def test_mixed_kinds_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "data" / "a.jsonl", '{"a": 1}\n')
    put(tmp_path / "data" / "b.csv", "a\n1\n")
    with pytest.raises(rowmill.SchemaMismatchError, match="mixed formats"):
        rowmill.open(tmp_path / "data")
    with pytest.raises(rowmill.MissingShardError, match="no csv file"):
        rowmill.open(tmp_path / "nothing", format="csv")


BAD_LINES = {
    "syntax": (b'{"a": oops}', rowmill.CorruptShardError, "not JSON"),
    "a list": (b"[1]", rowmill.CorruptShardError, "this is a list"),
    "null": (b"null", rowmill.CorruptShardError, "this is null"),
    "null and more": (b'null "x"', rowmill.CorruptShardError, "not JSON"),
    "over lines": (b'{\n"a": 1}', rowmill.CorruptShardError, "not JSON"),
    "a number": (b"5", rowmill.CorruptShardError, "this is a number"),
    "another type": (b'{"a": "text"}', rowmill.SchemaMismatchError, "a is a text, but a number"),
    "another type inside": (b'{"o": {"p": [true]}}', rowmill.SchemaMismatchError, r"o\.p\[\] is true or false"),
    "no UTF-8": (b'{"a": 1, "t": "\xff"}', rowmill.CorruptShardError, "not UTF-8"),
    "twice": (b'{"a": 1, "a": 2}', rowmill.CorruptShardError, "'a' comes twice"),
    "cut off": (b'{"a": 1, "t": "', rowmill.CorruptShardError, "not JSON"),
    "control character": (b'{"t": "x\ty"}', rowmill.CorruptShardError, "control character"),
    "bottomless": (b'{"a": ' + b"[" * 100_000, rowmill.CorruptShardError, "nested too deep"),
    "bottomless objects": (b'{"a": ' * 100_000, rowmill.CorruptShardError, "nested too deep"),
}


@pytest.mark.parametrize("name", BAD_LINES)
@pytest.mark.parametrize("before", [0, 3, 100])
def test_a_bad_line_is_named_and_leaves_nothing_behind(tmp_path: Path, home: Path, name: str, before: int) -> None:
    line, error, text = BAD_LINES[name]
    if "another" in name and before == 0:
        line = b'{"a": 0, "o": {"p": [0]}}\n' + line
    good = b"".join(b'{"a": %d, "o": {"p": [%d]}}\n' % (index, index) for index in range(before))
    path = put(tmp_path / "rows.jsonl", good + line + b'\n{"a": 1}\n')
    number = before + 1 + line.count(b"}}\n")
    with small_pieces(), pytest.raises(error, match=text) as caught:
        rowmill.open(path)
    assert f"{path}, line {number}:" in str(caught.value)
    assert caught.value.path == str(path)
    assert caught.value.offset == len(good) + (line.index(b"\n") + 1 if b"}}\n" in line else 0)
    assert [entry for entry in home.iterdir() if entry.suffix != ".lock"] == []


def test_nesting_that_no_arrow_file_holds_is_an_error(tmp_path: Path) -> None:
    text = '{"a": ' + "[" * 150 + "]" * 150 + "}\n"
    with pytest.raises(rowmill.SchemaMismatchError, match="nested more than 60 levels"):
        rowmill.open(put(tmp_path / "rows.jsonl", text))


@pytest.mark.parametrize(
    ("line", "is_safe"),
    [
        (b'{"a": ' + b"[" * 199 + b"]" * 199 + b"}", True),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", False),
        (b'{"a": "' + b"[{" * 5000 + b'"}', True),
        (b'{"a": "' + b'\\"[{' * 5000 + b'"}', True),
        (b'{"a": [' + b'{"b": 1},' * 5000 + b"0]}", True),
        (b'{"a": ' + b'["]", ' * 300, False),
        (b'{"a": ' + b"[{}, " * 300, False),
        (b"", True),
    ],
)
@pytest.mark.parametrize("around", [b"", b'{"a": [1]}\n' * 1000])
def test_depth_is_counted_line_by_line_and_not_in_texts(line: bytes, is_safe: bool, around: bytes) -> None:
    assert is_shallow(memoryview(around + line + b"\n" + around)) == is_safe


@pytest.mark.processes
def test_a_thousand_mutants_are_rows_or_typed_errors() -> None:
    # In a process of their own: what ends it ends no test but this one.
    told = finish(start("-W", "error", MUTANTS, 0, 1000)).splitlines()[-1].split()
    assert int(told[1]) > 50
    assert int(told[3]) > 500


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.csv.gz"])
def test_a_truncated_stream_is_an_error_that_says_where(tmp_path: Path, home: Path, name: str) -> None:
    content = "".join(f'{{"a": {index * 7919 % 10007}}}\n' for index in range(20_000))
    path = put(tmp_path / name, gzip.compress(content.encode())[:-20])
    with pytest.raises(rowmill.CorruptShardError, match="damaged or truncated") as caught:
        rowmill.open(path)
    assert caught.value.path == str(path)
    assert caught.value.offset
    assert [entry for entry in home.iterdir() if entry.suffix != ".lock"] == []


def test_a_bad_line_comes_before_the_truncation_behind_it(tmp_path: Path) -> None:
    content = b'{"a": 1}\n' * 20 + b'{"a": "x"}\n' + b"".join(b'{"a": %d}\n' % (index**5) for index in range(900))
    path = put(tmp_path / "rows.jsonl.gz", gzip.compress(content)[:-600])
    with small_pieces(), pytest.raises(rowmill.SchemaMismatchError, match="line 21: a is a text"):
        rowmill.open(path)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_a_file_without_rows_has_no_columns(tmp_path: Path, name: str) -> None:
    with pytest.raises(rowmill.CorruptShardError, match="holds no rows"):
        rowmill.open(put(tmp_path / name, ""))


def test_text_of_another_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(rowmill.CorruptShardError, match="UTF-16"):
        rowmill.open(put(tmp_path / "rows.jsonl", '{"a": 1}\n'.encode("utf-16")))


def test_a_list_of_any_size_is_told_at_its_first_bytes(tmp_path: Path) -> None:
    with small_pieces(), pytest.raises(rowmill.CorruptShardError, match="line 1: the file is one list"):
        rowmill.open(put(tmp_path / "rows.jsonl", json.dumps([{"a": 1}] * 1000)))


def test_a_line_longer_than_a_chunk_is_a_row(tmp_path: Path) -> None:
    rows = [{"t": "x" * size} for size in (10, 5000, 3, 70_000, 1)]
    with small_pieces(128):
        assert rows_of(put(tmp_path / "rows.jsonl", lines_of(rows))) == rows


# CSV and TSV.


def test_csv_with_a_mark_quotes_and_line_ends_of_every_kind(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbfid,text\r\n1,"two\r\nlines"\r\n2,"a ""quote"""\r\n\r\n3,5" pipe\r\n'
    expected = [{"id": 1, "text": "two\r\nlines"}, {"id": 2, "text": 'a "quote"'}, {"id": 3, "text": '5" pipe'}]
    assert rows_of(put(tmp_path / "rows.csv", content)) == expected
    assert rows_of(put(tmp_path / "rows.tsv", b"id\ttext\n1\ta,b\n")) == [{"id": 1, "text": "a,b"}]


@pytest.mark.parametrize("packing", PACKERS)
def test_csv_types_are_those_of_all_values(tmp_path: Path, packing: str) -> None:
    early = "".join(f"{index},{index},,true,2024-01-0{index % 9 + 1}\n" for index in range(300))
    text = f"number,mixed,empty,truth,day\n{early}1.5,A7,word,false,soon\n"
    with small_pieces():
        ds = rowmill.open(put(tmp_path / f"rows.csv{packing}", PACKERS[packing](text.encode())))
    kinds = [field.type for field in ds.schema]
    assert kinds == [pa.float64(), pa.string(), pa.string(), pa.bool_(), pa.string()]
    assert ds.fetch([0, 300]) == [
        {"number": 0.0, "mixed": "0", "empty": "", "truth": True, "day": "2024-01-01"},
        {"number": 1.5, "mixed": "A7", "empty": "word", "truth": False, "day": "soon"},
    ]


LATE = [
    *("-7 1.5", "7 x", "7 9223372036854775808", "1.5 x", "true 5", "true 1"),
    *("2024-01-01 2024-01-01T10:00:00", "2024-01-01 2024-01-01T10:00:00.5", "2024-01-01 soon", "10:00:00 x"),
    *("2024-01-01T10:00:00 2024-01-01", "2024-01-01T10:00:00 2024-01-01T10:00:00.25"),
    *("2024-01-01T10:00:00Z 2024-01-01T10:00:00+02:00", "2024-01-01T10:00:00Z 2024-01-01T10:00:00.5Z"),
    *("2024-01-01T10:00:00Z 2024-01-01T10:00:00", "NA 7", "NA true", "NA 1.5", "NA 2024-01-01"),
    *("NA 2024-01-01T10:00:00.5", "NA 2024-01-01T10:00:00Z", "NA x"),
]


@pytest.mark.parametrize("case", LATE)
def test_a_csv_type_that_comes_late_is_that_of_a_file_read_whole(tmp_path: Path, case: str) -> None:
    early, late = case.split(" ")
    path = put(tmp_path / "rows.csv", "a,b\n" + f"{early},x\n" * 30 + f"{late},y\n")
    with small_pieces():
        ds = rowmill.open(path)
    whole = pa.csv.read_csv(path)
    assert (ds.schema, ds.fetch(range(31))) == (whole.schema, whole.to_pylist())


def test_csv_files_share_columns_by_name(tmp_path: Path) -> None:
    one, two = put(tmp_path / "1.csv", "a,b\n1,x\n"), put(tmp_path / "2.csv", "b,a\ny,2.5\n")
    assert rows_of(one, two) == [{"a": 1.0, "b": "x"}, {"a": 2.5, "b": "y"}]
    other = put(tmp_path / "3.csv", "a,c\n1,x\n")
    with pytest.raises(rowmill.SchemaMismatchError, match="'b' is not in both"):
        rowmill.open([one, other])


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (b"a,b\n1,2\n3\n", rowmill.CorruptShardError, "line 3: 2 columns, but 1"),
        (b'a,b\n1,"x\ny"\n3,4,5\n', rowmill.CorruptShardError, "line 4: 2 columns, but 3"),
        (b"a\nx\n\xff\n", rowmill.CorruptShardError, "line 3: a text that is not UTF-8"),
        (b"a,a\n1,2\n", rowmill.SchemaMismatchError, "two columns are called 'a'"),
    ],
)
def test_a_bad_csv_line_is_named(tmp_path: Path, content: bytes, error: type[Exception], text: str) -> None:
    path = put(tmp_path / "rows.csv", content)
    with pytest.raises(error, match=text) as caught:
        rowmill.open(path)
    assert str(path) in str(caught.value)


def test_a_csv_row_longer_than_a_block_is_a_row(tmp_path: Path) -> None:
    content = "a,b\n1,x\n2," + "y" * 100_000 + "\n3,z\n"
    with small_pieces():
        assert [len(row["b"]) for row in rows_of(put(tmp_path / "rows.csv", content))] == [1, 100_000, 1]


def test_a_csv_of_a_header_alone_has_columns_and_no_rows(tmp_path: Path) -> None:
    ds = rowmill.open(put(tmp_path / "rows.csv", "a,b\n"))
    assert (ds.num_rows, ds.column_names) == (0, ["a", "b"])


# The cache.


def test_a_file_is_converted_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "rows.jsonl", '{"a": 1}\n')
    assert rows_of(path) == [{"a": 1}]
    with monkeypatch.context() as patch:
        patch.setattr(cache, "convert_text", None)
        assert rows_of(path) == [{"a": 1}]
        assert pickle.loads(pickle.dumps(rowmill.open(path))).fetch([0]) == [{"a": 1}]
    before = path.stat()
    put(path, '{"a": 2}\n')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert rows_of(path) == [{"a": 2}]


def test_a_cursor_holds_although_the_cache_was_cleared(tmp_path: Path, home: Path) -> None:
    path = put(tmp_path / "rows.jsonl.gz", gzip.compress(lines_of([{"id": index} for index in range(500)]).encode()))

    def opened() -> rowmill.Dataset:
        return rowmill.open(path).shuffle(3).shard(1, 0).batch(10)

    straight = [batch["id"].tolist() for batch in opened()]
    loader = opened().loader()
    iterator = iter(loader)
    first = [next(iterator)["id"].tolist() for _ in range(20)]
    state = json.loads(json.dumps(loader.state_dict()))
    loader.close()
    shutil.rmtree(home)
    shutil.copy(path, tmp_path / "copy.jsonl.gz")
    path = tmp_path / "copy.jsonl.gz"
    ds = opened()
    ds.load_state_dict(state)
    assert first + [batch["id"].tolist() for batch in ds] == straight


def test_a_conversion_that_lost_a_shard_is_made_again(tmp_path: Path, home: Path) -> None:
    path = put(tmp_path / "rows.jsonl", '{"a": 1}\n')
    rows_of(path)
    next(home.glob("*/part-00000.arrow")).unlink()
    assert rows_of(path) == [{"a": 1}]


def test_a_file_that_changes_meanwhile_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "rows.jsonl", '{"a": 1}\n')
    convert = cache.convert_text

    def slow(files: Any, folder: Any, tell: Any) -> Any:
        made = convert(files, folder, tell)
        put(path, '{"a": 1}\n{"a": 2}\n')
        return made

    monkeypatch.setattr(cache, "convert_text", slow)
    with pytest.raises(rowmill.CorruptShardError, match="changed while it was converted"):
        rowmill.open(path)
    monkeypatch.undo()


def test_a_cache_that_cannot_be_written_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "rows.jsonl", '{"a": 1}\n')
    no_folder = put(tmp_path / "file", "")
    with pytest.raises(rowmill.AccessDeniedError, match="cache_dir or ROWMILL_CACHE"):
        rowmill.open(path, cache_dir=no_folder)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no room left; the converted text files") as caught:
        rowmill.open(path)
    assert caught.value.errno == errno.ENOSPC


OPEN = "import rowmill, sys; ds = rowmill.open(sys.argv[1]); print(ds.fingerprint, ds.num_rows)"


@pytest.mark.processes
def test_processes_that_open_at_once_share_one_conversion(tmp_path: Path, home: Path) -> None:
    path = put(tmp_path / "rows.jsonl", lines_of([{"id": index, "text": "x" * 500} for index in range(20_000)]))
    told = {finish(start("-W", "error", "-c", OPEN, path)) for process in range(1)}
    shutil.rmtree(home)
    several = [start("-W", "error", "-c", OPEN, path) for _ in range(3)]
    assert {finish(process) for process in several} == told
    assert len(list(home.glob("*/conversion.json"))) == 1
    assert list(home.glob("*.part")) == []


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_conversion_leaves_nothing_that_is_read(tmp_path: Path, home: Path) -> None:
    # The last line widens the schema, so that a kill finds the first pass, the search, or the second one.
    rows = [{"id": index, "text": f"{index} " * 200} for index in range(60_000)]
    path = put(tmp_path / "rows.jsonl", lines_of([*rows, {"id": 0.5, "text": "last"}]))
    kills = 0
    for delay in (0.0, 0.05, 0.15, 0.3):
        process = start("-c", OPEN, path)
        until = time.monotonic() + GENEROUS
        while not list(home.glob("*.part/*.arrow")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=GENEROUS)
        kills += bool(list(home.glob("*.part")))
    assert kills
    assert list(home.glob("*/conversion.json")) == []
    # Another file's conversion sweeps up as well.
    assert rows_of(put(tmp_path / "other.jsonl", '{"a": 1}\n')) == [{"a": 1}]
    assert list(home.glob("*.part")) == []
    ds = rowmill.open(path)
    assert (ds.num_rows, ds.fetch([0, 60_000])[1]) == (60_001, {"id": 0.5, "text": "last"})
    assert [shard["num_rows"] for shard in ds._plan.source.rust.shards()] == [60_001]


# Types.


def test_types_unify_or_name_the_field() -> None:
    narrow = pa.struct({"a": pa.list_(pa.null()), "b": pa.int64()})
    wide = pa.struct({"b": pa.float64(), "a": pa.list_(pa.struct({"c": pa.bool_()}))})
    assert unify(narrow, wide) == pa.struct({"a": pa.list_(pa.struct({"c": pa.bool_()})), "b": pa.float64()})
    with pytest.raises(TypeConflict, match=r"x\.b is a text, but a number"):
        unify(narrow, pa.struct({"b": pa.string()}), "x")


def test_json_lines_under_another_name_are_converted_when_told_so(tmp_path: Path) -> None:
    path = put(tmp_path / "rows.arrow", lines_of([{"a": 1}, {"a": 2}]).encode())
    with pytest.raises(rowmill.RowmillError, match=r'looks like JSON, not like Arrow; .*format="jsonl"'):
        rowmill.open(path)
    assert [row["a"] for row in rowmill.open(path, format="jsonl")] == [1, 2]
