"""The text files behind shards that rowmill converted: what `verify` says is said of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["compare_sources", "digests", "tell_of_sources"]


def digests(files: Sequence[str], num_threads: int | None) -> list[dict[str, Any]]:
    """Size and digest of each file, by its path."""
    with ThreadPoolExecutor(num_threads or os.cpu_count() or 1) as pool:
        return list(pool.map(_digest, files))


def _digest(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        return {"path": path, "num_bytes": file.tell(), "blake2b": digest}


def compare_sources(
    expected: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yields a problem for each text file that is not what it was; ``names`` are those of ``found`` from their folder.

    Nothing is expected of a checksum file that knows no text files.
    """
    known = {one["path"]: one for one in expected}
    if len(names) == len(known) == 1:
        # One file by itself may have been renamed.
        known = dict.fromkeys(names, next(iter(known.values())))
    here = dict(zip(names, found, strict=True))
    for name, before in known.items():
        if name not in here:
            yield _problem(name, "it is in the checksum file, but not here")
        elif here[name]["blake2b"] != before["blake2b"]:
            sizes = before["num_bytes"], here[name]["num_bytes"]
            how = "bytes of the file changed" if sizes[0] == sizes[1] else f"{sizes[1]:,} bytes, it had {sizes[0]:,}"
            yield _problem(here[name]["path"], how)
    for name, one in here.items() if known else ():
        if name not in known:
            yield _problem(one["path"], "it is not in the checksum file")


def tell_of_sources(problems: Sequence[dict[str, Any]], shards: Sequence[Mapping[str, Any]], files: list[str]) -> None:
    """Adds to what is said of a converted shard which files its rows are from."""
    converted = {str(shard["path"]) for shard in shards} | {os.path.basename(str(shard["path"])) for shard in shards}
    which = files[0] if len(files) == 1 else f"{len(files):,} files, {files[0]} to {os.path.basename(files[-1])}"
    for one in problems:
        if one["path"] in converted and one["path"] not in files:
            one["problem"] += f" (converted from {which})"


def _problem(path: str, text: str) -> dict[str, Any]:
    return {"path": path, "block": None, "offset": None, "problem": text}
