"""verify: sound data, damage of every kind, and checksum files."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from shards import write, write_shards
from typer.testing import Result

import rowmill

Run = Callable[..., Result]
RunJson = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(tmp_path / "data", [23, 0, 40], block_rows=10)
    return tmp_path / "data"


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Flips a bit as a disk does: the file's times stay what they were."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_sound_data_is_all_read(run_json: RunJson, run: Run, folder: Path) -> None:
    opened = rowmill.open(folder)
    facts = run_json("verify", folder)
    counts = opened.describe()
    assert facts["is_sound"]
    assert facts["problems"] == []
    assert {name: facts[name] for name in ("num_rows", "num_shards", "num_blocks", "num_bytes")} == {
        name: counts[name] for name in ("num_rows", "num_shards", "num_blocks", "num_bytes")
    }
    assert "all is sound" in run("verify", folder).stdout


def test_a_checksum_file_is_written_then_compared(run_json: RunJson, folder: Path, tmp_path: Path) -> None:
    sums = tmp_path / "sums.json"
    assert run_json("verify", folder, "--checksums", sums)["checksums"] == "written"
    before = sums.read_bytes()
    assert run_json("verify", folder, "--checksums", sums)["checksums"] == "compared"
    assert sums.read_bytes() == before
    # A copy elsewhere is the same data.
    shutil.copytree(folder, tmp_path / "copy")
    assert run_json("verify", tmp_path / "copy", "--checksums", sums)["is_sound"]


def test_checksums_are_those_of_the_known_algorithm(run_json: RunJson, folder: Path, tmp_path: Path) -> None:
    xxhash = pytest.importorskip("xxhash")
    run_json("verify", folder, "--checksums", tmp_path / "sums.json")
    for shard in json.loads((tmp_path / "sums.json").read_text())["shards"]:
        assert xxhash.xxh3_128_hexdigest((folder / shard["path"]).read_bytes()) == shard["checksum"]


def test_a_changed_value_is_found_in_its_block(run_json: RunJson, run: Run, folder: Path, tmp_path: Path) -> None:
    sums = tmp_path / "sums.json"
    run_json("verify", folder, "--checksums", sums)
    path = folder / "shard-2.arrow"
    at = path.read_bytes().index(b"row 45 ")  # in the third block of rows, after an empty one
    flip(path, at + 4)
    # It decodes, and only the checksums know.
    assert rowmill.open(folder).fetch([45])[0]["text"].startswith("row 55")
    assert run_json("verify", folder)["is_sound"]
    problems = run_json("verify", folder, "--checksums", sums, status=1)["problems"]
    assert [(Path(one["path"]).name, one["block"]) for one in problems] == [("shard-2.arrow", 3)]
    assert 0 < problems[0]["offset"] < at
    told = run("verify", folder, "--checksums", sums)
    assert told.exit_code == 1
    assert "1 problem in 1 file" in told.stdout


def test_bytes_that_are_no_text_are_found_without_checksums(run_json: RunJson, folder: Path) -> None:
    path = folder / "shard-0.arrow"
    flip(path, path.read_bytes().index(b"row 12 "), 7)
    (problem,) = run_json("verify", folder, status=1)["problems"]
    assert problem["block"] == 2
    assert "UTF-8" in problem["problem"]
    assert "text" in problem["problem"]


def test_a_truncated_file_is_named_and_the_others_are_read(run_json: RunJson, folder: Path, tmp_path: Path) -> None:
    sums = tmp_path / "sums.json"
    run_json("verify", folder, "--checksums", sums)
    path = folder / "shard-2.arrow"
    os.truncate(path, path.stat().st_size // 2)
    for extra in ([], ["--checksums", sums]):
        facts = run_json("verify", folder, *extra, status=1)
        assert {Path(one["path"]).name for one in facts["problems"]} == {"shard-2.arrow"}
        assert facts["num_shards"] == 2
        assert facts["problems"][0]["offset"] > 0
        assert facts["problems"][0]["problem"].startswith("truncated")
    assert run_json("verify", path, status=1)["problems"][0]["path"] == str(path)


def test_a_file_that_went_and_one_that_came_are_named(run_json: RunJson, folder: Path, tmp_path: Path) -> None:
    sums = tmp_path / "sums.json"
    run_json("verify", folder, "--checksums", sums)
    (folder / "shard-2.arrow").rename(folder / "shard-9.arrow")
    problems = run_json("verify", folder, "--checksums", sums, status=1)["problems"]
    assert {Path(one["path"]).name: one["problem"] for one in problems} == {
        "shard-2.arrow": "it is in the checksum file, but not here",
        "shard-9.arrow": "it is not in the checksum file",
    }


def test_damaged_data_gets_no_checksum_file(run_json: RunJson, folder: Path, tmp_path: Path) -> None:
    path = folder / "shard-0.arrow"
    flip(path, path.read_bytes().index(b"row 12 "), 7)
    assert run_json("verify", folder, "--checksums", tmp_path / "sums.json", status=1)["checksums"] == "not written"
    assert not (tmp_path / "sums.json").exists()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "3", '{"rowmill_checksums": 1, "algorithm": "xxh3-128", "shards": 3}']
)
def test_what_is_no_checksum_file_is_never_overwritten(run: Run, folder: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.json").write_text(text)
    result = run("verify", folder, "--checksums", tmp_path / "notes.json")
    assert result.exit_code == 1
    assert "no checksum file" in result.stderr
    assert (tmp_path / "notes.json").read_text() == text


def test_the_same_values_have_the_same_checksum_whatever_holds_them(run_json: RunJson, tmp_path: Path) -> None:
    """Plain or compressed, from an offset, as a dictionary: what a block's checksum is over are its values."""
    texts = pa.array([f"text {index % 7}" if index % 5 else None for index in range(100)])
    batches = {
        "plain": (pa.record_batch({"t": texts}), None),
        "zstd": (pa.record_batch({"t": texts}), "zstd"),
        "slice": (pa.record_batch({"t": pa.concat_arrays([texts, texts])}).slice(100), "lz4"),
    }
    sums = set()
    for name, (batch, codec) in batches.items():
        path = write(tmp_path / f"{name}.arrow", [batch], batch.schema, "stream", codec)
        run_json("verify", path, "--checksums", tmp_path / f"{name}.json")
        (shard,) = json.loads((tmp_path / f"{name}.json").read_text())["shards"]
        sums.add(tuple(shard["blocks"]))
    assert len(sums) == 1


