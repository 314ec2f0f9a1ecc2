"""Text that is not what it promises: a typed error that names the line, and nothing left behind."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from formats.converted.texts import put, small_pieces
from hypothesis import given
from hypothesis import strategies as st
from processes.launch import finish, start

import rowmill
from rowmill.conversion.sanity import is_shallow

MUTANTS = Path(__file__).parent / "mutants.py"
BAD_LINES = {
    "syntax": (b'{"a": oops}', rowmill.CorruptShardError, "not JSON"),
    "a list": (b"[1]", rowmill.CorruptShardError, "this is a list"),
    "null": (b"null", rowmill.CorruptShardError, "this is null"),
    "null and more": (b'null "x"', rowmill.CorruptShardError, "not JSON"),
    "over lines": (b'{\n"a": 1}', rowmill.CorruptShardError, "not JSON: the line ends within an object"),
    "over lines that begin objects": (b'{"o":\n{"p": [1]}}', rowmill.CorruptShardError, "ends within an object.*jq -c"),
    "over lines that hold objects": (b'{"o": {"p": [1]}\n}', rowmill.CorruptShardError, "ends within an object"),
    "two": (b'{"a": 1}{"a": 2}', rowmill.CorruptShardError, "more than one object; write each on a line of its own"),
    "two with spaces": (b'{"a": 1} \t{"a": 2}  ', rowmill.CorruptShardError, "more than one object"),
    "two old lines": (b'{"a": 1}\r{"a": 2}\r', rowmill.CorruptShardError, "more than one object"),
    "one and garbage": (b'{"a": 1}, {"a": 2}', rowmill.CorruptShardError, "not JSON: Extra data at column 9"),
    "one and zeros": (b'{"a": 1}\0\0', rowmill.CorruptShardError, "not JSON: Extra data at column 9"),
    "zeros": (b"\0" * 40, rowmill.CorruptShardError, "not JSON"),
    "a form feed": (b"\x0c", rowmill.CorruptShardError, "not JSON"),
    "a huge number": (b'{"a": 1e999}', rowmill.CorruptShardError, "cannot be read: Number too big"),
    "half a pair": (b'{"t": "\\ud800"}', rowmill.CorruptShardError, "cannot be read: The surrogate pair"),
    "a list of two types": (
        b'{"l": [{"m": 1}, {"m": ""}]}',
        rowmill.SchemaMismatchError,
        r"l\[\]\.m is a text, but a n",
    ),
    "deep": (
        b'{"d": ' + b"[" * 300 + b"]" * 300 + b"}",
        rowmill.CorruptShardError,
        "nested too deep, by more than 200",
    ),
    "too deep for Arrow": (
        b'{"d": ' + b"[" * 90 + b"]" * 90 + b"}",
        rowmill.SchemaMismatchError,
        "more than 60 levels",
    ),
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


ALONE = sorted(name for name in BAD_LINES if not name.startswith("another"))


@given(
    good=st.lists(
        st.sampled_from(['{"a": 1}', '{"a": 2.5, "t": "x"}', '{"o": {"p": [1]}}', "", "  ", "{}"]), max_size=60
    ),
    bad=st.lists(st.sampled_from(ALONE), min_size=1, max_size=3),
    places=st.lists(st.integers(0, 60), min_size=3, max_size=3),
    end=st.sampled_from([b"\n", b"\r\n"]),
    size=st.integers(8, 400),
    early=st.integers(1, 500),
)
def test_the_first_bad_line_is_named_wherever_the_cuts_are(
    tmp_path_factory: pytest.TempPathFactory,
    good: list[str],
    bad: list[str],
    places: list[int],
    end: bytes,
    size: int,
    early: int,
) -> None:
    lines = [line.encode() for line in good]
    for name, place in zip(bad, sorted(places, reverse=True), strict=False):
        lines.insert(place, BAD_LINES[name][0])
    worst = {BAD_LINES[name][0]: name for name in bad}
    first = next(index for index, line in enumerate(lines) if line in worst)
    path = put(tmp_path_factory.mktemp("bad") / "rows.jsonl", end.join(lines))
    _, error, text = BAD_LINES[worst[lines[first]]]
    with small_pieces(size, early), pytest.raises(error, match=f"line {first + 1}: .*{text}") as caught:
        rowmill.open(path)
    assert caught.value.offset == sum(len(line) + len(end) for line in lines[:first])


@given(
    rows=st.lists(st.sampled_from(['{"a": 1}', "{}", '{"b": [{"c": "}{"}]}']), min_size=2, max_size=40),
    gaps=st.lists(st.sampled_from(["\n", "\r\n", " \n\n", "\n", "", " ", "\r"]), min_size=40, max_size=40),
    spread=st.booleans(),
    size=st.integers(8, 400),
)
def test_a_line_is_a_row_or_an_error_although_the_parser_does_not_mind(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str], gaps: list[str], spread: bool, size: int
) -> None:
    if spread:
        rows = [*rows[:-1], rows[-1].replace('"c": ', '"c": \n')]
    text = "".join(row + gap for row, gap in zip(rows, gaps, strict=False))
    lines = text.split("\n")
    is_row = [line.strip() in ("", *rows) for line in lines]
    path = put(tmp_path_factory.mktemp("lines") / "rows.jsonl", text)
    with small_pieces(size):
        if all(is_row):
            assert rowmill.open(path).num_rows == len(rows)
        else:
            with pytest.raises(rowmill.CorruptShardError, match=rf"line {is_row.index(False) + 1}: .*jq -c"):
                rowmill.open(path)


def test_a_field_too_many_is_named(tmp_path: Path) -> None:
    text = '{"a": 1}\n' * 3 + json.dumps({f"field{index}": 0 for index in range(10_001)}) + '\n{"a": 1}\n'
    with pytest.raises(rowmill.SchemaMismatchError, match="line 4: the objects have more than 10,000 different fields"):
        rowmill.open(put(tmp_path / "rows.jsonl", text))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_place_of_a_bad_line_counts_the_byte_order_mark(tmp_path: Path, mark: bytes) -> None:
    path = put(tmp_path / "rows.jsonl", mark + b'{"a": 1}\n{"a": ]\n')
    with pytest.raises(rowmill.CorruptShardError, match="line 2: not JSON") as caught:
        rowmill.open(path)
    assert caught.value.offset == len(mark) + 9


def test_spaces_behind_objects_are_no_matter(tmp_path: Path) -> None:
    text = "".join('{"a": 1}' + " \t\r"[index % 3] * index + "\n" for index in range(100))
    assert rowmill.open(put(tmp_path / "rows.jsonl", text)).num_rows == 100


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
@pytest.mark.parametrize("first", range(0, 1000, 250))
def test_a_thousand_mutants_are_rows_or_typed_errors(first: int) -> None:
    # In a process of their own: what ends it ends no test but this one.
    told = finish(start("-W", "error", MUTANTS, first, first + 250)).splitlines()[-1].split()
    assert int(told[1]) > 12
    assert int(told[3]) > 125


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
