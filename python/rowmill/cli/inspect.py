"""``rowmill inspect``: what is known of shards without reading a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rowmill.cli.opening import IndexDir, Paths, Split, open_dataset
from rowmill.cli.output import AsJson, print_facts, print_json, print_table, print_warnings, size
from rowmill.paths import short_path

if TYPE_CHECKING:
    from rowmill import Dataset

# More names than these are a list, which --shards prints.
_MAX_NAMES = 4


def inspect(
    paths: Paths,
    shards: Annotated[bool, typer.Option("--shards", help="List each shard, and each text file behind them.")] = False,
    ranks: Annotated[
        int, typer.Option(min=1, help="Ranks of the job that is planned; warns where blocks are few.")
    ] = 1,
    split: Split = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Show format, rows, blocks, columns, and what will cost something; reads no row.

    Exit status 1 where a file is not what the others are; an error or a warning names it.
    """
    from rowmill.describe import shard_facts

    ds = open_dataset(paths, index_dir, split=split)
    facts = ds.describe(ranks=ranks)
    if as_json:
        print_json({**facts, "shards": shard_facts(ds._plan.source.rust)} if shards else facts)
    else:
        _print(ds, facts, shards)
    if facts["unread_files"]:
        # Opening has warned of them by name.
        raise typer.Exit(1)


def _print(ds: Dataset, facts: Mapping[str, Any], shards: bool) -> None:
    from rowmill.describe import shard_facts

    print_facts(_summary(facts))
    print_table(["column", "type"], facts["columns"].items(), right=())
    if shards and facts["sources"]:
        _print_sources(facts["sources"])
    if shards:
        _print_shards(shard_facts(ds._plan.source.rust))
    print_warnings(facts["warnings"])


def _summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    num_bytes, num_shards = facts["num_bytes"], facts["num_shards"]
    made = _of_sources(facts["sources"]) if facts["sources"] else {}
    made |= {
        "converted to" if facts["sources"] else "format": _list(facts["formats"], num_shards)
        + (f", {_list(facts['codecs'], num_shards)}" if facts["codecs"] else ""),
        "shards": f"{num_shards:,}, of {_range(facts['rows_per_shard'])} rows",
        "rows": facts["num_rows"],
        "blocks": f"{facts['num_blocks']:,}, of {_range(facts['rows_per_block'])} rows and "
        f"{_range(facts['bytes_per_block'], size)}",
        "bytes": _bytes(num_bytes),
        "fingerprint": facts["fingerprint"],
    }
    if facts["num_row_groups"]:
        made["row groups"] = f"{facts['num_row_groups']:,}, the largest of {size(facts['largest_row_group_bytes'])}"
    return made


def _of_sources(sources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The text files that rowmill reads by the shards it has made of them."""
    num_bytes = sum(one["num_bytes"] for one in sources)
    codecs = Counter(one["codec"] for one in sources if one["codec"])
    packed = ", ".join(name if number == len(sources) else f"{name} ({number:,})" for name, number in codecs.items())
    names = [short_path(str(one["path"])) for one in sources]
    shown = ", ".join(names if len(names) <= _MAX_NAMES else [*names[: _MAX_NAMES - 1], "...", names[-1]])
    return {
        "format": _list(Counter(one["format"] for one in sources), len(sources)) + (f", {packed}" if packed else ""),
        "files": f"{len(sources):,}, of {_bytes(num_bytes)}: {shown}",
    }


def _bytes(number: int) -> str:
    return size(number) if number < 1000 else f"{number:,} bytes ({size(number)})"


def _list(counts: Mapping[str, int], num_shards: int) -> str:
    """Names, with their counts only where they differ from shard to shard."""
    if len(counts) == 1 or all(number == num_shards for number in counts.values()):
        return ", ".join(counts)
    return ", ".join(f"{name} ({number:,})" for name, number in counts.items())


def _range(pair: Sequence[int], show: Any = "{:,}".format) -> str:
    low, high = pair
    return str(show(low)) if low == high else f"{show(low)} to {show(high)}"


def _print_shards(shards: list[dict[str, Any]]) -> None:
    names = ["path", "format", "codecs", "num_rows", "num_blocks", "num_bytes"]
    titles = ["path", "format", "codecs", "rows", "blocks", "bytes"]
    if any(shard["num_row_groups"] for shard in shards):
        names += ["num_row_groups", "largest_row_group_bytes"]
        titles += ["row groups", "largest"]
    lines = ([short_path(str(shard["path"])), *(_cell(shard[name]) for name in names[1:])] for shard in shards)
    print_table(titles, lines, right=titles[3:])


def _print_sources(sources: Sequence[Mapping[str, Any]]) -> None:
    lines = (
        [short_path(str(one["path"])), one["format"], one["codec"] or "-", _cell(one["num_bytes"])] for one in sources
    )
    print_table(["source", "format", "codec", "bytes"], lines, right=["bytes"])


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
