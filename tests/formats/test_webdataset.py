"""WebDataset tars: what other writers wrote comes back equal, under the same order, partition and resume laws."""

from __future__ import annotations

import gc
import io
import itertools
import os
import re
import tarfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shards import copy, flat, through_json

import rowmill

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
Member = tuple[str, bytes]


def write(path: Path, members: Iterable[Member], format: int = tarfile.GNU_FORMAT, mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=format) as tar:
        for name, value in members:
            info = tarfile.TarInfo(name)
            info.size = len(value)
            tar.addfile(info, io.BytesIO(value))
    return path


def samples(start: int, stop: int) -> list[Member]:
    """Three members a sample; all of it follows from its number."""
    return flat(
        [
            (f"{index:06}.txt", f"text {index} ".encode() * (index % 7)),
            (f"{index:06}.cls", str(index).encode()),
            (f"{index:06}.bin", bytes([index % 256]) * (index * 37 % 3000)),
        ]
        for index in range(start, stop)
    )


def write_shards(folder: Path, sizes: Iterable[int] = (130, 0, 61, 9)) -> list[Path]:
    bounds = list(itertools.accumulate(sizes, initial=0))
    return [
        write(folder / f"shard-{number}.tar", samples(start, stop))
        for number, (start, stop) in enumerate(itertools.pairwise(bounds))
    ]


def open_all(folder: Path) -> rowmill.Dataset:
    return rowmill.open(folder, index_dir=folder)


