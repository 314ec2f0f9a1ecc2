"""2,000 damaged files through the public API: rows or a RowmillError; never a panic, an abort, a hang or a flood."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mutants import PEAK_BYTES, run_mutants
from shards import CODECS, CONTAINERS, write_shards

NUM_MUTANTS = 2000
FORMATS = [(container, codec) for container in CONTAINERS for codec in CODECS]

# Runs in a process of its own, so that an abort or a panic's text would be seen. Mutants follow from the seed alone.
_SCRIPT = """
import random, resource, sys, warnings
sys.path[:] = {path!r}
import rowmill

source, folder, seed, number = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
whole = open(source, "rb").read()
columns = ["id", "text", "tokens", "ragged", "score", "flag", "nested"]
warnings.simplefilter("ignore")

def mutant(random):
    content = bytearray(whole)
    kind = random.randrange(4)
    if kind == 0:
        del content[random.randrange(len(content)):]
    elif kind == 1:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    else:
        # Headers and footers hold the lengths: aim at them, and put in numbers that hurt.
        near = random.randrange(1, 3000)
        at = random.choice([random.randrange(len(content)), near, len(content) - near])
        value = random.choice([0, 1, 0x7F, 0x80, 0xFF]) if kind == 2 else random.randrange(256)
        width = random.choice([1, 4, 8])
        content[at:at + width] = bytes([value]) * min(width, len(content) - at)
    return bytes(content)

def read(path, io, batched, format):
    ds = rowmill.open(path, index_dir=folder).select_columns(columns)
    ds = ds.batch(7).with_format(format) if batched else ds
    return sum(1 for _ in ds.loader(io=io, num_threads=1))

outcomes = {{}}
for index in range(number):
    chooser = random.Random(seed * 1_000_003 + index)
    path = f"{{folder}}/mutant-{{index % 3}}.arrow"
    with open(path, "wb") as out:
        out.write(mutant(chooser))
    format = chooser.choice(["numpy", "torch", "arrow", "python"])
    for io, batched, format in (("mmap", False, None), ("read", True, format)):
        try:
            read(path, io, batched, format)
            outcome = "rows"
        except rowmill.RowmillError as error:
            outcome = type(error).__name__
            assert str(error)
        except BaseException as error:
            print("seed", seed, "mutant", index, io, batched, format, type(error).__name__, error)
            outcome = "bad"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
print("outcomes", outcomes)
print("peak", peak_bytes())
"""


@pytest.mark.parametrize("part", range(len(FORMATS)), ids=["-".join(map(str, chosen)) for chosen in FORMATS])
def test_a_damaged_file_gives_rows_or_an_error_of_ours(tmp_path: Path, part: int) -> None:
    container, codec = FORMATS[part]
    source = write_shards(tmp_path / "whole", [40], block_rows=15, container=container, codec=codec)[0]
    folder = tmp_path / "mutants"
    folder.mkdir()
    path = [entry for entry in sys.path if entry]
    number = -(-NUM_MUTANTS // len(FORMATS))
    run = run_mutants(PEAK_BYTES + _SCRIPT.format(path=path), source, folder, part, number, timeout=150)
    # Both ends are seen, or the mutants prove nothing.
    assert sum(run.outcomes.values()) == 2 * number
    assert run.outcomes.get("rows", 0) > 10
    assert run.outcomes.get("CorruptShardError", 0) > 10
    assert run.peak < 1 << 30
