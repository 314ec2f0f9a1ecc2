"""Damaged Parquet files: an error of ours that names the file, whatever the bytes say."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mutants import PEAK_BYTES, run_mutants

import rowmill
from rowmill.exceptions import CorruptShardError


def table() -> pa.Table:
    rows = range(300)
    return pa.table(
        {
            "id": pa.array(rows),
            "text": [f"row {row} " * (row % 9) for row in rows],
            "ragged": [[row] * (row % 4) for row in rows],
            "maybe": pa.array([row if row % 3 else None for row in rows], pa.float32()),
            "nested": [{"a": str(row), "b": [1.5] * (row % 3)} if row % 5 else None for row in rows],
        }
    )


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    pq.write_table(table(), tmp_path / "whole.parquet", row_group_size=100)
    return (tmp_path / "whole.parquet").read_bytes()


def refusal(folder: Path, content: bytes) -> str:
    path = folder / "bad.parquet"
    path.write_bytes(content)
    with pytest.raises(rowmill.RowmillError) as caught:
        list(rowmill.open(path, index_dir=folder / "index"))
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kept", [0, 3, 4, 8, 11, 12, 100, -1, -4, -8, -9, -500])
def test_a_file_cut_short(tmp_path: Path, whole: bytes, kept: int) -> None:
    refusal(tmp_path, whole[:kept])


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**32 - 1])
def test_a_footer_that_lies_about_its_length(tmp_path: Path, whole: bytes, length: int) -> None:
    refusal(tmp_path, whole[:-8] + struct.pack("<I", length) + whole[-4:])


def test_an_encrypted_footer_is_named_as_such(tmp_path: Path, whole: bytes) -> None:
    assert "encrypted" in refusal(tmp_path, b"PARE" + whole[4:-4] + b"PARE")


def test_a_damaged_page_names_column_and_block(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(table(), path, row_group_size=100, write_page_checksum=True)
    column = pq.ParquetFile(path).metadata.row_group(1).column(1)
    content = bytearray(path.read_bytes())
    content[column.dictionary_page_offset + column.total_compressed_size // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    opened = rowmill.open(path, index_dir=tmp_path / "index")
    with pytest.raises(CorruptShardError, match='column "text"') as caught:
        list(opened)
    assert caught.value.block == 1
    # The other row groups can still be had.
    kept = rowmill.open(path, index_dir=tmp_path / "index", on_error="skip")
    assert [row["id"] for row in kept] == [*range(100), *range(200, 300)]


def test_a_file_without_columns_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({}), tmp_path / "x.parquet")
    with pytest.raises(rowmill.RowmillError, match="no columns"):
        rowmill.open(tmp_path / "x.parquet", index_dir=tmp_path / "index")


_SCRIPT = """
import random, resource, sys, time, warnings
sys.path[:] = {path!r}
import rowmill

sources, folder, seed, number = sys.argv[1].split(","), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
warnings.simplefilter("ignore")

def mutant(chooser, whole):
    content = bytearray(whole)
    kind = chooser.randrange(6)
    if kind == 0:
        del content[chooser.randrange(len(content)):]
    elif kind in (1, 2):
        for _ in range(kind):
            content[chooser.randrange(len(content))] ^= 1 << chooser.randrange(8)
    elif kind == 3:
        # The footer holds the numbers that hurt.
        length = int.from_bytes(whole[-8:-4], "little")
        at = len(content) - 8 - chooser.randrange(1, length + 1)
        content[at] = chooser.randrange(256)
    elif kind == 4:
        length = int.from_bytes(whole[-8:-4], "little")
        at = len(content) - 8 - chooser.randrange(1, length + 1)
        width = min(chooser.choice([4, 9]), len(content) - 8 - at)
        content[at:at + width] = b"\\xff" * (width - 1) + b"\\x01"
    else:
        at = chooser.randrange(4, len(content) - 12)
        content[at:at + 4] = bytes([chooser.choice([0, 0x7F, 0xFF])]) * 4
    return bytes(content)

