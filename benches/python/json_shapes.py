"""JSON lines of the shapes that people have: web pages, chats, calls of tools, code, sparse records, numbers."""

import gzip
import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from corpus import Corpus, text_pieces

SHAPE_BYTES = 200_000_000  # at scale 1, unpacked
PACKINGS = ("", ".gz", ".zst")
_ROLES = ("user", "assistant")


def path_of(corpus: Corpus, shape: str, packing: str) -> Path:
    """The file of one shape, made when it is not there."""
    folder = corpus.made(f"json-{shape}", lambda to: write(corpus, to, shape))
    return folder / f"{shape}.jsonl{packing}"


def write(corpus: Corpus, folder: Path, shape: str) -> None:
    """One shape, plain and packed."""
    import pyarrow as pa

    rng = np.random.default_rng([1, sorted(SHAPES).index(shape)])
    rows, written = SHAPES[shape](rng, text_pieces()), 0
    with (
        open(folder / f"{shape}.jsonl", "wb") as plain,
        gzip.open(folder / f"{shape}.jsonl.gz", "wb", compresslevel=6) as gz,
        pa.CompressedOutputStream(str(folder / f"{shape}.jsonl.zst"), "zstd") as zst,
    ):
        while written < SHAPE_BYTES * corpus.scale:
            line = json.dumps(next(rows), ensure_ascii=False).encode() + b"\n"
            written += len(line)
            for file in (plain, gz, zst):
                file.write(line)


def web(rng: np.random.Generator, pieces: list[str]) -> Iterator[dict[str, Any]]:
    """A page and where it is from, as FineWeb has it."""
    for row in count():
        text = pieces[row % len(pieces)]
        yield {
            "text": text,
            "id": f"<urn:uuid:{rng.bytes(16).hex()}>",
            "url": f"https://example.org/{row}/page.html",
            "date": "2024-05-18T11:40:12Z",
            "language": "en",
            "language_score": round(float(rng.random()), 4),
            "token_count": len(text) // 4,
        }


def chats(rng: np.random.Generator, pieces: list[str]) -> Iterator[dict[str, Any]]:
    """Turns of two speakers, of some hundred letters each."""
    for row in count():
        turns = [_turn(rng, pieces) for _ in range(2 * int(rng.integers(1, 6)))]
        messages = [{"role": _ROLES[index % 2], "content": turn} for index, turn in enumerate(turns)]
        yield {"id": row, "messages": messages, "source": "demo"}


def tools(rng: np.random.Generator, pieces: list[str]) -> Iterator[dict[str, Any]]:
    """Turns that call functions: lists of objects in lists, and fields that are null everywhere."""
    for row in count():
        call = {"id": f"call_{row}", "function": {"name": "search", "arguments": json.dumps({"q": "x" * 40})}}
        messages = [
            {"role": "user", "content": _turn(rng, pieces), "name": None, "tool_calls": None, "tool_call_id": None},
            {"role": "assistant", "content": None, "name": None, "tool_calls": [call], "tool_call_id": None},
            {
                "role": "tool",
                "content": _turn(rng, pieces),
                "name": None,
                "tool_calls": None,
                "tool_call_id": f"call_{row}",
            },
            {"role": "assistant", "content": _turn(rng, pieces), "name": None, "tool_calls": [], "tool_call_id": None},
        ]
        yield {"messages": messages, "metadata": {"score": None, "tags": []}}


def code(rng: np.random.Generator, pieces: list[str]) -> Iterator[dict[str, Any]]:
    """Whole files of source: long texts with an escape in every line."""
    for row in count():
        parts = 1 + int(rng.exponential(5))
        content = "\n\t".join(pieces[(row * 7 + part) % len(pieces)] for part in range(min(parts, 60)))
        yield {
            "repo": f"user/project-{row % 1000}",
            "path": f"src/module_{row}.rs",
            "content": content.replace("`", '"'),
            "licenses": ["MIT", "Apache-2.0"][: row % 3],
            "size": len(content),
            "is_vendor": False,
        }


def sparse(rng: np.random.Generator, pieces: list[str]) -> Iterator[dict[str, Any]]:
    """Records of forty fields, most of them null or left out, some of them always."""
    for row in count():
        here = rng.random(40)
        record: dict[str, Any] = {"id": row, "title": pieces[row % len(pieces)][:60]}
        for field in range(40):
            if here[field] < 0.15 and field % 10:
                record[f"field_{field}"] = [row, here[field], f"value {row}", row % 2 == 0][field % 4]
            elif here[field] < 0.7:
                record[f"field_{field}"] = None
        yield record


def numbers(rng: np.random.Generator, pieces: list[str]) -> Iterator[dict[str, Any]]:
    """Token ids and an embedding."""
    for row in count():
        yield {
            "id": row,
            "input_ids": rng.integers(0, 50_000, 256).tolist(),
            "embedding": [round(float(value), 6) for value in rng.standard_normal(128)],
            "score": float(rng.random()),
        }


def _turn(rng: np.random.Generator, pieces: list[str]) -> str:
    piece = pieces[int(rng.integers(len(pieces)))]
    return piece[: int(rng.integers(20, 1200))]


SHAPES: dict[str, Callable[[np.random.Generator, list[str]], Iterator[dict[str, Any]]]] = {
    "web": web,
    "chats": chats,
    "tools": tools,
    "code": code,
    "sparse": sparse,
    "numbers": numbers,
}
