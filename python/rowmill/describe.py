"""What is known of a dataset without reading it, and what in its shape will cost something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rowmill.conversion.listing import text_files
from rowmill.mixing.counts import mixed_sources

if TYPE_CHECKING:
    from rowmill import _rust
    from rowmill.plan import Plan

__all__ = ["describe", "shard_facts", "warnings_of"]

# With fewer blocks a rank, the ranks' shares of the reading differ by more than a quarter.
_BLOCKS_PER_RANK = 4
# Four windows of the default size.
_HUGE_BYTES = 64 << 20
_UNEVEN = 4


def describe(plan: Plan, num_rows: int, columns: Mapping[str, str], *, ranks: int = 1) -> dict[str, Any]:
    """All that ``rowmill inspect`` prints, as plain values."""
    source = plan.source.rust
    shards = shard_facts(source)
    return {
        "num_rows": num_rows,
        "num_shards": source.num_shards,
        "num_blocks": source.num_blocks,
        "num_bytes": source.num_bytes,
        "fingerprint": plan.source.fingerprint,
        "sources": _sources(plan),
        "formats": _counts(shard["format"] for shard in shards),
        "codecs": _counts(codec for shard in shards for codec in shard.get("codecs", ())),
        "rows_per_shard": _spread([shard["num_rows"] for shard in shards]),
        "rows_per_block": list(source.block_rows_range),
        "bytes_per_block": list(source.block_bytes_range),
        "num_row_groups": _known_sum(shard.get("num_row_groups") for shard in shards),
        "largest_row_group_bytes": max((shard.get("largest_row_group_bytes") or 0 for shard in shards), default=0),
        "columns": dict(columns),
        "unread_files": [str(path) for path in source.strangers],
        "order": plan.order.as_dict(),
        "pipeline": list(plan.pipeline.description),
        "tokenizer": None if plan.pipeline.tokenize is None else plan.pipeline.tokenize.tokenizer.describe(),
        "batch_size": plan.batch_size,
        "mix": mixed_sources(plan),
        "warnings": warnings_of(source, shards, ranks),
    }


def _sources(plan: Plan) -> list[dict[str, Any]]:
    """The text files that the shards were converted from: path, format, codec, num_bytes; none of other shards."""
    options = plan.source.options
    return [
        {"path": file.path, "format": file.kind, "codec": file.codec, "num_bytes": Path(file.path).stat().st_size}
        for file in text_files(options.paths, options.format) or ()
    ]


def shard_facts(source: _rust.Source) -> list[dict[str, Any]]:
    """One dict a shard: path, format, num_rows, num_blocks, num_bytes, and what its format knows beside these."""
    facts = source.shard_facts() if hasattr(source, "shard_facts") else []
    shards = []
    for index, shard in enumerate(source.shards()):
        known = facts[index] if index < len(facts) else {}
        shards.append(
            {
                **shard,
                "format": known.get("format", "arrow"),
                "codecs": sorted(set(known.get("codecs") or ())),
                "num_row_groups": known.get("row_groups"),
                "largest_row_group_bytes": known.get("largest_row_group_bytes"),
                "has_page_index": known.get("has_page_index"),
            }
        )
    return shards


def warnings_of(source: _rust.Source, shards: Sequence[Mapping[str, Any]], ranks: int) -> list[str]:
    """What will make reading slow, uneven or large in memory; nothing of it is an error."""
    found = [
        _few_blocks(source.num_blocks, ranks),
        _huge_blocks(source, shards),
        _uneven(shards),
        _empty(shards),
        _mixed(shards, "format", "formats"),
        _mixed_codecs(shards),
        _mixed_schemas(source.num_schemas),
    ]
    return [text for text in found if text]


def _few_blocks(num_blocks: int, ranks: int) -> str:
    if ranks == 1 or num_blocks >= ranks * _BLOCKS_PER_RANK:
        return ""
    what = "some read the same ones" if num_blocks < ranks else "their shares of the reading are uneven"
    return (
        f"{num_blocks:,} blocks for {ranks:,} ranks: {what}; write smaller blocks (record batches, row groups), "
        f"{ranks * _BLOCKS_PER_RANK:,} of them or more"
    )


def _huge_blocks(source: _rust.Source, shards: Sequence[Mapping[str, Any]]) -> str:
    groups = [shard for shard in shards if (shard.get("largest_row_group_bytes") or 0) > _HUGE_BYTES]
    if groups:
        largest = max(groups, key=lambda shard: shard["largest_row_group_bytes"])
        without = sum(1 for shard in groups if not shard.get("has_page_index"))
        remedy = (
            f"{without:,} of these files have no page index, so that groups are decoded again when memory is short; "
            "write them with write_page_index=True or smaller groups"
            if without
            else "they are read in runs of pages by their page index"
        )
        return (
            f"{len(groups):,} files have row groups of up to {largest['largest_row_group_bytes'] / 1e6:,.0f} MB "
            f"({Path(largest['path']).name}): {remedy}"
        )
    largest_block = source.block_bytes_range[1]
    if largest_block <= _HUGE_BYTES:
        return ""
    return (
        f"a block takes up to {largest_block / 1e6:,.0f} MB, and each lane of a shuffle keeps at least one: "
        "write smaller blocks, or shuffle over fewer lanes (num_lanes)"
    )


def _uneven(shards: Sequence[Mapping[str, Any]]) -> str:
    rows = [shard["num_rows"] for shard in shards if shard["num_rows"]]
    if len(rows) < 2 or max(rows) <= _UNEVEN * median(rows):
        return ""
    largest = max(shards, key=lambda shard: shard["num_rows"])
    return (
        f"shards are uneven: {Path(largest['path']).name} has {largest['num_rows']:,} rows, half of them "
        f'{median(rows):,.0f} or fewer; mode="shard" and loaders that deal out whole files suffer, other modes do not'
    )


def _empty(shards: Sequence[Mapping[str, Any]]) -> str:
    empty = [Path(shard["path"]).name for shard in shards if not shard["num_rows"]]
    return f"{len(empty):,} shards hold no row: {_names(empty)}" if empty else ""


def _mixed(shards: Sequence[Mapping[str, Any]], name: str, what: str) -> str:
    counts = Counter(shard[name] for shard in shards)
    if len(counts) < 2:
        return ""
    (rare, number), *_ = sorted(counts.items(), key=lambda item: item[1])
    names = [Path(shard["path"]).name for shard in shards if shard[name] == rare]
    return f"shards of {len(counts)} {what}: {number:,} of {len(shards):,} are {rare} ({_names(names)})"


def _mixed_codecs(shards: Sequence[Mapping[str, Any]]) -> str:
    return _mixed([{**shard, "codec": "+".join(shard["codecs"]) or "plain"} for shard in shards], "codec", "codecs")


def _mixed_schemas(number: int) -> str:
    if number < 2:
        return ""
    return (
        f"{number:,} different schemas: the shards agree about columns and types, but not about nullability or "
        "metadata; a column is nullable here where any shard says so"
    )


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _spread(values: list[int]) -> list[int]:
    return [min(values), max(values)] if values else [0, 0]


def _known_sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
