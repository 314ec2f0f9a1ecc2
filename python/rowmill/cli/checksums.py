"""Checksum files: what shards held when they were sound, as JSON beside or apart from them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rowmill.cli.state_file import write_json
from rowmill.exceptions import RowmillError

__all__ = ["compare", "names_of", "read_checksums", "write_checksums"]

_VERSION = 1
_ALGORITHM = "xxh3-128"
# A million blocks take 40 MB.
_MAX_BYTES = 4 << 30


def write_checksums(path: Path, shards: Sequence[Mapping[str, Any]], sources: Sequence[Mapping[str, Any]] = ()) -> None:
    """Writes what ``verify`` found, whole or not at all; files by their place under the folder they share."""
    names = names_of([str(shard["path"]) for shard in shards])
    entries = [
        {
            "path": name,
            "num_bytes": shard["num_bytes"],
            "num_rows": shard["num_rows"],
            "checksum": shard["checksum"],
            "blocks": [checksum for _, _, checksum in shard["blocks"]],
        }
        for name, shard in zip(names, shards, strict=True)
    ]
    content: dict[str, Any] = {"rowmill_checksums": _VERSION, "algorithm": _ALGORITHM, "shards": entries}
    if sources:
        texts = names_of([str(source["path"]) for source in sources])
        content["sources"] = [{**source, "path": name} for source, name in zip(sources, texts, strict=True)]
    write_json(path, content)


def read_checksums(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The shards in a checksum file, and the text files that they were converted from.

    Raises:
        RowmillError: It is no checksum file, or one of another version.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise RowmillError(f"{path} is too large to be a checksum file", str(path))
    try:
        content = json.loads(path.read_bytes())
        is_known = content["rowmill_checksums"] == _VERSION and content["algorithm"] == _ALGORITHM
        shards = [_checked(shard) for shard in content["shards"]]
        sources = [_checked_source(source) for source in content.get("sources", ())]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RowmillError(
            f"{path} is there and is no checksum file of rowmill; name another file, or remove it to have one written",
            str(path),
        ) from None
    if not is_known:
        raise RowmillError(f"{path} is a checksum file of another version; remove it to have one written", str(path))
    return shards, sources


def _checked(shard: Any) -> dict[str, Any]:
    made = {name: shard[name] for name in ("path", "num_bytes", "num_rows", "checksum", "blocks")}
    if not isinstance(made["path"], str) or not isinstance(made["blocks"], list):
        raise TypeError
    return made


def _checked_source(source: Any) -> dict[str, Any]:
    return {"path": str(source["path"]), "num_bytes": int(source["num_bytes"]), "blake2b": str(source["blake2b"])}


def compare(
    expected: Sequence[Mapping[str, Any]], shards: Sequence[Mapping[str, Any]], damaged: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yields a problem for each block and file that is not what it was; ``damaged`` files have been told of."""
    names = names_of([*(str(shard["path"]) for shard in shards), *damaged])
    found = dict(zip(names, shards, strict=False))
    known = {shard["path"]: shard for shard in expected}
    # One file by itself may have been renamed.
    if len(names) == len(known) == 1:
        known = dict.fromkeys(names, next(iter(known.values())))
    for name, before in known.items():
        if name not in names:
            yield _problem(name, "it is in the checksum file, but not here")
        elif name in found and found[name]["checksum"] is not None and found[name]["checksum"] != before["checksum"]:
            yield from _changes(before, found[name])
    for name, shard in found.items():
        if name not in known:
            yield _problem(shard["path"], "it is not in the checksum file")


def _changes(before: Mapping[str, Any], shard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if len(before["blocks"]) != len(shard["blocks"]) or before["num_rows"] != shard["num_rows"]:
        yield _problem(
            shard["path"],
            f"{shard['num_rows']:,} rows in {len(shard['blocks']):,} blocks, "
            f"it had {before['num_rows']:,} in {len(before['blocks']):,}",
        )
        return
    is_told = bool(shard["problems"])
    for index, (was, (offset, _, checksum)) in enumerate(zip(before["blocks"], shard["blocks"], strict=True)):
        # Without a checksum the block is damaged, and has been told of.
        if checksum is not None and checksum != was:
            yield _problem(shard["path"], "its values are not those of the checksum file", index, offset)
            is_told = True
    if not is_told:
        yield _problem(shard["path"], "bytes of the file changed, but no value of its rows did")


def _problem(path: Any, text: str, block: int | None = None, offset: int | None = None) -> dict[str, Any]:
    return {"path": str(path), "block": block, "offset": offset, "problem": text}


def names_of(paths: list[str]) -> list[str]:
    """The paths from the folder that they share, with slashes: equal for a copy elsewhere."""
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
    shared = os.path.commonpath(folders) if folders else ""
    return [Path(os.path.relpath(os.path.abspath(path), shared)).as_posix() for path in paths]
