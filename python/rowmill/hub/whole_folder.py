"""Whether a folder has all the files that their own names, or a list beside them, tell of."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rowmill.hub.report import Report

__all__ = ["check_folder"]

_NUMBERED = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.\w+)")


def check_folder(report: Report, folder: Path) -> None:
    """What is numbered or listed is all there."""
    numbered: dict[tuple[str, str, str], int] = {}
    for path in folder.rglob("*"):
        if found := _NUMBERED.fullmatch(path.relative_to(folder).as_posix()):
            key = found[1], found[3], found[4]
            numbered[key] = numbered.get(key, 0) + 1
    for (stem, of, suffix), number in numbered.items():
        if number != int(of):
            report.problems.append(f"{folder} has {number} of the {int(of)} files {stem}-*-of-{of}{suffix}")
    try:
        shards = json.loads((folder / "dataset.json").read_bytes())["shards"]
        sizes = {str(shard["name"]): int(shard["num_bytes"]) for shard in shards}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            report.problems.append(f"{path} is not there, and dataset.json lists it")
        elif path.stat().st_size != size:
            report.problems.append(f"{path} has {path.stat().st_size:,} bytes, and dataset.json says {size:,}")
