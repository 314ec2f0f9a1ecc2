"""verify over every format: 250 damaged files of each are found, and none of them ends in anything but a report."""

import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shards import batch_of, write_shards

import rowmill

NUM_ROWS = 300
NUM_MUTANTS = 250


def as_parquet(folder: Path, **options: Any) -> Path:
    path = folder / "part.parquet"
    pq.write_table(pa.Table.from_batches([batch_of(0, NUM_ROWS)]), path, row_group_size=70, **options)
    return path


def as_tar(folder: Path) -> Path:
    path = folder / "part.tar"
    with tarfile.open(path, "w") as tar:
        for index in range(NUM_ROWS):
            for extension, content in (("txt", b"text %d" % index), ("json", json.dumps({"n": index}).encode())):
                member = tarfile.TarInfo(f"{index:06d}.{extension}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


FORMATS: dict[str, Callable[[Path], Path]] = {
    "arrow": lambda folder: write_shards(folder, [NUM_ROWS], block_rows=70)[0],
    "arrow-zstd": lambda folder: write_shards(folder, [NUM_ROWS], block_rows=70, container="file", codec="zstd")[0],
    "parquet": as_parquet,
    "parquet-zstd": lambda folder: as_parquet(folder, compression="zstd", write_page_index=True, data_page_size=512),
    "tar": as_tar,
}


@pytest.fixture(params=FORMATS)
def shard(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    path = FORMATS[request.param](tmp_path / "data")
    try:
        rowmill.open(path)
    except rowmill.RowmillError as error:
        # A format whose room is not built in yet.
        if "not read by this version" in str(error) or "not an Arrow IPC" in str(error):
            pytest.skip(str(error))
        raise
    return path


def mutant(whole: bytes, chooser: random.Random) -> bytes:
    content = bytearray(whole)
    kind = chooser.randrange(4)
    # Half of the damage lies where headers and footers do.
    ends = [chooser.randrange(len(content)), chooser.randrange(1500), len(content) - 1 - chooser.randrange(1500)]
    at = min(max(chooser.choice(ends), 0), len(content) - 1)
    if kind == 0:
        del content[at:]
    elif kind == 1:
        content[at : at + 8] = chooser.choice([b"\0", b"\xff", b"\x7f"]) * len(content[at : at + 8])
    else:
        content[at] ^= 1 << chooser.randrange(8)
    return bytes(content)


def test_every_damaged_file_is_found(shard: Path, tmp_path: Path, run: Any, run_json: Any) -> None:
    sums = tmp_path / "sums.json"
    assert run_json("verify", shard, "--checksums", sums)["num_rows"] == NUM_ROWS
    whole = shard.read_bytes()
    chooser = random.Random(7)
    for index in range(NUM_MUTANTS):
        damaged = mutant(whole, chooser)
        if damaged == whole:
            continue
        shard.write_bytes(damaged)
        found = run("verify", shard, "--checksums", sums, "--json")
        assert found.exit_code == 1, (index, found.output)
        assert isinstance(found.exception, SystemExit)
        assert found.stderr.startswith("error: ") if found.stderr else not json.loads(found.stdout)["is_sound"]
    shard.write_bytes(whole)
    assert run_json("verify", shard, "--checksums", sums)["is_sound"]


def test_without_checksums_damage_ends_in_a_report_as_well(shard: Path, run: Any) -> None:
    whole = shard.read_bytes()
    chooser = random.Random(8)
    statuses = set()
    for _ in range(NUM_MUTANTS // 2):
        shard.write_bytes(mutant(whole, chooser))
        found = run("verify", shard, "--json")
        assert isinstance(found.exception, SystemExit | None), found.exception
        assert "unexpected" not in found.stderr
        statuses.add(found.exit_code)
    assert 1 in statuses <= {0, 1}


def test_a_tar_without_an_end_is_told(run_json: Any, tmp_path: Path) -> None:
    whole = as_tar(tmp_path).read_bytes()
    assert run_json("verify", tmp_path / "part.tar")["warnings"] == []
    (tmp_path / "cut.tar").write_bytes(whole[: 40 * 1024])
    told = run_json("verify", tmp_path / "cut.tar")
    assert told["is_sound"]
    assert told["num_rows"] == 20
    assert "no end of archive" in told["warnings"][0]
