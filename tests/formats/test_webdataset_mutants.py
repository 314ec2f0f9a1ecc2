"""Damaged tars through the public API: rows or a RowmillError, within memory and time, and nothing on stderr."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import pytest
from mutants import PEAK_BYTES, run_mutants

NUM_MUTANTS = 400
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}

# Runs in a process of its own, so that an abort or a panic's text would be seen. Mutants follow from the seed alone.
_SCRIPT = """
import random, resource, sys, warnings
sys.path[:] = {path!r}
import rowmill

source, folder, seed, number = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
whole = open(source, "rb").read()
warnings.simplefilter("ignore")

def sealed(content, at):
    # Lies that no checksum finds: of sizes, types, names.
    block = content[at:at + 512]
    block[148:156] = b" " * 8
    content[at + 148:at + 156] = b"%06o\\0 " % sum(block)

def mutant(random):
    content = bytearray(whole)
    kind = random.randrange(5)
    at = random.randrange(len(content))
    if kind == 0:
        del content[at:]
    elif kind == 1:
        content[at] ^= 1 << random.randrange(8)
    else:
        # Headers hold the lengths: aim at them, and put in numbers that hurt.
        header = random.randrange(len(content) // 512) * 512
        field, width = random.choice([(0, 100), (124, 12), (156, 1), (257, 8), (345, 155), (0, 512)])
        place = header + field + random.randrange(width)
        if kind == 2:
            content[place] = random.choice([0, 1, 0x2E, 0x2F, 0x30, 0x37, 0x7F, 0x80, 0xFF])
        elif kind == 3:
            large = [b"7" * 12, b"\\x80" + b"\\xff" * 11, b"\\x80" + bytes(7) + b"\\xff" * 4]
            content[header + 124:header + 136] = random.choice(large)
        else:
            content[header + 156] = random.choice(b"0123456789xgLKSVX\\0")
        if random.random() < 0.8:
            sealed(content, header)
    return bytes(content)

def read(path, io, batched):
    ds = rowmill.open(path, index_dir=folder)
    ds = ds.batch(7) if batched else ds.decode()
    return sum(1 for _ in ds.loader(io=io, num_threads=1))

outcomes = {{}}
for index in range(number):
    chooser = random.Random(seed * 1_000_003 + index)
    path = f"{{folder}}/mutant-{{index % 3}}.tar"
    with open(path, "wb") as out:
        out.write(mutant(chooser))
    for io, batched in (("mmap", False), ("read", True)):
        try:
            read(path, io, batched)
            outcome = "rows"
        except rowmill.RowmillError as error:
            outcome = type(error).__name__
            assert str(error)
        except BaseException as error:
            print("seed", seed, "mutant", index, io, batched, type(error).__name__, error)
            outcome = "bad"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
print("outcomes", outcomes)
print("peak", peak_bytes())
"""


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_tar_gives_rows_or_an_error_of_ours(tmp_path: Path, name: str) -> None:
    source = write(tmp_path / "whole.tar", FORMATS[name])
    folder = tmp_path / "mutants"
    folder.mkdir()
    number = -(-NUM_MUTANTS // len(FORMATS))
    seed = list(FORMATS).index(name)
    script = _SCRIPT.format(path=[entry for entry in sys.path if entry])
    run = run_mutants(PEAK_BYTES + script, source, folder, seed, number, timeout=100)
    # Both ends are seen, or the mutants prove nothing.
    assert sum(run.outcomes.values()) == 2 * number
    assert run.outcomes.get("rows", 0) > 10
    assert run.outcomes.get("CorruptShardError", 0) > 10
    assert run.peak < 1 << 30


def write(path: Path, format: int) -> Path:
    """Forty samples with long and short names and values."""
    import io

    with tarfile.open(path, "w", format=format) as tar:
        for index in range(40):
            folder = "folder/" * (index % 3 * 8)
            for extension, value in [("txt", b"text" * index), ("cls", b"7"), ("json", b'{"a": 1}')]:
                info = tarfile.TarInfo(f"{folder}{index:04}.{extension}")
                info.size = len(value)
                info.mtime = index + 0.5
                tar.addfile(info, io.BytesIO(value))
    return path
