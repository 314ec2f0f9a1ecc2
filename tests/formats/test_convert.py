"""rowmill.convert: every row once, in order, whatever was killed on the way; never over something else."""

from __future__ import annotations

import datetime
import decimal
import errno
import hashlib
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from formats.members import rows_of, samples_of
from processes.launch import GENEROUS, start
from shards import SCHEMA, write, write_shards

import rowmill
from rowmill.conversion.shards import suggested_workers

FORMATS = ["arrow", "parquet", "webdataset"]
JOURNAL, LOCK = ".rowmill-convert.jsonl", ".rowmill-convert.lock"
SUFFIXES = {"arrow": ".arrow", "parquet": ".parquet", "webdataset": ".tar"}


def rows_in(folder: Path, to: str, schema: pa.Schema) -> list[dict[str, Any]]:
    """The rows of all shards, read by another library than the one that wrote them is tested by."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob(f"shard-*{SUFFIXES[to]}")):
        if to == "arrow":
            rows += pa.ipc.open_stream(path).read_all().to_pylist()
        elif to == "parquet":
            rows += pq.ParquetFile(path).read().to_pylist()
        else:
            rows += rows_of(samples_of(path), schema)
    return rows


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def one_shard(path: Path, columns: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    batch = pa.record_batch(columns)
    return write(path, [batch], batch.schema, "stream", None)


@pytest.fixture
def source(tmp_path: Path) -> rowmill.Dataset:
    return rowmill.open(write_shards(tmp_path / "source", [150, 0, 121]))


@pytest.mark.parametrize("to", FORMATS)
def test_every_row_comes_once_in_order_with_exact_counts(tmp_path: Path, source: rowmill.Dataset, to: str) -> None:
    made = rowmill.convert(source, tmp_path / "out", to=to, num_shards=12)
    assert rows_in(tmp_path / "out", to, source.schema) == source.fetch(range(271))
    assert made == json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert made["num_rows"] == made["estimated_size"] == 271
    assert [shard["num_rows"] for shard in made["shards"]] == [23] * 7 + [22] * 5
    assert made["num_shards"] == 12
    assert made["num_workers"] == 6
    assert made["num_bytes"] == sum(shard["num_bytes"] for shard in made["shards"])
    for shard in made["shards"]:
        content = (tmp_path / "out" / shard["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["num_bytes"], shard["sha256"])
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"dataset.json", *(shard["name"] for shard in made["shards"])}


def test_the_number_of_shards_is_a_hundred_or_as_asked(tmp_path: Path) -> None:
    many = one_shard(tmp_path / "many.arrow", {"id": range(1000)})
    few = one_shard(tmp_path / "few.arrow", {"id": range(3)})
    none = one_shard(tmp_path / "none.arrow", {"id": pa.array([], pa.int64())})
    assert rowmill.convert(many, tmp_path / "a", to="arrow")["num_shards"] == 100
    assert rowmill.convert(few, tmp_path / "b", to="arrow")["num_shards"] == 3
    assert rowmill.convert(none, tmp_path / "c", to="arrow")["num_shards"] == 1
    assert rowmill.open(tmp_path / "c").num_rows == 0
    by_size = rowmill.convert(many, tmp_path / "d", to="arrow", shard_bytes=many.stat().st_size // 4)
    assert by_size["num_shards"] == 4
    with pytest.raises(ValueError, match="give one"):
        rowmill.convert(many, tmp_path / "e", to="arrow", shard_bytes=1, num_shards=1)


def test_workers_divide_the_shards() -> None:
    assert [suggested_workers(number) for number in (100, 96, 64, 7, 11, 1)] == [5, 8, 8, 7, 1, 1]


def test_arrow_shards_open_again_equal_with_their_metadata(tmp_path: Path, source: rowmill.Dataset) -> None:
    rowmill.convert(source, tmp_path / "out", to="arrow")
    again = rowmill.open(tmp_path / "out")
    assert again.fetch(range(271)) == source.fetch(range(271))
    assert again.schema.equals(source.schema, check_metadata=True)


def test_dictionaries_that_differ_from_block_to_block_stay_dictionaries(tmp_path: Path) -> None:
    blocks = [pa.record_batch({"word": pa.array(words).dictionary_encode()}) for words in (["a", "b"], ["c", "a"])]
    ds = rowmill.open(write(tmp_path / "rows.arrow", blocks, blocks[0].schema, "stream", None))
    rowmill.convert(ds, tmp_path / "out", to="arrow", num_shards=2)
    again = rowmill.open(tmp_path / "out")
    assert again.schema == ds.schema
    assert again.fetch(range(4)) == ds.fetch(range(4))


def test_a_shuffle_is_the_datasets_own(tmp_path: Path, source: rowmill.Dataset) -> None:
    rowmill.convert(source, tmp_path / "out", to="arrow", shuffle=5, columns=["text", "id"], num_shards=7)
    shuffled = source.shuffle(5).shard(1, 0)
    expected = shuffled.row_ids(0, 271)
    rows = rows_in(tmp_path / "out", "arrow", SCHEMA)
    assert [row["id"] for row in rows] == expected
    assert list(rows[0]) == ["text", "id"]


def test_a_chain_is_written_as_it_reads(tmp_path: Path, source: rowmill.Dataset) -> None:
    chain = source.select_columns(["id"]).skip(10).take(50).rename_columns({"id": "number"})
    rowmill.convert(chain, tmp_path / "out", to="parquet", num_shards=3)
    assert [row["number"] for row in rows_in(tmp_path / "out", "parquet", SCHEMA)] == list(range(10, 60))
    for unknown in (source.filter(lambda row: True), source.batch(4), source.repeat(2)):
        with pytest.raises(rowmill.SchemaMismatchError, match="whose number is known"):
            rowmill.convert(unknown, tmp_path / "other", to="arrow")


def test_inside_of_a_job_every_row_is_written(
    tmp_path: Path, source: rowmill.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert rowmill.convert(source, tmp_path / "out", to="arrow")["num_rows"] == 271


def test_parquet_has_groups_of_about_16_mib_and_a_page_index(tmp_path: Path) -> None:
    text = ["x" * 40_000 + str(index) for index in range(1500)]
    path = one_shard(tmp_path / "big.arrow", {"text": text})
    rowmill.convert(path, tmp_path / "out", to="parquet", num_shards=1)
    metadata = pq.read_metadata(next((tmp_path / "out").glob("*.parquet")))
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    assert all(8 << 20 < group.total_byte_size < 24 << 20 for group in groups[:-1])
    assert groups[0].column(0).has_offset_index
    assert groups[0].column(0).compression == "ZSTD"


# What is there already.


def test_a_finished_data_set_or_other_files_are_never_written_over(tmp_path: Path, source: rowmill.Dataset) -> None:
    out = tmp_path / "out"
    rowmill.convert(source, out, to="arrow", num_shards=3)
    before = contents(out)
    with pytest.raises(FileExistsError, match="holds a finished data set"):
        rowmill.convert(source, out, to="arrow", num_shards=3)
    assert contents(out) == before
    with pytest.raises(FileExistsError, match=r"holds other files, such as shard-0\.arrow"):
        rowmill.convert(source, tmp_path / "source", to="parquet")


def interrupted(source: Any, out: Path, after: int, **options: Any) -> None:
    """Stops a conversion by an error after some shards."""
    from rowmill.conversion import journal

    count = 0

    def sync(folder: Path) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "sync_folder", sync)
        with pytest.raises(KeyboardInterrupt):
            rowmill.convert(source, out, **options)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("after", [0, 1, 5])
def test_what_was_stopped_goes_on_to_the_same_files(
    tmp_path: Path, source: rowmill.Dataset, to: str, after: int
) -> None:
    options: dict[str, Any] = {"to": to, "num_shards": 8, "shuffle": 1}
    rowmill.convert(source, tmp_path / "straight", **options)
    interrupted(source, tmp_path / "out", after, **options)
    assert not (tmp_path / "out" / "dataset.json").exists()
    rowmill.convert(source, tmp_path / "out", **options)
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_a_stop_after_the_last_shard_goes_on_too(tmp_path: Path, source: rowmill.Dataset) -> None:
    options: dict[str, Any] = {"to": "arrow", "num_shards": 8}
    made = rowmill.convert(source, tmp_path / "straight", **options)
    # Eight shards were synced; the ninth is dataset.json, in place but for the journal beside it.
    interrupted(source, tmp_path / "out", 8, **options)
    assert (tmp_path / "out" / "dataset.json").exists()
    with pytest.raises(rowmill.StateMismatchError, match="num_shards is 8, not 5"):
        rowmill.convert(source, tmp_path / "out", to="arrow", num_shards=5)
    assert rowmill.convert(source, tmp_path / "out", **options) == made
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_a_torn_line_and_a_lost_shard_are_made_again(tmp_path: Path, source: rowmill.Dataset) -> None:
    options: dict[str, Any] = {"to": "arrow", "num_shards": 8}
    rowmill.convert(source, tmp_path / "straight", **options)
    interrupted(source, tmp_path / "out", 6, **options)
    journal = tmp_path / "out" / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-9])
    (tmp_path / "out" / "shard-000003.arrow").unlink()
    (tmp_path / "out" / ".shard-000004.arrow.part").write_bytes(b"half")
    rowmill.convert(source, tmp_path / "out", **options)
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"num_shards": 9}, "num_shards is 8, not 9"),
        ({"to": "parquet"}, "to is arrow, not parquet"),
        ({"shuffle": 2}, "order is"),
        ({"columns": ["id"]}, "columns is"),
    ],
)
def test_other_settings_do_not_go_on(
    tmp_path: Path, source: rowmill.Dataset, changed: dict[str, Any], named: str
) -> None:
    options: dict[str, Any] = {"to": "arrow", "num_shards": 8}
    interrupted(source, tmp_path / "out", 3, **options)
    with pytest.raises(rowmill.StateMismatchError, match=named):
        rowmill.convert(source, tmp_path / "out", **{**options, **changed})


def test_other_data_does_not_go_on(tmp_path: Path, source: rowmill.Dataset) -> None:
    interrupted(source, tmp_path / "out", 3, to="arrow", num_shards=8)
    other = rowmill.open(write_shards(tmp_path / "other", [150, 1, 120]))
    with pytest.raises(rowmill.StateMismatchError, match="source fingerprint is"):
        rowmill.convert(other, tmp_path / "out", to="arrow", num_shards=8)


def test_a_source_that_changed_under_its_name_does_not_go_on(tmp_path: Path) -> None:
    path = one_shard(tmp_path / "rows.arrow", {"text": ["a", "b", "c", "d"]})
    interrupted(path, tmp_path / "out", 2, to="arrow", num_shards=4)
    one_shard(path, {"text": ["a", "b", "c", "D"]})
    with pytest.raises(rowmill.StateMismatchError, match="source fingerprint is"):
        rowmill.convert(path, tmp_path / "out", to="arrow", num_shards=4)


@pytest.mark.parametrize("to", FORMATS)
def test_a_full_disk_is_told_with_the_remedy_and_leaves_whole_shards_alone(
    tmp_path: Path, source: rowmill.Dataset, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    rowmill.convert(source, tmp_path / "straight", to=to, num_shards=8)
    sync, calls = os.fsync, iter(range(100))

    def full(descriptor: int) -> None:
        if next(calls) == 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="goes on behind the last shard") as caught:
        rowmill.convert(source, tmp_path / "out", to=to, num_shards=8)
    monkeypatch.undo()
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "out"))
    left = contents(tmp_path / "out")
    assert left.keys() - {JOURNAL, LOCK} == {f"shard-00000{index}{SUFFIXES[to]}" for index in range(len(left) - 2)}
    assert len(left) > 3
    rowmill.convert(source, tmp_path / "out", to=to, num_shards=8)
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_a_target_that_cannot_be_is_named(tmp_path: Path, source: rowmill.Dataset) -> None:
    (tmp_path / "file").write_text("words")
    with pytest.raises(FileExistsError, match="is a file, and not a folder"):
        rowmill.convert(source, tmp_path / "file", to="arrow")
    with pytest.raises((rowmill.AccessDeniedError, FileNotFoundError), match="file"):
        rowmill.convert(source, tmp_path / "file" / "below", to="arrow")
    assert (tmp_path / "file").read_text() == "words"


def test_one_process_at_a_time_writes_a_folder(tmp_path: Path, source: rowmill.Dataset) -> None:
    interrupted(source, tmp_path / "out", 3, to="arrow", num_shards=8)
    # A thread of its own: filelock knows its own thread's locks.
    with FileLock(tmp_path / "out" / LOCK, thread_local=False):
        process = start(
            "-c",
            "import rowmill, sys; rowmill.convert(sys.argv[1], sys.argv[2], to='arrow')",
            tmp_path / "source",
            tmp_path / "out",
        )
        _, told = process.communicate(timeout=GENEROUS)
    assert process.returncode == 1
    assert "is being written by another process" in told


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("to", FORMATS)
def test_kill_9_at_random_moments_loses_and_doubles_nothing(tmp_path: Path, to: str) -> None:
    sizes = [3000, 2500, 2511]
    write_shards(tmp_path / "source", sizes, block_rows=100, columns=["id", "text", "tokens"])
    ds = rowmill.open(tmp_path / "source")
    rowmill.convert(ds, tmp_path / "straight", to=to, shuffle=7, num_shards=40)
    out, chooser, deaths = tmp_path / "out", random.Random(to), 0
    for _ in range(3):
        done = len(list(out.glob("shard-*")))
        process = start(Path(__file__).parent / "converting.py", tmp_path / "source", out, to)
        until = time.monotonic() + GENEROUS
        while len(list(out.glob("shard-*"))) == done and process.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(chooser.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=GENEROUS)
        deaths += process.returncode == -signal.SIGKILL
    assert deaths
    if not (out / "dataset.json").exists() or (out / JOURNAL).exists():
        rowmill.convert(ds, out, to=to, shuffle=7, num_shards=40)
    (out / LOCK).unlink(missing_ok=True)
    assert contents(out) == contents(tmp_path / "straight")
    rows = rows_in(out, to, ds.schema)
    assert [row["id"] for row in rows] == ds.shuffle(7).shard(1, 0).row_ids(0, sum(sizes))


# Rows as samples of a tar.

JPEG, PNG, WAV = b"\xff\xd8\xff\xe0picture", b"\x89PNG\r\n\x1a\npicture", b"RIFF\0\0\0\0WAVEsound"
MEDIA = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def converted(tmp_path: Path, columns: dict[str, Any]) -> tuple[rowmill.Dataset, list[dict[str, Any]], dict[str, Any]]:
    ds = rowmill.open(one_shard(tmp_path / "rows.arrow", columns))
    made = rowmill.convert(ds, tmp_path / "tar", to="webdataset", num_shards=1)
    return ds, samples_of(tmp_path / "tar" / "shard-000000.tar"), made


def test_an_image_with_its_caption_and_label_is_what_webdataset_users_expect(tmp_path: Path) -> None:
    images = pa.array([{"bytes": JPEG, "path": None}, {"bytes": PNG, "path": "a.png"}, None], MEDIA)
    columns = {"image": images, "caption": ["one", None, "three"], "label": [1, 2, None]}
    ds, samples, made = converted(tmp_path, columns)
    assert samples == [
        {"__key__": "000000000", "jpg": JPEG, "txt": b"one", "json": b'{"label": 1}'},
        {"__key__": "000000001", "png": PNG, "json": b'{"image": "a.png", "caption": null, "label": 2}'},
        {"__key__": "000000002", "txt": b"three", "json": b'{"image": null, "label": null}'},
    ]
    assert rows_of(samples, ds.schema) == ds.fetch(range(3))
    assert made["members"]["image"] == {"extension": "", "kind": "media"}


def test_every_type_that_has_a_place_reads_back_equal(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456)
    columns = {
        "Title Text": ["é", "", None],
        "body": pa.array(["a", None, "c"], pa.large_string()),
        "word": pa.array(["x", "y", "x"]).dictionary_encode(),
        "npy": [b"\x93NUMPY", None, b""],
        "raw": pa.array([b"\0\1", b"", None], pa.large_binary()),
        "front": pa.array([{"bytes": JPEG, "path": "f.jpg"}, None, {"bytes": b"odd", "path": None}], MEDIA),
        "sound": pa.array([{"bytes": WAV, "path": None}, None, None], MEDIA),
        "moment": [moment, None, moment],
        "moments": pa.array([[moment], [], None], pa.list_(pa.timestamp("ms", "UTC"))),
        "day": [datetime.date(2024, 2, 29), None, None],
        "price": [decimal.Decimal("1.20"), None, decimal.Decimal("-3.40")],
        "score": pa.array([0.1, float("inf"), None], pa.float32()),
        "huge": pa.array([2**64 - 1, 0, None], pa.uint64()),
        "nested": [{"a": [1, None], "b": {"c": "x"}}, None, {"a": [], "b": None}],
        "nothing": pa.nulls(3),
    }
    ds, samples, _ = converted(tmp_path, columns)
    assert rows_of(samples, ds.schema) == ds.fetch(range(3))
    assert set(samples[0]) == {
        *("__key__", "title_text.txt", "body.txt", "word.txt", "npy", "raw.bin", "front.jpg", "sound.wav", "json")
    }


def test_nulls_stand_in_json_so_that_no_column_vanishes(tmp_path: Path) -> None:
    columns = {
        "text": ["a", None, None],
        "raw": pa.nulls(3, pa.binary()),
        "image": pa.nulls(3, MEDIA),
        "nothing": pa.nulls(3),
    }
    ds, samples, made = converted(tmp_path, columns)
    assert made["num_rows"] == len(samples) == 3
    assert json.loads(samples[1]["json"]) == {"text": None, "raw": None, "image": None, "nothing": None}
    assert samples[0] == {
        "__key__": "000000000",
        "txt": b"a",
        "json": b'{"raw": null, "image": null, "nothing": null}',
    }
    assert rows_of(samples, ds.schema) == ds.fetch(range(3))


def test_a_null_of_a_sample_has_no_member_and_a_sample_of_nulls_is_still_there(tmp_path: Path) -> None:
    keys = {"__key__": ["a", "b"], "txt": pa.array(["x", None]), "__url__": ["u", "v"]}
    _, samples, _ = converted(tmp_path, keys)
    assert samples == [{"__key__": "a", "txt": b"x"}, {"__key__": "b", "json": b"{}"}]
    _, samples, _ = converted(tmp_path / "json", {**keys, "json": [{"n": 1}, None]})
    assert samples[1] == {"__key__": "b", "json": b"null"}


def test_rows_with_keys_are_samples_already(tmp_path: Path) -> None:
    columns = {"__key__": ["a/one", "a/two"], "jpg": [JPEG, JPEG], "seg.png": [None, PNG], "cls": [3, 4]}
    ds, samples, _ = converted(tmp_path, columns)
    assert samples == [
        {"__key__": "a/one", "jpg": JPEG, "cls": b"3"},
        {"__key__": "a/two", "jpg": JPEG, "seg.png": PNG, "cls": b"4"},
    ]
    assert rows_of(samples, ds.schema) == ds.fetch(range(2))


def test_an_image_of_a_sample_keeps_its_name(tmp_path: Path) -> None:
    # As `datasets` reads a tar.
    image = pa.array([{"bytes": PNG, "path": "one.jpg"}], MEDIA)
    columns = {"__key__": ["one"], "jpg": image, "seg.png": image, "other": image, "json": [{"n": 1}]}
    _, samples, _ = converted(tmp_path, columns)
    assert samples == [{"__key__": "one", "jpg": PNG, "seg.png": PNG, "other.png": PNG, "json": b'{"n": 1}'}]


def test_an_image_beside_bytes_that_are_called_like_one_is_named(tmp_path: Path) -> None:
    image = pa.array([{"bytes": PNG, "path": None}], MEDIA)
    _, samples, _ = converted(tmp_path, {"image": image, "png": [b"other"]})
    assert samples == [{"__key__": "000000000", "image.png": PNG, "png": b"other"}]
    with pytest.raises(rowmill.SchemaMismatchError, match=r"would both be \.image\.png"):
        converted(tmp_path / "sample", {"__key__": ["k"], "image": image, "image.png": [b"other"]})


@pytest.mark.parametrize("key", [1.5, True, [1], {"a": 1}])
def test_what_is_no_name_is_no_key(tmp_path: Path, key: Any) -> None:
    with pytest.raises(rowmill.SchemaMismatchError, match="make it a text or an integer"):
        converted(tmp_path, {"__key__": [key], "txt": ["x"]})


@pytest.mark.parametrize("key", ["", "a.b", "/etc/passwd", "../up", "a/../../b", "nul\0", None, b"\xff"])
def test_keys_that_would_leave_the_folder_or_break_a_sample_are_refused(
    tmp_path: Path, key: str | bytes | None
) -> None:
    keys = pa.array(["good", key], pa.binary() if isinstance(key, bytes) else pa.string())
    with pytest.raises(rowmill.SchemaMismatchError, match="no key for a tar"):
        converted(tmp_path, {"__key__": keys, "txt": ["x", "y"]})


def test_rows_that_would_become_one_sample_are_refused(tmp_path: Path) -> None:
    with pytest.raises(rowmill.SchemaMismatchError, match="two rows in turn have the key 'same'"):
        converted(tmp_path, {"__key__": ["same", "same"], "txt": ["x", "y"]})


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"parts": [[b"bytes"]]}, "bytes inside of lists"),
        ({"pairs": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}, "no member"),
        ({"A b": ["x"], "a_b": ["y"]}, r"would both be \.a_b\.txt"),
        ({"__key__": ["k"], "a/b": [b"x"]}, "cannot be an extension"),
        ({"image": pa.array([{"bytes": None, "path": "x.jpg"}], MEDIA)}, "no bytes"),
    ],
)
def test_what_has_no_place_in_a_tar_is_named(tmp_path: Path, columns: dict[str, Any], text: str) -> None:
    with pytest.raises(rowmill.SchemaMismatchError, match=text):
        converted(tmp_path, columns)
