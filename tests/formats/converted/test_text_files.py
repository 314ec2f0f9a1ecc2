"""Which files are text, and which of them are one dataset."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from formats.converted.texts import lines_of, put, rows_of

import rowmill


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


def test_files_in_folders_of_a_folder_are_not_left_out_without_a_word(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("a", "de/1", "de/2", "fr/old/3", ".cache/x", "_temporary/x", "k.part/x", "own/x"):
        put(folder / f"{name}.jsonl", '{"a": 1}\n')
    put(folder / "own" / "dataset.json", "{}")
    put(folder / "de" / "notes.json", "{}")
    with pytest.warns(UserWarning, match=r"in folders in it: 2 in de, 1 in fr/old; name .*data/\*\*/\*\.jsonl$"):
        assert rowmill.open(folder).num_rows == 1
    assert rowmill.open([folder, folder / "de", folder / "fr/old"]).num_rows == 4


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_shards_in_folders_of_a_folder_are_not_left_out_without_a_word(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data"
    rowmill.convert(put(tmp_path / "rows.jsonl", lines_of([{"a": 1}])), tmp_path / "out", to=name, num_shards=1)
    shard = next((tmp_path / "out").glob(f"*.{name}")).read_bytes()
    for place in ("a", "k=1/b", "more/c", ".cache/x", "cache/converted/x"):
        put(folder / f"{place}.{name}", shard)
    put(folder / "cache/converted/conversion.json", "{}")
    left_out = "1 *.parquet in more" if name == "parquet" else "1 *.arrow in k=1, 1 *.arrow in more"
    with pytest.warns(UserWarning, match=re.escape(f"in folders in it: {left_out}; name these")):
        assert rowmill.open(folder).num_rows == (2 if name == "parquet" else 1)


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


def test_json_lines_under_another_name_are_converted_when_told_so(tmp_path: Path) -> None:
    path = put(tmp_path / "rows.arrow", lines_of([{"a": 1}, {"a": 2}]).encode())
    with pytest.raises(rowmill.RowmillError, match=r'looks like JSON, not like Arrow; .*format="jsonl"'):
        rowmill.open(path)
    assert [row["a"] for row in rowmill.open(path, format="jsonl")] == [1, 2]