def grouped(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """What Python's tarfile and WebDataset's rule make of archives."""
    found: list[dict[str, Any]] = []
    for path in paths:
        current = None
        with tarfile.open(path) as tar:
            for member in tar:
                split = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", member.name)
                if not member.isreg() or split is None:
                    continue
                if current is None or split[1] != current["__key__"]:
                    current = {"__key__": split[1]}
                    found.append(current)
                file = tar.extractfile(member)
                assert file is not None
                current[split[2].lower()] = file.read()
    return found


def present(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the columns that a sample lacks, as WebDataset gives them."""
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def numbers(rows: Iterable[dict[str, Any]]) -> list[int]:
    return [int(row["cls"]) for row in rows]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(tmp_path)
    return tmp_path


# What other writers wrote.


@pytest.mark.parametrize("format", FORMATS)
def test_tarfile_in_each_of_its_formats_is_read_back_equal(tmp_path: Path, format: str) -> None:
    long = "/".join(["folder" * 3] * 5)
    members = [
        ("plain.txt", b"1"),
        ("plain.SEG.png", b"2" * 5000),
        ("dir/größe 数.json", b"{}"),
        (f"{long}/name.txt", b"long by a prefix"),
        ("a/./b/../../../etc/passwd.txt", b"a name is only a key"),
        ("/absolute.txt", b"too"),
        ("empty.cls", b""),
    ]
    if format != "ustar":
        members.append(("n" * 300 + ".txt", b"longer than any header"))
    path = write(tmp_path / "a.tar", members, FORMATS[format])
    assert present(open_all(tmp_path)) == grouped([path])
    assert {entry.name for entry in tmp_path.iterdir() if entry.suffix != ".rmi"} >= {"a.tar"}


def test_webdatasets_own_writer_and_loader_agree_with_us(tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")
    for shard in range(3):
        with wds.TarWriter(str(tmp_path / f"shard-{shard}.tar")) as sink:
            for index in range(20):
                sink.write(
                    {"__key__": f"dir/{shard}{index:03}", "txt": f"text {index}", "cls": index, "jpg": b"x" * index}
                )
    paths = [str(path) for path in sorted(tmp_path.glob("*.tar"))]
    with warnings.catch_warnings():
        # It leaves its files to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        theirs = [
            {name: value for name, value in sample.items() if name not in ("__url__", "__local_path__")}
            for sample in wds.WebDataset(paths, shardshuffle=False)
        ]
        gc.collect()
    assert list(open_all(tmp_path)) == theirs


_names = st.text(st.sampled_from("aB./_ü\n"), max_size=7) | st.from_regex(r"\A(d\.d/|d/)?[ab]\.[xyX](\.z)?\Z")


@given(names=st.lists(_names.filter(lambda name: not name.endswith("/") and name), max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_names_are_grouped_as_webdataset_groups_them(names: list[str], tmp_path_factory: Any) -> None:
    wds = pytest.importorskip("webdataset.tariterators")
    folder = tmp_path_factory.mktemp("names")
    path = write(folder / "a.tar", [(name, name.encode()) for name in names], tarfile.PAX_FORMAT)
    try:
        with open(path, "rb") as stream:
            members = [{**sample, "__url__": ""} for sample in wds.tar_file_iterator(stream)]
        theirs = list(wds.group_by_keys(members))
    except ValueError:
        with pytest.raises(rowmill.CorruptShardError, match="two values"):
            open_all(folder)
        return
    for sample in theirs:
        del sample["__url__"]
    assert present(open_all(folder)) == theirs


def test_shards_with_other_extensions_open_together(tmp_path: Path) -> None:
    write(tmp_path / "0.tar", [("a.jpg", b"1"), ("a.txt", b"2")])
    write(tmp_path / "1.tar", [("b.json", b"3"), ("b.txt", b"4")])
    write(tmp_path / "2.tar", [])
    ds = open_all(tmp_path)
    assert ds.column_names == ["__key__", "jpg", "json", "txt"]
    expected = [
        {"__key__": "a", "jpg": b"1", "json": None, "txt": b"2"},
        {"__key__": "b", "jpg": None, "json": b"3", "txt": b"4"},
    ]
    assert list(ds) == expected
    assert list(open_all(tmp_path)) == expected
    assert list(ds.select_columns(["json", "__key__"])) == [
        {"json": None, "__key__": "a"},
        {"json": b"3", "__key__": "b"},
    ]


def test_archives_beside_other_shards_are_refused(tmp_path: Path) -> None:
    paths = [str(path) for path in write_shards(tmp_path, [3])]
    with pa.OSFile(str(tmp_path / "b.arrow"), "wb") as sink, pa.ipc.new_stream(sink, pa.schema({"x": pa.int8()})):
        pass
    with pytest.raises(rowmill.SchemaMismatchError, match="mixed formats"):
        open_all(tmp_path)
    with pytest.raises(rowmill.SchemaMismatchError, match="is an Arrow IPC stream, not a WebDataset tar as"):
        rowmill.open([*paths, tmp_path / "b.arrow"], index_dir=tmp_path)


def test_the_format_can_be_asked_for(folder: Path) -> None:
    assert rowmill.open(folder, format="webdataset", index_dir=folder).num_rows == 200
    with pytest.raises(rowmill.RowmillError, match="it is WebDataset tar, not arrow"):
        rowmill.open(folder, format="arrow", index_dir=folder)


@pytest.mark.parametrize(("mode", "name", "remedy"), [("w:gz", "a.tar.gz", "gunzip"), ("w:xz", "a.tar.xz", "xz -d")])
def test_packed_archives_name_the_remedy(tmp_path: Path, mode: str, name: str, remedy: str) -> None:
    path = write(tmp_path / name, samples(0, 3), mode=mode)
    for target in (path, tmp_path):
        with pytest.raises(rowmill.RowmillError, match=f"neither shuffled nor resumed at.*`{remedy}`") as caught:
            rowmill.open(target, index_dir=tmp_path)
        assert caught.value.path == str(path)


# The laws.


@pytest.mark.parametrize("io_mode", ["mmap", "read", "direct"])
@pytest.mark.parametrize("mode", ["none", "shard", "window", "row"])
def test_every_sample_comes_once_in_every_order_and_way_of_reading(folder: Path, mode: Any, io_mode: Any) -> None:
    ds = open_all(folder).shuffle(3, mode=mode)
    rows = list(ds.loader(io=io_mode))
    assert sorted(numbers(rows)) == list(range(200))
    expected = grouped(sorted(folder.glob("*.tar")))
    assert rows == [expected[number] for number in numbers(rows)]
    assert (numbers(rows) == list(range(200))) == (mode == "none")


def test_two_ranks_share_each_step_of_one(folder: Path) -> None:
    whole = open_all(folder).shuffle(5)
    one = [sorted(numbers_of(batch)) for batch in whole.shard(1, 0).batch(8, remainder="drop")]
    left, right = (list(whole.shard(2, rank).batch(4)) for rank in range(2))
    two = [sorted(numbers_of(a) + numbers_of(b)) for a, b in zip(left, right, strict=True)]
    assert one == two
    alone = [numbers(whole.shard(2, rank, remainder="keep")) for rank in range(2)]
    assert sorted(flat(alone)) == list(range(200))


def numbers_of(batch: dict[str, Any]) -> list[int]:
    return [int(value) for value in batch["cls"]]


@pytest.mark.parametrize("chain", ["batch", "filter", "decode"])
def test_a_resumed_run_is_the_straight_run(folder: Path, chain: str) -> None:
    ds = open_all(folder).shuffle(7)
    if chain == "batch":
        ds = ds.batch(6)
    elif chain == "filter":
        ds = ds.filter(lambda row: int(row["cls"]) % 3 == 0)
    else:
        ds = ds.decode()
    straight = list(ds)
    for cut in (1, 7, len(straight) - 1):
        items = iter(copy(ds))
        head = [next(items) for _ in range(cut)]
        resumed = copy(ds)
        resumed.load_state_dict(through_json(items.state_dict()))
        assert head + list(resumed) == straight


def test_a_cursor_moves_to_other_ranks(folder: Path) -> None:
    whole = open_all(folder).shuffle(9)
    items = iter(whole.shard(1, 0).batch(8))
    for _ in range(5):
        next(items)
    state = through_json(items.state_dict())
    rest = sorted(flat(numbers_of(batch) for batch in items))
    found = []
    for rank in range(2):
        part = whole.shard(2, rank).batch(4, remainder="keep")
        part.load_state_dict(state)
        found += flat(numbers_of(batch) for batch in part)
    assert sorted(found) == rest


def test_filter_map_and_arrow_see_the_same_values(folder: Path) -> None:
    ds = open_all(folder)
    assert numbers(ds.filter(pc.field("__key__") >= "000190")) == list(range(190, 200))
    assert [row["n"] for row in ds.map(lambda row: {"n": int(row["cls"])}).take(3)] == [0, 1, 2]
    batch = next(iter(ds.skip(140).batch(5).with_format("arrow")))
    assert batch.to_pylist() == list(ds.skip(140).take(5))
    assert ds.fetch([199, 0])[0]["__key__"] == "000199"


def test_a_second_open_reads_no_header(folder: Path) -> None:
    for path in folder.glob("*.tar"):
        # Files that were written a moment ago are not trusted to stay as they are.
        os.utime(path, (1e9, 1e9))
    first = open_all(folder)
    assert first._plan.source.rust.num_walked == 4
    again = open_all(folder)
    assert again._plan.source.rust.num_walked == 0
    assert again.fingerprint == first.fingerprint
    write(folder / "shard-3.tar", samples(0, 4))
    assert open_all(folder).fingerprint != first.fingerprint


# Damage.


def test_a_cut_archive_names_the_byte(tmp_path: Path) -> None:
    path = write_shards(tmp_path, [20])[0]
    whole = path.read_bytes()
    last = len(whole.rstrip(b"\0"))
    path.write_bytes(whole[: last - 700])
    with pytest.raises(rowmill.CorruptShardError, match="truncated: a member of") as caught:
        open_all(tmp_path)
    assert caught.value.path == str(path)
    assert caught.value.offset is not None
    assert caught.value.offset % 512 == 0


def test_a_wrong_checksum_is_damage_and_can_be_left_out(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, [20, 20])
    content = bytearray(paths[0].read_bytes())
    content[5] ^= 1
    paths[0].write_bytes(content)
    content = bytearray(paths[1].read_bytes())
    with pytest.raises(rowmill.RowmillError):
        open_all(tmp_path)
    at = content.index(b"000030.cls")
    content[at] ^= 1
    paths[1].write_bytes(content)
    with pytest.raises(rowmill.CorruptShardError, match="checksum") as caught:
        rowmill.open(paths[1], index_dir=tmp_path)
    assert caught.value.offset == at


def test_a_sample_that_was_written_over_since_is_damage(tmp_path: Path) -> None:
    path = write_shards(tmp_path, [20])[0]
    ds = open_all(tmp_path)
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    with pytest.raises(rowmill.CorruptShardError, match="changed"):
        list(ds)


def test_expressions_filter_values_that_view_the_file(folder: Path) -> None:
    ds = rowmill.open(folder)
    values = [row["txt"] for row in ds]
    kept = [row["txt"] for row in ds.filter(pc.field("txt") == values[3])]
    assert kept == [value for value in values if value == values[3]]
    assert len(list(ds.filter(pc.field("txt").is_valid()))) == sum(value is not None for value in values)


def test_keys_that_are_no_text_stay_apart(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "old.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        for name in ("é.txt", "ü.txt", "ö.txt"):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    assert [row["__key__"] for row in rowmill.open(tmp_path / "old.tar")] == ["\\xE9", "\\xFC", "\\xF6"]
