"""Long texts of Parquet, which rows view where they lie in their pages: the same values as pyarrow's."""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes.launch import finish, start

import rowmill

TYPES = [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view(), pa.binary_view()]
WRITERS: dict[str, dict[str, Any]] = {
    "snappy": {"compression": "snappy"},
    "zstd": {"compression": "zstd", "data_page_version": "2.0"},
    "none": {"compression": "none", "use_dictionary": False},
    "dictionaries": {"compression": "snappy", "use_dictionary": True, "dictionary_pagesize_limit": 4096},
    "delta": {"compression": "zstd", "use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
    "small_pages": {"compression": "snappy", "data_page_size": 2048, "write_page_index": True},
}


def texts(num_rows: int, length: int, seed: int) -> list[str | None]:
    """Some null, some empty, some short, most of about this length, not all ASCII."""
    rng = random.Random(seed)
    made: list[str | None] = []
    for row in range(num_rows):
        kind = rng.random()
        if kind < 0.1:
            made.append(None)
        elif kind < 0.2:
            made.append("" if kind < 0.15 else f"{row}")
        else:
            # No two begin alike: the first bytes of a text stand in its view too.
            begin = "".join(rng.choices("abcdefghijklmnopqrstuvwxyzß", k=8))
            made.append(f"{begin} {row} " * rng.randrange(1, max(length // 8, 2)))
    return made


def table_of(columns: list[pa.DataType], num_rows: int, length: int, seed: int) -> pa.Table:
    arrays: dict[str, Any] = {"id": pa.array(range(num_rows), pa.int64())}
    for at, data_type in enumerate(columns):
        values: list[Any] = list(texts(num_rows, length, seed + at))
        if "binary" in str(data_type):
            values = [None if value is None else value.encode() + b"\xff" for value in values]
        arrays[f"c{at}"] = pa.array(values, data_type)
    return pa.table(arrays)


@pytest.mark.parametrize("writer", WRITERS)
def test_rows_have_the_values_of_pyarrow(tmp_path: Path, writer: str) -> None:
    options = dict(WRITERS[writer])
    columns = TYPES[:4] if writer == "delta" else TYPES
    encoding = options.pop("column_encoding", None)
    if encoding:
        options["column_encoding"] = {f"c{at}": encoding for at in range(len(columns))}
    # Row groups of long and of short values, so that blocks of both kinds stand in one chunk of rows.
    table = pa.concat_tables([table_of(columns, 300, length, seed) for seed, length in enumerate((900, 8, 600))])
    table = table.set_column(0, "id", pa.array(range(table.num_rows), pa.int64()))
    with pq.ParquetWriter(tmp_path / "long.parquet", table.schema, **options) as file:
        for start in range(0, table.num_rows, 300):
            file.write_table(table.slice(start, 300))
    expected = table.to_pylist()

    opened = rowmill.open(tmp_path, index_dir=tmp_path / "index")
    assert list(opened) == expected
    shuffled = list(opened.shuffle(seed=3))
    assert sorted(shuffled, key=lambda row: row["id"]) == expected
    listed = [dict(zip(batch, row, strict=True)) for batch in opened.shuffle(seed=3).batch(7).with_format("python")
              for row in zip(*batch.values(), strict=True)]  # fmt: skip
    assert listed == shuffled
    assert list(opened.shuffle(seed=3).map(lambda row: row)) == shuffled
    arrow = opened.shuffle(seed=3).batch(64).with_format("arrow")
    assert [row for batch in arrow for row in batch.to_pylist()] == shuffled


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 2**20), st.sampled_from([200, 2000, 20_000]))
def test_row_groups_larger_than_a_window_give_each_row_its_own_text(
    tmp_path_factory: pytest.TempPathFactory, num_rows: int, ranks: int, seed: int, length: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    table = table_of(TYPES[:2], num_rows, length, seed)
    pq.write_table(table, folder / "one.parquet", data_page_size=1024, write_page_index=bool(seed % 2))
    opened = rowmill.open(folder, index_dir=folder / "index").shuffle(seed=seed, num_lanes=4, window_bytes=1)
    rows = [
        row
        for rank in range(ranks)
        for row in opened.shard(ranks, rank).batch(1, remainder="keep").with_format("python")
    ]
    found = sorted(({name: values[0] for name, values in row.items()} for row in rows), key=lambda row: row["id"])
    assert found == table.to_pylist()


def test_long_text_that_is_not_utf8_is_an_error_of_its_row(tmp_path: Path) -> None:
    good, bad = b"fine " * 200, b"\xff" * 1000
    schema = pa.schema([("text", pa.binary())])
    pq.write_table(pa.table({"text": [good, bad, good]}, schema=schema), tmp_path / "x.parquet")
    # The same bytes under a schema that calls them text.
    table = pq.read_table(tmp_path / "x.parquet")
    data = table["text"].combine_chunks()
    text = pa.Array.from_buffers(pa.string(), len(data), data.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "x.parquet")

    iterator = iter(rowmill.open(tmp_path / "x.parquet", index_dir=tmp_path / "index"))
    assert next(iterator) == {"text": good.decode()}
    with pytest.raises(rowmill.CorruptShardError, match="UTF-8"):
        next(iterator)


@pytest.mark.parametrize("codec", ["snappy", "zstd", "none"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_blocks_cut_inside_of_row_groups_with_nulls(tmp_path: Path, codec: str, version: str) -> None:
    rng = random.Random(7)
    made = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz ", k=3000)) for _ in range(8000)]
    table = pa.table({"text": [None if at % 1000 == 7 else text for at, text in enumerate(made)]})
    pq.write_table(table, tmp_path / "x.parquet", compression=codec, data_page_version=version)
    opened = rowmill.open(tmp_path / "x.parquet", index_dir=tmp_path / "index")
    assert [row["text"] for row in opened] == table["text"].to_pylist()


@pytest.mark.parametrize("change", ["truncated", "overwritten"])
@pytest.mark.parametrize("codec", ["snappy", "lz4", "zstd", "none"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_file_that_changes_while_it_is_read_never_gives_other_rows(
    tmp_path: Path, codec: str, version: str, change: str
) -> None:
    # What does not shrink stays as it is in pages of the second version.
    rng = random.Random(1)
    images = [rng.randbytes(4000) for _ in range(1000)]
    path = tmp_path / "x.parquet"
    table = pa.table({"id": list(range(1000)), "image": images})
    pq.write_table(table, path, compression=codec, data_page_version=version, use_dictionary=False)
    loader = rowmill.open(path, index_dir=tmp_path / "index").shuffle(seed=1).loader(prefetch_batches=1, num_threads=1)
    rows = iter(loader)
    next(rows)
    if change == "truncated":
        os.truncate(path, 100)
    else:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
    with contextlib.suppress(rowmill.CorruptShardError):
        assert all(row["image"] == images[row["id"]] for row in rows)


# The peak of anonymous memory over what it was before, and how often blocks were decoded.
MEASURED = """
import os, sys
import rowmill

def anonymous():
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) << 10

opened = rowmill.open(sys.argv[1], index_dir=sys.argv[2]).shuffle(1, num_lanes=16, window_bytes=4 << 20)
before, peak, length = anonymous(), 0, 0
with opened.loader(num_threads=2, prefetch_bytes=64 << 20) as loader:
    for index, row in enumerate(loader):
        length += len(row["text"])
        if index % 16 == 0:
            peak = max(peak, anonymous() - before)
    stats = loader.stats()
print(length, peak, stats["blocks_decoded"], stats["blocks_decoded_again"])
"""


@pytest.mark.processes
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_long_texts_behind_a_dictionary_stay_within_their_windows(tmp_path: Path) -> None:
    rng = random.Random(0)
    distinct = [rng.randbytes(150_000).hex() for _ in range(30)]
    drawn = [rng.randrange(30) for _ in range(3000)]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": [distinct[at] for at in drawn]}), path, dictionary_pagesize_limit=64 << 20)
    told = finish(start("-W", "error", "-c", MEASURED, path, tmp_path / "index")).split()
    length, peak, decoded, again = map(int, told)
    assert length == 3000 * 300_000
    # Some blocks of two lanes; not each block once for every row.
    assert again <= decoded // 20
    windows, ahead, page = 16 * (4 << 20), 64 << 20, 9_000_000
    assert peak < 1.2 * windows + ahead + 2 * 4 * page + (40 << 20)
