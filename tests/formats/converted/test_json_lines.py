"""JSON lines: the rows are what the lines say, whatever the container and the chunks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from formats.converted.texts import PACKERS, lines_of, put, rows_of, small_pieces
from hypothesis import given
from hypothesis import strategies as st

import rowmill
from rowmill.conversion import json_lines, shard_writer
from rowmill.conversion.json_types import TypeConflict, unify
from rowmill.conversion.kinds import sniff


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


def test_a_line_longer_than_a_chunk_is_a_row(tmp_path: Path) -> None:
    rows = [{"t": "x" * size} for size in (10, 5000, 3, 70_000, 1)]
    with small_pieces(128):
        assert rows_of(put(tmp_path / "rows.jsonl", lines_of(rows))) == rows


def test_types_unify_or_name_the_field() -> None:
    narrow = pa.struct({"a": pa.list_(pa.null()), "b": pa.int64()})
    wide = pa.struct({"b": pa.float64(), "a": pa.list_(pa.struct({"c": pa.bool_()}))})
    assert unify(narrow, wide) == pa.struct({"a": pa.list_(pa.struct({"c": pa.bool_()})), "b": pa.float64()})
    with pytest.raises(TypeConflict, match=r"x\.b is a text, but a number"):
        unify(narrow, pa.struct({"b": pa.string()}), "x")


@pytest.mark.parametrize("value", ["{}", "[{}]", '{{"b": [{}]}}'])
@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "1e400"])
def test_a_number_that_no_double_holds_is_refused_by_its_line(number: str, value: str, tmp_path: Path) -> None:
    lines = [f'{{"a": {value.format(one)}}}' for one in ("1", "1.5", "9" * 300, number)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(rowmill.CorruptShardError, match=r"line 4: cannot be read: .*double"):
        list(rowmill.open(tmp_path / "a.jsonl"))
    (tmp_path / "b.jsonl").write_text("\n".join(lines[:3]))
    assert len(list(rowmill.open(tmp_path / "b.jsonl"))) == 3
