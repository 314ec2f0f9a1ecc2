"""Converts mutants of text files, FIRST to LAST, and says what became of them; the parser may end the process."""

import json
import os
import random
import sys
import tempfile
import zlib
from pathlib import Path

from rowmill.conversion import chunks, csv_files, json_lines
from rowmill.conversion.kinds import sniff
from rowmill.conversion.text_files import convert_text
from rowmill.exceptions import RowmillError

KINDS = ["jsonl", "jsonl.gz", "csv", "csv.gz"]
PIECES = [
    b"",
    b"\n",
    b'"',
    b"\\",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b"\xff",
    b"\0",
    b"null",
    b"1e999",
    b"-",
    b"\\u12",
]


def row(index: int) -> dict:
    return {
        "a": None if index % 3 == 0 else index,
        "b": "text\n" * (index % 4),
        "c": [index] * (index % 3) if index % 2 else None,
        "d": {"e": [{"f": True}] * (index % 2), "g": None, **({"h": "2024-01-01"} if index % 5 else {})},
        "i": [None] * (index % 3),
        **({f"late{index % 7}": [{"x": index}]} if index > 30 else {}),
    }


def original(kind: str) -> bytes:
    if kind.startswith("jsonl"):
        text = "".join(json.dumps(row(index)) + "\n" for index in range(60))
    else:
        text = "a,b,c\n" + "".join(f'{index},"x ""{index}""\ny",2024-01-01\n' for index in range(80))
    return zlib.compress(text.encode(), wbits=31) if kind.endswith("gz") else text.encode()


def mutant(seed: int) -> tuple[str, bytes]:
    chooser = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    data = bytearray(original(kind))
    for _ in range(chooser.choice([1, 1, 2, 5, 20])):
        at, size = chooser.randrange(len(data)), chooser.choice([0, 1, 1, 3, 40])
        other = chooser.randrange(len(data))
        data[at : at + size] = chooser.choice([chooser.choice(PIECES), bytes(data[other : other + size])])
    return kind, bytes(data)


def is_clean(error: RowmillError, path: Path, out: Path) -> bool:
    assert str(path) in str(error), error
    assert not list(out.iterdir())
    return True


def main() -> None:
    chunks.CHUNK_BYTES, json_lines._EARLY_BYTES, csv_files._BLOCK_BYTES = 300, 1000, 300
    # Nothing here outlives the process, and a busy disk takes a while.
    os.fsync = lambda _: None
    read = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(int(sys.argv[1]), int(sys.argv[2])):
            kind, data = mutant(seed)
            path, out = Path(folder) / f"{seed}.{kind}", Path(folder) / str(seed)
            path.write_bytes(data)
            out.mkdir()
            print("begun", seed, flush=True)
            try:
                convert_text([sniff(str(path), kind.partition(".")[0])], out, lambda _: None)
                read += 1
            except RowmillError as error:
                refused += is_clean(error, path, out)
    print(f"read {read} refused {refused}")


main()