outcomes, slowest = {{}}, 0
for index in range(number):
    chooser = random.Random(seed * 1_000_003 + index)
    whole = open(chooser.choice(sources), "rb").read()
    path = f"{{folder}}/mutant-{{index % 3}}.parquet"
    with open(path, "wb") as out:
        out.write(mutant(chooser, whole))
    began = time.monotonic()
    for io in ("mmap", "read"):
        try:
            ds = rowmill.open(path, index_dir=folder)
            sum(1 for _ in ds.loader(io=io, num_threads=1))
            outcome = "rows"
        except rowmill.RowmillError as error:
            outcome = type(error).__name__
            assert str(error)
        except BaseException as error:
            print("seed", seed, "mutant", index, io, type(error).__name__, error)
            outcome = "bad"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    slowest = max(slowest, time.monotonic() - began)
print("slowest", slowest)
print("outcomes", outcomes)
print("peak", peak_bytes())
"""

SHAPES = {
    "plain": {"row_group_size": 100, "compression": "none", "use_dictionary": False},
    "snappy": {"row_group_size": 100, "write_page_index": True},
    "zstd-2.0": {"row_group_size": 300, "compression": "zstd", "data_page_version": "2.0"},
    "delta": {
        "use_dictionary": False,
        "column_encoding": {"id": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY"},
        "compression": "lz4",
    },
}
NUM_MUTANTS = 250


@pytest.mark.parametrize("shape", list(SHAPES))
def test_mutants_give_rows_or_an_error_of_ours(tmp_path: Path, shape: str) -> None:
    source, folder = tmp_path / "whole.parquet", tmp_path / "mutants"
    pq.write_table(table(), source, **SHAPES[shape])
    folder.mkdir()
    path = [entry for entry in sys.path if entry]
    seed = str(list(SHAPES).index(shape))
    run = run_mutants(PEAK_BYTES + _SCRIPT.format(path=path), source, folder, seed, NUM_MUTANTS, timeout=150)
    assert sum(run.outcomes.values()) == 2 * NUM_MUTANTS
    assert run.outcomes.get("CorruptShardError", 0) > 10
    assert float(run.lines[-3].removeprefix("slowest ")) < 20
    assert run.peak < 1 << 30


def test_a_footer_of_no_rows_over_data_is_no_empty_dataset(tmp_path: Path) -> None:
    # Counts are zigzag numbers behind a field's header; the values' own counts go with those of the rows.
    pq.write_table(pa.table({"x": [f"{row:030}" for row in range(200)]}), tmp_path / "x.parquet", row_group_size=100)
    whole = (tmp_path / "x.parquet").read_bytes()
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    footer = whole[start:].replace(b"\x16\x90\x03", b"\x16\x80\x00").replace(b"\x16\xc8\x01", b"\x16\x80\x00")
    (tmp_path / "y.parquet").write_bytes(whole[:start] + footer)
    assert pq.ParquetFile(tmp_path / "y.parquet").metadata.num_rows == 0
    text = refusal(tmp_path, whole[:start] + footer)
    assert "row group 0" in text


def test_a_damaged_page_is_told_of_in_one_sentence(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": list(range(1000))}), tmp_path / "x.parquet", use_dictionary=False, compression="none")
    content = bytearray((tmp_path / "x.parquet").read_bytes())
    content[4:12] = b"\xff" * 8
    text = refusal(tmp_path, bytes(content))
    assert not any(word in text for word in ("External", "Parquet error", "\n")), text


def test_a_damaged_arrow_footer_is_told_of_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    with pa.ipc.new_file(path, table().schema) as writer:
        writer.write_table(table())
    content = bytearray(path.read_bytes())
    content[-40:-10] = b"\xff" * 30
    path.write_bytes(bytes(content))
    with pytest.raises(rowmill.RowmillError) as caught:
        rowmill.open(path, index_dir=tmp_path / "index")
    assert "\n" not in str(caught.value)
