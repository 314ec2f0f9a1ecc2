"""CSV and TSV: the first row names the columns, all their values decide the types."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from formats.converted.texts import PACKERS, put, rows_of, small_pieces

import rowmill


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
