"""Token files of other trainers: read as they lie, in rowmill's order, and never trusted."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rowmill

CODES = {"u1": 1, "i1": 2, "i2": 3, "i4": 4, "i8": 5, "u2": 8}
PIECE = 2048


def megatron(
    prefix: Path, made: list[list[list[int]]], dtype: str = "u2", *, modes: bool = False, **changed: Any
) -> Path:
    """Writes documents of sequences by Megatron-LM's layout; ``changed`` replaces parts of the index."""
    sequences = [sequence for document in made for sequence in document]
    sizes = np.array([len(sequence) for sequence in sequences], "<i4")
    ends = np.cumsum(sizes, dtype="<i8")
    starts = np.cumsum([0, *(len(document) for document in made)], dtype="<i8")
    parts = {
        "magic": b"MMIDIDX\x00\x00",
        "version": struct.pack("<Q", 1),
        "code": struct.pack("<B", CODES[dtype]),
        "counts": struct.pack("<QQ", len(sequences), len(starts)),
        "sizes": sizes.tobytes(),
        "pointers": ((ends - sizes) * np.dtype(dtype).itemsize).astype("<i8").tobytes(),
        "documents": starts.tobytes(),
        "modes": bytes(len(sequences)) if modes else b"",
    }
    prefix.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{prefix}.idx").write_bytes(b"".join({**parts, **changed}.values()))
    flat = np.array([token for sequence in sequences for token in sequence], dtype)
    Path(f"{prefix}.bin").write_bytes(flat.tobytes())
    return prefix


def llmc(path: Path, ids: list[int], dtype: str = "u2", count: int | None = None, version: int | None = None) -> Path:
    magic, known = {"u2": (20240520, 1), "u4": (20240801, 7)}[dtype]
    header = np.zeros(256, "<i4")
    header[:3] = magic, known if version is None else version, len(ids) if count is None else count
    path.write_bytes(header.tobytes() + np.array(ids, dtype).tobytes())
    return path


def ids_of(ds: rowmill.Dataset) -> list[list[int]]:
    return [[int(token) for token in row["input_ids"]] for row in ds.shard(1, 0)]


def documents(seed: int, number: int = 300) -> list[list[list[int]]]:
    chooser = random.Random(seed)
    return [
        [
            [chooser.randrange(100) for _ in range(chooser.choice([0, 1, 5, 40]))]
            for _ in range(chooser.choice([0, 1, 1, 3]))
        ]
        for _ in range(number)
    ]


def joined(made: list[list[list[int]]]) -> list[list[int]]:
    return [[token for sequence in document for token in sequence] for document in made]


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("io", ["mmap", "read", "direct"])
def test_megatron_rows_are_documents_in_every_type_and_way(tmp_path: Path, dtype: str, io: Any) -> None:
    made = documents(1)
    prefix = megatron(tmp_path / "data" / "text_document", made, dtype, modes=dtype == "i8")
    for path in (prefix, Path(f"{prefix}.idx"), Path(f"{prefix}.bin"), tmp_path / "data", f"{tmp_path}/data/*.bin"):
        ds = rowmill.open(path)
        assert ds.num_rows == len(made)
        with ds.shard(1, 0).loader(io=io) as rows:
            assert [[int(token) for token in row["input_ids"]] for row in rows] == joined(made)
    assert rowmill.open(prefix, format="megatron").describe()["formats"]
    shuffled = rowmill.open(prefix).shuffle(5)
    order = shuffled.shard(1, 0).row_ids(0, len(made))
    assert ids_of(shuffled) == [joined(made)[row] for row in order]


def test_many_blocks_and_shards_are_one_stream(tmp_path: Path) -> None:
    chooser = np.random.default_rng(3)
    shards = [[[list(chooser.integers(0, 50_000, 1500))] for _ in range(900)], [], [[[7]], [[]]]]
    for index, made in enumerate(shards):
        megatron(tmp_path / f"part-{index}", made)
    ds = rowmill.open(tmp_path)
    assert ds.describe()["num_shards"] == 3
    whole = [document for made in shards for document in joined(made)]
    assert ids_of(ds) == whole
    packed = ds.pack(512, labels=None).shard(1, 0)
    flat = [token for document in whole for token in document]
    stream = [int(token) for sample in packed for token in sample["input_ids"]]
    assert stream[: len(flat)] == flat


