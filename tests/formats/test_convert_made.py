"""rowmill.convert of rows that Python functions make: what is written is what the dataset yields."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import rowmill

FORMATS = ["arrow", "parquet", "webdataset"]


def numbers(folder: Path, count: int = 2500) -> rowmill.Dataset:
    pq.write_table(pa.table({"a": range(count), "b": [None] * count}), folder / "a.parquet")
    return rowmill.open(folder / "a.parquet")


def samples(folder: Path, *members: dict[str, bytes]) -> rowmill.Dataset:
    with tarfile.open(folder / "a.tar", "w") as tar:
        for index, sample in enumerate(members):
            for extension, content in sample.items():
                info = tarfile.TarInfo(f"{index}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return rowmill.open(folder / "a.tar")


def picture() -> bytes:
    out = io.BytesIO()
    pytest.importorskip("PIL.Image").new("RGB", (2, 2)).save(out, "PNG")
    return out.getvalue()


def read_back(folder: Path, to: str) -> list[dict[str, Any]]:
    made = rowmill.open(folder)
    return list(made.decode().select_columns("json").map(lambda row: row["json"]) if to == "webdataset" else made)


@pytest.mark.parametrize("to", FORMATS)
def test_what_a_map_returns_is_written(tmp_path: Path, to: Any) -> None:
    mapped = numbers(tmp_path).map(lambda row: {"a": row["a"] / 2, "z": [row["a"]]}).select_columns(["z", "a"])
    made = rowmill.convert(mapped, tmp_path / "out", to=to, num_shards=3)
    assert made["schema"] == {"z": "list<item: int64>", "a": "double"}
    rows = read_back(tmp_path / "out", to)
    assert [{name: row[name] for name in ("z", "a")} for row in rows] == list(mapped)


def test_numbers_made_texts_stay_texts(tmp_path: Path) -> None:
    mapped = numbers(tmp_path, 3).map(lambda row: {"a": str(row["a"])})
    rowmill.convert(mapped, tmp_path / "out", to="parquet", num_shards=1)
    assert pq.read_table(tmp_path / "out" / "shard-000000.parquet").to_pylist() == list(mapped)


def test_rows_that_change_their_type_are_refused(tmp_path: Path) -> None:
    mapped = numbers(tmp_path).map(lambda row: {"a": row["a"] if row["a"] < 2000 else str(row["a"])})
    with pytest.raises(rowmill.exceptions.SchemaMismatchError, match="the same types for every row"):
        rowmill.convert(mapped, tmp_path / "out", to="parquet")


def test_decoded_samples_are_written(tmp_path: Path) -> None:
    decoded = samples(tmp_path, {"cls": b"7", "txt": b"one"}, {"cls": b"8", "txt": b"two"}).decode()
    rowmill.convert(decoded, tmp_path / "out", to="parquet", num_shards=1)
    rows = pq.read_table(tmp_path / "out" / "shard-000000.parquet").to_pylist()
    assert [(row["cls"], row["txt"]) for row in rows] == [(7, "one"), (8, "two")]


def test_what_arrow_has_no_type_for_is_named_with_the_remedy(tmp_path: Path) -> None:
    decoded = samples(tmp_path, {"cls": b"7", "png": picture()}, {"cls": b"8", "png": picture()}).decode()
    for fails in (
        lambda: rowmill.convert(decoded, tmp_path / "out", to="parquet"),
        lambda: next(iter(decoded.with_format("arrow"))),
        lambda: list(decoded.filter(pc.field("png") == 1)),
    ):
        with pytest.raises(rowmill.exceptions.SchemaMismatchError, match=r"column 'png' .* select_columns"):
            fails()
    assert [row["cls"] for row in decoded.filter(pc.field("cls") == 8)] == [8]


def test_numbers_are_keys_of_samples(tmp_path: Path) -> None:
    pq.write_table(pa.table({"__key__": [3, 5], "txt": ["a", "b"]}), tmp_path / "k.parquet")
    rowmill.convert(tmp_path / "k.parquet", tmp_path / "out", to="webdataset", num_shards=1)
    assert [(row["__key__"], row["txt"]) for row in rowmill.open(tmp_path / "out")] == [("3", b"a"), ("5", b"b")]
