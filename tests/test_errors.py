"""What goes wrong with files is a typed error that names the place and says what to do."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pyarrow as pa
import pytest
from shards import SCHEMA, batch_of, copy, flat, stream, through_json, write, write_shards

import rowmill

BASES = {
    "CorruptShardError": OSError,
    "MissingShardError": FileNotFoundError,
    "SchemaMismatchError": TypeError,
    "StateMismatchError": ValueError,
    "TopologyError": ValueError,
    "DatasetNotFoundError": FileNotFoundError,
    "RevisionNotFoundError": Exception,
    "OfflineError": ConnectionError,
    "OutOfRangeError": IndexError,
    "AccessDeniedError": PermissionError,
}


@pytest.mark.parametrize(("name", "base"), BASES.items())
def test_every_error_is_a_rowmill_error_and_the_one_python_expects(name, base) -> None:
    error = getattr(rowmill, name)("it broke", "/a/b", 3, 17)
    assert isinstance(error, rowmill.RowmillError)
    assert isinstance(error, base)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.path, again.block, again.offset) == (type(error), "it broke", "/a/b", 3, 17)


def test_a_missing_file_of_a_list_is_missing_and_of_a_folder_just_not_there(tmp_path: Path) -> None:
    paths = write_shards(tmp_path)
    gone = paths.pop(1)
    gone.unlink()
    assert len(rowmill.open(tmp_path)) == 70
    with pytest.raises(rowmill.MissingShardError, match=r"shard-1\.arrow") as raised:
        rowmill.open([paths[0], gone])
    assert raised.value.path == str(gone)
    with pytest.raises(FileNotFoundError, match="nothing"):
        rowmill.open(tmp_path / "nothing-*.arrow")
    with pytest.raises(FileNotFoundError):
        rowmill.open(tmp_path / "no-such-folder")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty|zero|0 bytes"),
        (b"this is no arrow file at all, whatever its name says", "not an? Arrow|no Arrow|Arrow"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(100), "."),
        (b"ARROW1\0\0" + bytes(50), "."),
        (bytes(1000), "."),
        (b"PAR1" + bytes(1000) + b"PAR1", "footer"),
        (b"PK\x03\x04" + bytes(100), "zip"),
    ],
    ids=["zero bytes", "text", "absurd length", "half a file", "zeros", "a Parquet file without a footer", "zip"],
)
def test_what_is_no_arrow_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    paths = write_shards(tmp_path, [5, 5])
    paths[1].write_bytes(content)
    with pytest.raises(rowmill.RowmillError, match=said) as raised:
        list(rowmill.open(paths))
    assert raised.value.path == str(paths[1])
    assert "shard-1.arrow" in str(raised.value)


@pytest.mark.parametrize("container", ["stream", "file"])
@pytest.mark.parametrize("cut", [1, 7, 8, 9, 300, 2000])
def test_a_truncated_shard_is_corrupt(tmp_path: Path, container: str, cut: int) -> None:
    path = write_shards(tmp_path, [60], container=container)[0]
    path.write_bytes(path.read_bytes()[:-cut])
    if container == "stream" and cut == 8:
        # Only the end marker is not there, which the format leaves to the writer.
        assert len(list(rowmill.open(path))) == 60
        return
    with pytest.raises(rowmill.CorruptShardError, match=r"shard-0\.arrow") as raised:
        list(rowmill.open(path))
    assert raised.value.path == str(path)


@pytest.mark.parametrize("io", ["mmap", "read", "direct"])
def test_a_shard_truncated_while_it_is_read_is_an_error_and_no_death(tmp_path: Path, io: str) -> None:
    path = write_shards(tmp_path, [20_000], block_rows=500, columns=["id", "tokens"])[0]
    code = """