def test_streams_are_pieces_that_pack_makes_sequences_of(tmp_path: Path) -> None:
    ids = [int(token) for token in np.random.default_rng(1).integers(0, 65_536, 300 * PIECE + 77)]
    llmc(tmp_path / "a.bin", ids)
    np.array(ids, "u2").tofile(tmp_path / "bare.bin")
    for ds in (rowmill.open(tmp_path / "a.bin"), rowmill.open(tmp_path / "bare.bin", format="nanogpt")):
        rows = ids_of(ds)
        assert [len(row) for row in rows] == [PIECE] * 300 + [77]
        assert [token for row in rows for token in row] == ids
        packed = [int(token) for sample in ds.pack(640, labels=None).shard(1, 0) for token in sample["input_ids"]]
        assert packed[: len(ids)] == ids
    wide = [token + 70_000 for token in ids[:5000]]
    assert [token for row in ids_of(rowmill.open(llmc(tmp_path / "w.bin", wide, "u4"))) for token in row] == wide


def test_what_rowmill_writes_it_reads(tmp_path: Path) -> None:
    rowmill.demo.write_shards(tmp_path / "text", num_shards=2)
    expected = ids_of(rowmill.open(tmp_path / "text").tokenize("bytes"))
    rowmill.tokenize(tmp_path / "text", tmp_path / "m", tokenizer="bytes", format="megatron", num_shards=3)
    assert ids_of(rowmill.open(tmp_path / "m")) == expected
    for to in ("nanogpt", "llmc"):
        rowmill.tokenize(tmp_path / "text", tmp_path / to, tokenizer="bytes", format=to)  # type: ignore[arg-type]
        whole = rowmill.open(tmp_path / to, format="nanogpt")
        flat = [token for row in ids_of(whole) for token in row]
        # The folder's note tells what a bare stream is, to a folder, its files and a glob alike.
        for told in (tmp_path / to, sorted((tmp_path / to).glob("*.bin")), f"{tmp_path / to}/*.bin"):
            assert rowmill.open(told).fingerprint == whole.fingerprint
        assert flat == [token for document in expected for token in document]


@pytest.mark.parametrize("to", ["nanogpt", "llmc"])
def test_a_folder_whose_files_are_not_as_its_note_says_is_a_typed_error(tmp_path: Path, to: Any) -> None:
    rowmill.demo.write_shards(tmp_path / "text", num_shards=2)
    rowmill.tokenize(tmp_path / "text", tmp_path / "ids", tokenizer="bytes", format=to, num_shards=3)
    first, second, third = sorted((tmp_path / "ids").glob("*.bin"))
    whole = second.read_bytes()
    for damaged in (whole[:-2], whole + b"\0\0"):
        second.write_bytes(damaged)
        for paths in (tmp_path / "ids", [second], f"{tmp_path / 'ids'}/*.bin"):
            for format in (None, to if to == "nanogpt" else None):
                with pytest.raises(rowmill.CorruptShardError, match=r"dataset\.json beside it says") as caught:
                    rowmill.open(paths, format=format)
                assert caught.value.path == str(second)
    # A file that is right says nothing of others that are not asked for.
    assert rowmill.open([first, third]).num_rows > 0
    second.unlink()
    with pytest.raises(rowmill.MissingShardError, match="lists it"):
        rowmill.open(tmp_path / "ids")
    second.write_bytes(whole)
    assert rowmill.open(tmp_path / "ids").num_rows > 0


def test_a_bare_stream_is_read_only_where_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "train.bin"
    np.arange(5000, dtype="u2").tofile(path)
    for _ in range(2):
        with pytest.raises(rowmill.RowmillError, match='say format="nanogpt"'):
            rowmill.open(path)
        # And not because an index knows it from before.
        assert rowmill.open(path, format="nanogpt").num_rows == 3
    with pytest.raises(rowmill.RowmillError, match="nothing in the file tells"):
        rowmill.open(path, format="megatron")
    (tmp_path / "odd.bin").write_bytes(b"abc")
    with pytest.raises(rowmill.CorruptShardError, match="3 bytes are no stream of 16-bit tokens"):
        rowmill.open(tmp_path / "odd.bin", format="nanogpt")


