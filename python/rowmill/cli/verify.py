"""``rowmill verify``: read everything, and say what is damaged."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from rowmill.cli.checksums import compare, names_of, read_checksums, write_checksums
from rowmill.cli.opening import IndexDir, Paths, Split, open_dataset
from rowmill.cli.output import AsJson, check_target, plural, print_json, print_table, print_warnings, size
from rowmill.cli.progress import progress_bar
from rowmill.cli.text_sources import compare_sources, digests, tell_of_sources
from rowmill.exceptions import CorruptShardError
from rowmill.paths import short_path

# More lines than these are no help; --json has all of them.
_MAX_LINES = 200
# Two blocks of zeros.
_END_OF_TAR = 1024
_DAMAGED = re.compile(r" is damaged(?:, block (\d+))?(?:, byte (\d+))?: (.*)", re.DOTALL)


def verify(
    paths: Paths,
    checksums: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="Written where it is not there, else compared with: finds every changed value.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that read.", show_default="all cores")] = None,
    split: Split = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Read every byte on all cores: headers, lengths, values, UTF-8 and counts.

    Lists each damaged block with its file, place and problem, and exits with status 1. A changed value that still
    decodes is found by --checksums only: xxh3-128 over each block's values and over each file's bytes.
    """
    import rowmill.dataset  # noqa: F401  (torch's import is not the reading's)

    if checksums is not None and not checksums.exists():
        check_target(checksums, "--checksums")
    expected = read_checksums(checksums) if checksums is not None and checksums.exists() else None
    begun = time.perf_counter()
    shards, problems = _read(paths, index_dir, split, threads)
    texts = _texts(paths) if shards else []
    sources = digests(texts, threads) if checksums is not None else []
    seconds = time.perf_counter() - begun
    if expected is not None:
        walked = {str(shard["path"]) for shard in shards}
        problems += compare(expected[0], shards, [one["path"] for one in problems if one["path"] not in walked])
        problems += compare_sources(expected[1], sources, names_of(texts))
        problems.sort(key=_place)
    if texts:
        tell_of_sources(problems, shards, texts)
    is_written = checksums is not None and expected is None and not problems
    if checksums is not None and is_written:
        write_checksums(checksums, shards, sources)
    facts = {
        "num_shards": len(shards),
        "num_blocks": sum(len(shard["blocks"]) for shard in shards),
        "num_rows": sum(shard["num_rows"] for shard in shards),
        "num_bytes": sum(shard["num_bytes"] for shard in shards),
        "seconds": round(seconds, 6),
        "is_sound": not problems,
        "checksums": None if checksums is None else "compared" if expected is not None else _written(is_written),
        "problems": problems,
        "warnings": [warning for shard in shards for warning in _without_end(Path(shard["path"]))],
    }
    if as_json:
        print_json(facts)
    else:
        _print(facts, checksums)
    raise typer.Exit(1 if problems else 0)


def _written(is_written: bool) -> str:
    return "written" if is_written else "not written"


def _read(
    paths: list[str], index_dir: Path | None, split: str | None, threads: int | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What each shard holds, and what is wrong; headers are walked again, as the index may be older."""
    try:
        ds = open_dataset(paths, index_dir, split=split, force=True, on_error="skip", is_quiet=True)
    except CorruptShardError as error:
        # Not one shard could be walked.
        return [], [_skipped(error.path or paths[0], str(error))]
    source = ds._plan.source.rust
    problems = [_skipped(str(path), text) for path, text in source.skipped]
    with progress_bar("verifying") as report:
        shards = source.verify(num_threads=threads, progress=report)
    problems += [_problem(shard["path"], *problem) for shard in shards for problem in shard["problems"]]
    return shards, sorted(problems, key=_place)


def _texts(paths: list[str]) -> list[str]:
    """The text files that the shards were converted from, if they were."""
    from rowmill.conversion.listing import text_files
    from rowmill.source import as_paths

    return [file.path for file in text_files(as_paths(paths)) or ()]


def _skipped(path: str, text: str) -> dict[str, Any]:
    """A shard that could not be walked; its error's text has the place in it."""
    found = _DAMAGED.fullmatch(text.removeprefix(path))
    if found is None:
        return _problem(path, None, None, text)
    block, offset, problem = found.groups()
    return _problem(path, None if block is None else int(block), None if offset is None else int(offset), problem)


def _place(problem: dict[str, Any]) -> tuple[Any, ...]:
    """Sorts by file and block, the file as a whole first."""
    return problem["path"], -1 if problem["block"] is None else problem["block"], problem["offset"] or 0


def _problem(path: Any, block: int | None, offset: int | None, text: str) -> dict[str, Any]:
    return {"path": str(path), "block": block, "offset": offset, "problem": text}


def _print(facts: dict[str, Any], checksums: Path | None) -> None:
    problems = facts["problems"]
    if problems:
        lines = (
            [short_path(one["path"]), _cell(one["block"]), _cell(one["offset"]), one["problem"]] for one in problems
        )
        shown = [line for line, _ in zip(lines, range(_MAX_LINES), strict=False)]
        print_table(["file", "block", "byte", "problem"], shown, right=["block", "byte"])
        if len(problems) > _MAX_LINES:
            print(f"and {len(problems) - _MAX_LINES:,} more; --json lists all of them")
    rate = facts["num_bytes"] / max(facts["seconds"], 1e-9)
    print(
        f"{plural(facts['num_shards'], 'shard')}, {plural(facts['num_blocks'], 'block')}, "
        f"{plural(facts['num_rows'], 'row')}, "
        f"{size(facts['num_bytes'])} read in {facts['seconds']:.2f} s ({size(rate)}/s)"
    )
    if checksums is not None:
        print(
            f"{checksums}: {facts['checksums']}"
            + ("" if facts["checksums"] != "not written" else ", for data is damaged")
        )
    print_warnings(facts["warnings"])
    files = len({one["path"] for one in problems})
    print(f"{plural(len(problems), 'problem')} in {plural(files, 'file')}" if problems else "all is sound")


def _without_end(path: Path) -> list[str]:
    """A word on a tar that stops between two members as if its writer had been stopped there."""
    if path.suffix.lower() != ".tar" or not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _END_OF_TAR, 0))
        has_end = file.read() == bytes(_END_OF_TAR)
    return [] if has_end else [f"{path} has no end of archive: its writer may have been stopped, and samples missing"]


def _cell(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