import os, sys, rowmill
ds = rowmill.open(sys.argv[1]).select_columns(["id", "tokens"]).batch(10)
loader = ds.loader(io=sys.argv[2], num_threads=1, prefetch_batches=2)
try:
    for step, batch in enumerate(loader):
        batch["tokens"].sum()
        if step == 5:
            os.truncate(sys.argv[1], os.path.getsize(sys.argv[1]) // 3)
except rowmill.RowmillError as error:
    print(type(error).__name__, step, os.path.basename(error.path))
"""
    done = run_script(code, str(path), io)
    assert done.returncode == 0, done.stderr
    kind, step, name = done.stdout.split()
    assert kind in ("CorruptShardError", "StateMismatchError")
    assert 5 <= int(step) < 2000
    assert name == path.name


def run_script(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=environment,
    )


def test_a_shard_that_vanished_after_opening_is_missing(tmp_path: Path) -> None:
    paths = write_shards(tmp_path)
    ds = rowmill.open(paths)
    paths[2].unlink()
    with pytest.raises(rowmill.MissingShardError, match=r"shard-2\.arrow") as raised:
        list(ds)
    assert raised.value.path == str(paths[2])


def test_a_shard_replaced_under_us_is_noticed(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, [30, 30])
    ds = rowmill.open(paths)
    other = write(tmp_path / "other", [batch_of(500, 560)], SCHEMA, "stream", None)
    os.replace(other, paths[1])
    with pytest.raises(rowmill.RowmillError, match=r"shard-1\.arrow.*(changed|replaced|open)"):
        list(ds)
    assert flat(stream(rowmill.open(paths))) == [*range(30), *range(500, 560)]


def test_a_copy_refuses_data_that_is_not_the_same_any_more(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, [30, 30])
    pickled = pickle.dumps(rowmill.open(paths))
    write_shards(tmp_path, [30, 31])
    with pytest.raises(rowmill.StateMismatchError, match="open the dataset again"):
        list(pickle.loads(pickled))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_access_denied(tmp_path: Path) -> None:
    path = write_shards(tmp_path, [5])[0]
    path.chmod(0)
    with pytest.raises(rowmill.AccessDeniedError, match=r"shard-0\.arrow"):
        rowmill.open(path)


def test_a_folder_of_mixed_files_names_the_one_that_does_not_fit(tmp_path: Path) -> None:
    write_shards(tmp_path, [5, 5])
    (tmp_path / "README.md").write_text("words")
    assert len(rowmill.open(tmp_path)) == 10
    (tmp_path / "table.parquet").write_bytes(b"PAR1" + bytes(64) + b"PAR1")
    with pytest.raises(rowmill.RowmillError, match=r"table\.parquet"):
        rowmill.open(tmp_path)


def test_an_index_folder_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    paths = write_shards(tmp_path / "data")
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(list(rowmill.open(paths, index_dir=blocked / "index"))) == 70
    assert len(caught) == 1
    assert "index" in str(caught[0].message)
    assert str(blocked) in str(caught[0].message)


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    paths = write_shards(tmp_path / "data")
    index = tmp_path / "index"
    assert len(list(rowmill.open(paths, index_dir=index))) == 70
    stored = [path for path in index.rglob("*") if path.is_file() and path.stat().st_size]
    assert stored
    for damage in (lambda old: b"", lambda old: old[: len(old) // 2], lambda old: os.urandom(len(old))):
        for path in stored:
            path.write_bytes(damage(path.read_bytes()))
        with pytest.warns(UserWarning, match="index is damaged or foreign"):
            assert len(list(rowmill.open(paths, index_dir=index))) == 70
        assert len(list(rowmill.open(paths, index_dir=index))) == 70


def test_a_schema_that_differs_names_both_files_and_the_field(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, [5, 5], columns=["id", "score"])
    other = pa.schema([("id", pa.int64()), ("score", pa.float64())])
    batch = pa.RecordBatch.from_pydict({"id": [1], "score": [1.0]}, schema=other)
    write(paths[1], [batch], other, "stream", None)
    with pytest.raises(rowmill.SchemaMismatchError) as raised:
        rowmill.open(paths)
    assert all(name in str(raised.value) for name in ("shard-0.arrow", "shard-1.arrow", "score"))
    assert raised.value.path == str(paths[1])


def test_a_missing_or_further_column_is_a_schema_mismatch(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, [5, 5], columns=["id", "score"])
    other = pa.schema([("id", pa.int64())])
    write(paths[1], [pa.RecordBatch.from_pydict({"id": [1]}, schema=other)], other, "stream", None)
    with pytest.raises(rowmill.SchemaMismatchError, match="score"):
        rowmill.open(paths)
    with pytest.raises(rowmill.SchemaMismatchError, match="score"):
        rowmill.open(paths[::-1])


def test_only_nullability_and_metadata_may_differ(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, [5, 5], columns=["id"])
    other = pa.schema([pa.field("id", pa.int64(), nullable=False, metadata={"a": "b"})], metadata={"c": "d"})
    write(paths[1], [pa.RecordBatch.from_pydict({"id": [7, 8]}, schema=other)], other, "stream", None)
    assert flat(stream(rowmill.open(paths))) == [0, 1, 2, 3, 4, 7, 8]


@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("is_mapped", [False, True])
def test_a_null_in_a_numeric_batch_column_is_an_error_unless_filled(tmp_path: Path, name: str, is_mapped: bool) -> None:
    ds = rowmill.open(write_shards(tmp_path, [12])).select_columns(["id", "maybe"]).with_format(name)
    ds = ds.map(lambda row: {"x": row["id"]}) if is_mapped else ds
    with pytest.raises(rowmill.SchemaMismatchError, match=r"maybe.*null.*fill_null"):
        list(ds.batch(4))
    expected = [-7 if index % 3 == 0 else index for index in range(12)]
    for filled in (
        ds.batch(4, fill_null=-7),
        ds.batch(4, fill_null={"maybe": -7}),
        ds.batch(4).with_format(name, fill_null=-7),
    ):
        assert flat(batch["maybe"].tolist() for batch in filled) == expected
    assert flat(batch["maybe"] for batch in ds.with_format("python").batch(4))[:2] == [None, 1]


def test_narrowing_that_does_not_fit_is_an_error_that_names_the_column(tmp_path: Path) -> None:
    ds = rowmill.open(write_shards(tmp_path, [300])).select_columns(["id"])
    batches = list(ds.take(100).with_format("numpy", dtypes={"id": "int8"}).batch(50))
    assert batches[0]["id"].dtype == "int8"
    with pytest.raises(rowmill.SchemaMismatchError, match=r"id.*(128|int8)"):
        list(ds.with_format("numpy", dtypes={"id": "int8"}).batch(50))


def damage_block(path: Path) -> None:
    """Destroys the fourth compressed buffer of a shard, which lies in its second block."""
    content, at = bytearray(path.read_bytes()), -1
    for _ in range(4):
        at = content.index(b"\x28\xb5\x2f\xfd", at + 1)
    content[at : at + 8] = bytes(8)
    path.write_bytes(bytes(content))


def test_damage_is_raised_by_default_with_its_file_and_block(tmp_path: Path) -> None:
    path = write_shards(tmp_path, [60], columns=["id", "text"], codec="zstd")[0]
    damage_block(path)
    with pytest.raises(rowmill.CorruptShardError, match=r"shard-0\.arrow") as raised:
        list(rowmill.open(path))
    assert raised.value.path == str(path)
    assert raised.value.block is not None


def test_text_that_is_no_utf8_is_damage_where_it_is_used(tmp_path: Path) -> None:
    path = write_shards(tmp_path, [60], columns=["id", "text"])[0]
    path.write_bytes(path.read_bytes().replace(b"row 30 ", b"\xff\xfe\xfd 30 "))
    ds = rowmill.open(path)
    assert len(list(ds.take(30))) == 30
    with pytest.raises(rowmill.CorruptShardError, match=r"shard-0\.arrow.*UTF-8") as raised:
        list(ds)
    assert raised.value.path == str(path)


def test_skipped_damage_is_counted_in_stats_and_cursor(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, [20, 20, 20], columns=["id", "text"], codec="zstd")
    damage_block(paths[1])
    ds = rowmill.open(paths, on_error="skip").with_format("python")
    loader = ds.loader()
    iterator = iter(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = [row["id"] for row in iterator]
    lost = 60 - len(read)
    assert 1 <= lost <= 6
    assert len(set(read)) == len(read)
    assert iterator.stats()["skipped_rows"] == lost
    assert iterator.state_dict()["skipped_rows"] == lost


def test_the_count_of_skipped_rows_goes_on_after_a_resume(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, [20, 20, 20], columns=["id", "text"], codec="zstd")
    damage_block(paths[1])
    ds = rowmill.open(paths, on_error="skip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        iterator = iter(copy(ds))
        read = []
        while not read or read[-1] < 45:
            read.append(next(iterator)["id"])
        state = through_json(iterator.state_dict())
        assert state["skipped_rows"] >= 1
        again = copy(ds)
        again.load_state_dict(state)
        iterator = iter(again)
        rest = [row["id"] for row in iterator]
        assert iterator.state_dict()["skipped_rows"] == state["skipped_rows"]
    assert (read + rest)[-1] == 59
    assert len(set(read + rest)) == len(read + rest) == 60 - state["skipped_rows"]


def test_a_whole_bad_shard_is_skipped_with_a_warning(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, [20, 20, 20], columns=["id"])
    paths[1].write_bytes(b"")
    with pytest.warns(UserWarning, match=r"shard-1\.arrow"):
        ds = rowmill.open(paths, on_error="skip")
    assert flat(stream(ds)) == [*range(20), *range(40, 60)]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda ds: ds.select_columns(["nope"]), rowmill.SchemaMismatchError, "no column 'nope'; the columns are id"),
        (lambda ds: ds.select_columns(["id", "id"]), rowmill.SchemaMismatchError, "twice"),
        (lambda ds: ds.rename_columns({"nope": "x"}), rowmill.SchemaMismatchError, "nope"),
        (lambda ds: ds.rename_columns({"id": "text"}), rowmill.SchemaMismatchError, "two columns 'text'"),
        (lambda ds: ds.batch(4).batch(2), rowmill.SchemaMismatchError, "batched already"),
        (lambda ds: ds.batch(4).filter(bool), rowmill.SchemaMismatchError, "before .batch"),
        (lambda ds: ds.shard(2, 2), rowmill.TopologyError, "from 0 to 1"),
        (lambda ds: ds.shard(2, 0).shard(2, 0), rowmill.TopologyError, "sharded already"),
        (lambda ds: ds.batch(0), ValueError, "positive"),
        (lambda ds: ds.batch(4, remainder="some"), ValueError, "drop, pad, keep"),
        (lambda ds: ds.take(-1), ValueError, "0 or more"),
        (lambda ds: ds.set_epoch(-1), ValueError, "0 or more"),
        (lambda ds: ds.shuffle(1, mode="odd"), ValueError, "window"),
        (lambda ds: ds.shuffle("x"), ValueError, "integer"),
        (lambda ds: ds.shuffle(1, num_lanes=0), ValueError, "num_lanes"),
        (lambda ds: ds.with_format("jax"), ValueError, "python, numpy, torch, arrow"),
        (lambda ds: ds.loader(io="tape"), ValueError, "mmap"),
        (lambda ds: ds.fetch([10**9]), (IndexError, ValueError), "1000000000"),
        (lambda ds: ds.row_ids(0, 71), IndexError, "70"),
        (lambda ds: ds.filter(bool).rows_at(0), rowmill.SchemaMismatchError, "filter"),
        (lambda ds: len(ds.filter(bool)), TypeError, "depends on the data"),
        (lambda ds: len(ds.repeat()), TypeError, "endless"),
        (lambda ds: list(ds.map(lambda row: 3)), rowmill.SchemaMismatchError, "returned int"),
        (
            lambda ds: list(ds.with_format("numpy", dtypes={"nope": "int8"}).batch(2)),
            rowmill.SchemaMismatchError,
            "nope",
        ),
    ],
)
def test_wrong_use_is_refused_with_what_to_do(shards: list[Path], call, error, said: str) -> None:
    with pytest.raises(error, match=said):
        call(rowmill.open(shards))


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RANK": "1"}, "WORLD_SIZE is not set"),
        ({"WORLD_SIZE": "2"}, "RANK is not set"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "do not fit"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "do not fit"),
    ],
)
def test_half_a_rank_in_the_environment_is_refused(shards, monkeypatch, environment, said) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(rowmill.TopologyError, match=said):
        list(rowmill.open(shards))


def test_a_function_that_raises_leaves_the_cursor_before_its_row(tmp_path: Path) -> None:
    ds = rowmill.open(write_shards(tmp_path, [20], columns=["id"]))
    bad = {7}

    def check(row: dict) -> dict:
        if row["id"] in bad:
            raise OSError(errno.EIO, "the label server is down")
        return {"label": row["id"]}

    for made in (ds.map(check), ds.map(check).filter(lambda row: True)):
        bad.add(7)
        iterator = iter(made)
        read = [next(iterator)["id"] for _ in range(7)]
        with pytest.raises(OSError, match="label server"):
            next(iterator)
        state = iterator.state_dict()
        bad.clear()
        again = copy(made)
        again.load_state_dict(state)
        assert read + flat(stream(again)) == list(range(20))


def test_what_is_not_there_is_an_error_of_ranges(shards: list[Path]) -> None:
    ds = rowmill.open(shards)
    for row_ids in ([70], [-1], [0, 1 << 60]):
        with pytest.raises(rowmill.OutOfRangeError, match="has rows 0 to 69"):
            ds.fetch(row_ids)
    for step in (9, -1):
        with pytest.raises(rowmill.OutOfRangeError, match="a pass has 9 steps, 0 to 8 of 8 rows"):
            ds.batch(8).rows_at(step)
    with pytest.raises(rowmill.OutOfRangeError, match="steps are counted from 0"):
        ds.repeat().rows_at(-1)
    with pytest.raises(rowmill.OutOfRangeError, match="has 70"):
        ds.row_ids(0, 71)


def test_no_paths_are_a_missing_shard() -> None:
    with pytest.raises(rowmill.MissingShardError, match="no paths were given"):
        rowmill.open([])