ONE = [[[1, 2, 3]], [[4, 5]]]
LIES = [
    ({"version": struct.pack("<Q", 2)}, "version 2"),
    ({"code": b"\x06"}, "floating point"),
    ({"code": b"\x77"}, "type 119"),
    ({"counts": struct.pack("<QQ", 1 << 62, 3)}, "is not the place"),
    ({"counts": struct.pack("<QQ", 2, 1 << 61)}, "is not the place"),
    ({"counts": struct.pack("<QQ", 2, 0)}, "is not the place"),
    ({"sizes": struct.pack("<ii", -3, 2)}, "sequence 0 has -3 tokens"),
    ({"sizes": struct.pack("<ii", 3, 1 << 30)}, "sequence 1 has 1073741824 tokens"),
    ({"sizes": struct.pack("<ii", 3, 1)}, "tells of 8 bytes, and it has 10"),
    ({"pointers": struct.pack("<qq", 0, 4)}, "sequence 1 has 2 tokens at byte 4"),
    ({"pointers": struct.pack("<qq", 0, -6)}, "sequence 1"),
    ({"documents": struct.pack("<qqq", 0, 5, 2)}, "document 0 does not begin|ends behind"),
    ({"documents": struct.pack("<qqq", 1, 1, 2)}, "document 0"),
    ({"documents": struct.pack("<qqq", 0, 1, 1)}, "document 2"),
    ({"documents": struct.pack("<qqq", 0, -1, 2)}, "document 0"),
]


@pytest.mark.parametrize(("changed", "told"), LIES)
def test_an_index_that_lies_is_a_typed_error(tmp_path: Path, changed: dict[str, bytes], told: str) -> None:
    with pytest.raises(rowmill.RowmillError, match=told) as caught:
        rowmill.open(megatron(tmp_path / "x", ONE, **changed))
    assert "x." in str(caught.value)


def test_headers_and_files_that_do_not_agree_are_typed_errors(tmp_path: Path) -> None:
    for count in (6, 4, -1, 1 << 30):
        with pytest.raises(rowmill.CorruptShardError, match="counts") as caught:
            rowmill.open(llmc(tmp_path / "a.bin", [1, 2, 3, 4, 5], count=count))
        assert caught.value.offset == 8
    with pytest.raises(rowmill.RowmillError, match="version 9"):
        rowmill.open(llmc(tmp_path / "a.bin", [1], version=9))
    prefix = megatron(tmp_path / "x", ONE)
    Path(f"{prefix}.bin").unlink()
    with pytest.raises(rowmill.MissingShardError):
        rowmill.open(prefix)


def test_an_index_that_is_written_over_or_lost_is_noticed(tmp_path: Path) -> None:
    prefix = megatron(tmp_path / "x", ONE)
    ds = rowmill.open(prefix)
    megatron(tmp_path / "other", [[[1]], [[2, 3, 4, 5]]])
    Path(f"{prefix}.idx").write_bytes((tmp_path / "other.idx").read_bytes())
    assert ids_of(ds) == [[1], [2, 3, 4, 5]] or ids_of(ds) == [[1, 2, 3], [4, 5]]
    later = rowmill.open(megatron(tmp_path / "y", ONE))
    megatron(tmp_path / "other", [[[1, 2, 3, 4, 5]]])
    (tmp_path / "y.idx").write_bytes((tmp_path / "other.idx").read_bytes())
    with pytest.raises(rowmill.CorruptShardError, match="other documents were indexed"):
        ids_of(later)
    (tmp_path / "y.idx").unlink()
    with pytest.raises(rowmill.MissingShardError, match="where the documents of"):
        ids_of(later)


def test_mutants_are_rows_or_typed_errors(tmp_path: Path) -> None:
    made = documents(2, 40)
    prefix = megatron(tmp_path / "whole", made)
    index, ids = Path(f"{prefix}.idx").read_bytes(), Path(f"{prefix}.bin").read_bytes()
    chooser, outcomes = random.Random(0), {"rows": 0, "refused": 0}
    for number in range(300):
        mutant = bytearray(index)
        for _ in range(chooser.choice([1, 2, 8])):
            place = chooser.choice([chooser.randrange(34), chooser.randrange(len(mutant))])
            mutant[place] = chooser.choice([0, 1, 0x7F, 0xFF, chooser.randrange(256)])
        if chooser.random() < 0.2:
            del mutant[chooser.randrange(len(mutant)) :]
        path = tmp_path / f"m{number}"
        Path(f"{path}.idx").write_bytes(mutant)
        Path(f"{path}.bin").write_bytes(ids if chooser.random() < 0.8 else ids[: chooser.randrange(len(ids))])
        try:
            ids_of(rowmill.open(f"{path}.bin"))
            outcomes["rows"] += 1
        except rowmill.RowmillError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0, outcomes
