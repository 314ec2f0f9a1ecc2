"""Cursors that came from elsewhere: each part is there, and is what docs/cursor.schema.json says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from rowmill.cursor import check_fields, check_order_version
from rowmill.exceptions import StateMismatchError
from rowmill.mixing.history import read_history

__all__ = ["check_whole"]


def check_whole(cursor: Mapping[str, Any]) -> None:
    """Raises StateMismatchError for what no rowmill of this order can have made, naming the part."""
    check_fields(cursor)
    check_order_version(cursor)
    for name, is_right in _PARTS.items():
        if name not in cursor:
            raise StateMismatchError(f"the cursor has no {name}; it is damaged")
        if not is_right(cursor[name]):
            raise StateMismatchError(f"the cursor's {name} is {cursor[name]!r:.200}; it is damaged")
    if "revision" in cursor and not _is_revision(cursor["revision"]):
        raise StateMismatchError(f"the cursor's revision is {cursor['revision']!r:.200}; it is damaged")
    if "revisions" in cursor and not _are_revisions(cursor["revisions"]):
        raise StateMismatchError(f"the cursor's revisions are {cursor['revisions']!r:.200}; it is damaged")
    if (cursor["num_rows"] is None) != (cursor["order"].get("lanes_over") == "files"):
        raise StateMismatchError(
            f"the cursor's num_rows is {cursor['num_rows']!r}, and lanes over files alone have none; it is damaged"
        )
    if cursor["order"]["mode"] == "mix" or "mix" in cursor:
        read_history(cursor.get("mix"))
    _check_worker(cursor)
    _check_lanes(cursor)


def _is_order(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    parts = _MIX if value.get("mode") == "mix" else _ORDER
    return all(name in value and fits(value[name]) for name, fits in parts.items())


def _is_chain(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_positive(value: Any) -> bool:
    return type(value) is int and value > 0


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


_MIX: dict[str, Callable[[Any], bool]] = {"seed": _is_count, "num_lanes": _is_positive}
_ORDER: dict[str, Callable[[Any], bool]] = {
    "mode": _matches("window|shard|row|none"),
    "seed": _is_count,
    "num_lanes": _is_positive,
    "window_bytes": _is_positive,
    "reshuffle_each_epoch": lambda value: isinstance(value, bool),
}
_PARTS: dict[str, Callable[[Any], bool]] = {
    "fingerprint": _matches("[0-9a-f]{32}"),
    "num_rows": lambda value: value is None or _is_count(value),
    "order": _is_order,
    "pipeline": _is_chain,
    "python": _matches(r"[0-9]+\.[0-9]+"),
    "num_shards": _is_positive,
    "batch_size": lambda value: value is None or _is_positive(value),
}
# Only of data of the Hub.
_is_revision = _matches("[^@]+@[0-9a-f]{40}")


def _are_revisions(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_revision, value.values()))


def _check_worker(cursor: Mapping[str, Any]) -> None:
    worker = cursor.get("worker")
    if worker is not None and not (
        worker["id"] < worker["num_workers"] and worker["shard"] < cursor["num_shards"] and _starts(worker)
    ):
        raise StateMismatchError(
            f"the cursor's worker is {dict(worker)!r:.200}, in a job of {cursor['num_shards']} ranks; it is damaged"
        )


def _check_lanes(cursor: Mapping[str, Any]) -> None:
    lanes = cursor.get("lanes")
    if lanes is None:
        return
    owned = len(range(lanes["index"], cursor["order"]["num_lanes"], lanes["of"]))
    # A merged cursor is that of one consumer, whatever the job was that it came from.
    is_dealt = lanes["of"] == 1 or lanes["of"] % cursor["num_shards"] == 0
    if not (lanes["index"] < lanes["of"] and is_dealt and len(lanes["rows"]) == owned and _starts(lanes)):
        raise StateMismatchError(
            f"the cursor has {len(lanes['rows'])} lanes as consumer {lanes['index']} of {lanes['of']}, in a job of "
            f"{cursor['num_shards']} ranks and {cursor['order']['num_lanes']} lanes; it is damaged"
        )


def _starts(part: Mapping[str, Any]) -> bool:
    return _is_count(part.get("start", 0))