def test_every_flipped_bit_is_found(folder: Path, tmp_path: Path, run_json: RunJson, run: Run) -> None:
    """Wherever it lies: in a value, an offset, a header, under a null or in padding."""
    sums = tmp_path / "sums.json"
    path = folder / "shard-0.arrow"
    run_json("verify", path, "--checksums", sums)
    whole = path.read_bytes()
    chooser = random.Random(4)
    for _ in range(150):
        flip(path, chooser.randrange(len(whole)), chooser.randrange(8))
        result = run("verify", path, "--checksums", sums, "--json")
        assert result.exit_code == 1, result.output
        assert isinstance(result.exception, SystemExit)
        path.write_bytes(whole)
    assert run("verify", path, "--checksums", sums).exit_code == 0


def test_progress_is_told_and_may_end_the_reading(folder: Path) -> None:
    source = rowmill.open(folder)._plan.source.rust
    told: list[tuple[int, int]] = []
    source.verify(progress=lambda done, total: told.append((done, total)), num_threads=2)
    done, total = told[-1]
    assert done == total > 0

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.verify(progress=stop)


def test_checksums_that_cannot_be_written_are_refused_before_reading(run: Any, sample: Path, tmp_path: Path) -> None:
    told = run("verify", sample, "--checksums", tmp_path / "none" / "c.json")
    assert told.exit_code == 2
    assert "there is no folder" in told.stderr


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_changes_of_text_name_the_text_file(run_json: Any, tmp_path: Path, kind: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for index in range(3):
        lines = [f"{index},{row}" if kind == "csv" else f'{{"a":{index},"b":{row}}}' for row in range(20)]
        (data / f"s-{index}.{kind}").write_text("\n".join((["a,b"] if kind == "csv" else []) + lines) + "\n")
    command = ("verify", data, "--checksums", tmp_path / "c.json")
    run_json(*command)
    assert run_json(*command)["problems"] == []
    changed = data / f"s-1.{kind}"
    changed.write_text(changed.read_text().replace("19", "18"))
    problems = run_json(*command, status=1)["problems"]
    assert [one["problem"] for one in problems if one["path"] == str(changed)] == ["bytes of the file changed"]
    assert all(one["path"] == str(changed) or str(data) in one["problem"] for one in problems)
    changed.unlink()
    problems = run_json(*command, status=1)["problems"]
    assert {changed.name, "part-00000.arrow"} == {Path(one["path"]).name for one in problems}
