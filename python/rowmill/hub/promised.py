"""Whether a configuration has as many rows as its card promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rowmill.hub.card import default_config, read_configs
from rowmill.hub.report import Report

__all__ = ["check_promised"]


def check_promised(
    report: Report, metadata: Mapping[str, Any], place: str, *, name: str | None, split: str, num_rows: int
) -> None:
    """Notes a problem where the card says another number of rows.

    Args:
        report: What has been found.
        metadata: The YAML of the card.
        place: What messages call the data set.
        name: The configuration; the one that is read by default when None.
        split: The split.
        num_rows: Its rows.
    """
    told = metadata.get("dataset_info")
    infos = {
        str(one.get("config_name", "default")): one
        for one in (told if isinstance(told, list) else [told])
        if isinstance(one, Mapping)
    }
    splits = infos.get(_config(metadata, place, name, infos), {}).get("splits")
    for one in splits if isinstance(splits, list) else ():
        promised = one.get("num_examples") if isinstance(one, Mapping) and one.get("name") == split else None
        if isinstance(promised, int) and promised != num_rows:
            report.problems.append(f"split {split} has {num_rows:,} rows, and the card promises {promised:,}")


def _config(metadata: Mapping[str, Any], place: str, name: str | None, infos: Mapping[str, Any]) -> str:
    """The configuration that is read."""
    chosen = name or default_config(read_configs(metadata, place), place)
    if chosen is None and len(infos) == 1:
        # Without configurations in the card there is one, whatever its facts call it.
        return next(iter(infos))
    return chosen or "default"
