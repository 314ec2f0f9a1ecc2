"""Text that is not what it promises: a typed error that names the line, and nothing left behind."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from formats.converted.texts import put, small_pieces
from processes.launch import finish, start

import rowmill
from rowmill.conversion.sanity import is_shallow

MUTANTS = Path(__file__).parent / "mutants.py"
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
