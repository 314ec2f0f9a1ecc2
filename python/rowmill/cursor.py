"""The cursor: what ``state_dict()`` holds, and what must be equal for it to fit.

A cursor is a plain dict of scalars and short lists. It names the data, the order and the pipeline it belongs
to, and the next position. docs/cursor.schema.json is its JSON schema.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rowmill.exceptions import StateMismatchError, TopologyError
from rowmill.holes import Runs, drop_first, expand
from rowmill.left_out import Ranges, after_taken, from_here, joined
from rowmill.mixing.history import mix_difference
from rowmill.placement import Placement
from rowmill.receipts import check_receipt

__all__ = [
    "ORDER_VERSION",
    "SCHEMA_VERSION",
    "SOURCE_LISTS",
    "Cursor",
    "Identity",
    "Run",
    "check_cursor",
    "check_fields",
    "check_order_version",
    "check_step",
    "moved_source",
]

SCHEMA_VERSION = 1
ORDER_VERSION = 1

# What lanes say of the sources of a mix, by lane and then by source, where its schedule does not say it.
SOURCE_LISTS = ("source_rows", "source_taken")

Cursor = dict[str, Any]


@dataclass(frozen=True)
class Identity:
    """What a cursor belongs to.

    Attributes:
        fingerprint: Of the data, from its shards' sizes, row counts and headers.
        num_rows: Rows of the whole dataset; None where lanes are over files that were not looked at.
        order: Settings of the order, by name.
        pipeline: One text a stage that changes what is yielded.
        revision: The repository and commit of the Hub; None for other data.
        revisions: Of a mix the same by source, of those that are of the Hub.
        mix: What is mixed, if anything is.
    """

    fingerprint: str
    num_rows: int | None
    order: dict[str, Any]
    pipeline: tuple[str, ...]
    revision: str | None = None
    mix: dict[str, Any] | None = None
    revisions: Mapping[str, str] = field(default_factory=dict)

    def as_cursor(self) -> Cursor:
        """The part of a cursor that does not move."""
        of_hub: Cursor = {} if self.revision is None else {"revision": self.revision}
        if self.revisions:
            of_hub["revisions"] = dict(self.revisions)
        cursor = {
            "schema_version": SCHEMA_VERSION,
            "order_version": ORDER_VERSION,
            "fingerprint": self.fingerprint,
            "num_rows": self.num_rows,
            "order": dict(self.order),
            "pipeline": list(self.pipeline),
            "python": _PYTHON,
            **of_hub,
        }
        return cursor if self.mix is None else {**cursor, "mix": self.mix}

    def difference(self, cursor: Mapping[str, Any]) -> str | None:
        """Names the first thing in which ``cursor`` belongs to something else; None where it fits."""
        if cursor.get("order_version") != ORDER_VERSION:
            return f"the order's algorithm has version {ORDER_VERSION}, the cursor's {cursor.get('order_version')!r}"
        if cursor.get("revision") != self.revision:
            return f"the data is {_of(self.revision)}, the cursor's {_of(cursor.get('revision'))}"
        if moved := moved_source(self.revisions, cursor.get("revisions")):
            return moved
        if self.mix != cursor.get("mix"):
            return mix_difference(self.mix, cursor.get("mix"))
        theirs = cursor.get("order")
        over = [of.get("lanes_over", "rows") if isinstance(of, Mapping) else "rows" for of in (self.order, theirs)]
        if over[0] != over[1]:
            return f"lanes are over {over[0]}, the cursor's over {over[1]}"
        if cursor.get("num_rows") != self.num_rows:
            return f"the dataset has {self.num_rows} rows, the cursor's {cursor.get('num_rows')!r}"
        if cursor.get("fingerprint") != self.fingerprint:
            return f"the dataset's fingerprint is {self.fingerprint}, the cursor's {cursor.get('fingerprint')!r}"
        for name, ours in self.order.items():
            other = theirs.get(name) if isinstance(theirs, Mapping) else None
            if other != ours:
                return f"{name} is {ours!r}, the cursor's {other!r}"
        return self._pipeline_difference(cursor)

    def _pipeline_difference(self, cursor: Mapping[str, Any]) -> str | None:
        same_python = cursor.get("python") == _PYTHON
        ours = [_comparable(text, same_python) for text in self.pipeline]
        theirs = [_comparable(str(text), same_python) for text in cursor.get("pipeline") or ()]
        return None if ours == theirs else f"the pipeline is {_chain(ours)}, the cursor's {_chain(theirs)}"


@dataclass(frozen=True)
class Run:
    """One pass of one consumer over the stream of positions; turns a count of items into a cursor.

    Attributes:
        identity: What the cursor will belong to.
        epoch: Epoch in which the stream began.
        per_epoch: Positions of one epoch.
        num_epochs: Epochs of the stream; None is endless.
        total: Positions of the whole stream; None is endless.
        position: Positions of the stream that had been delivered when this run began.
        holes: Positions not delivered although later ones were.
        placement: Which consumer this is.
        batch_size: Rows a rank's item has; None for single rows.
        first_item: Items of this consumer that were delivered before, counted from ``position``.
        left_out: Positions that nobody takes, from the beginning of the pass on.
    """

    identity: Identity
    epoch: int
    per_epoch: int
    num_epochs: int | None
    total: int | None
    position: int
    holes: Runs
    placement: Placement
    batch_size: int | None
    first_item: int = 0
    left_out: Ranges = ()
    _static: Cursor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        static = self.identity.as_cursor()
        static["num_shards"] = self.placement.num_shards
        static["batch_size"] = self.batch_size
        if self.left_out:
            static["left_out"] = [list(pair) for pair in self.left_out]
        object.__setattr__(self, "_static", static)

    @property
    def step(self) -> int:
        """Positions that all ranks together take for one item each."""
        return self.placement.num_shards * (self.batch_size or 1)

    @cached_property
    def steps_left_out(self) -> Ranges:
        """What is left out as steps of the job counted from ``position``."""
        top = self.position + sum(length * count for _, length, _, count in self.holes)
        return from_here(self.left_out, self.position, top, self.step)

    def is_over(self, num_items: int) -> bool:
        """Whether this consumer has had its share of the ``num_items`` that the rank has from ``position`` on."""
        workers, worker = self.placement.num_workers, self.placement.worker
        return self.first_item >= -(-(num_items - worker) // workers)

    def cursor(self, num_items: int, extra: Mapping[str, Any] | None = None) -> Cursor:
        """The cursor after this consumer has been handed ``num_items`` items."""
        items = self.first_item + num_items
        if self.placement.num_workers > 1:
            cursor = self._at(self.position, self.holes)
            cursor["worker"] = {
                "id": self.placement.worker,
                "num_workers": self.placement.num_workers,
                "shard": self.placement.index,
                "items": items,
                "start": self.position,
            }
        else:
            position = self.position + after_taken(self.steps_left_out, items) * self.step
            if self.total is not None:
                position = min(position, self.total)
            cursor = self._at(position, drop_first(self.holes, position - self.position) if self.holes else ())
        if extra:
            cursor.update(extra)
        return cursor

    def _at(self, position: int, holes: Runs) -> Cursor:
        epochs = position // self.per_epoch if self.per_epoch else 0
        if self.num_epochs is not None:
            # The end of the last epoch is its own last position, not the next epoch's first.
            epochs = min(epochs, self.num_epochs - 1)
        cursor = {
            **self._static,
            "first_epoch": self.epoch,
            "epoch": self.epoch + epochs,
            "position": position - epochs * self.per_epoch,
        }
        if holes:
            cursor["holes"] = [list(run) for run in holes]
        return cursor


def check_cursor(cursor: Any, identity: Identity, *, strict: bool) -> Cursor:
    """Returns ``cursor`` if it is one and belongs to ``identity``.

    Raises:
        StateMismatchError: It is no cursor; or, unless ``strict`` is False, something differs: the text names it.
    """
    if not isinstance(cursor, Mapping) or "schema_version" not in cursor:
        raise StateMismatchError(
            f"this is no rowmill cursor but {type(cursor).__name__}; a StatefulDataLoader's state, or those of "
            "several ranks, must go through rowmill.merge_states first"
        )
    check_fields(cursor)
    difference = identity.difference(cursor) if strict else None
    if difference:
        raise StateMismatchError(
            f"the cursor belongs to something else: {difference}. Restore what it was taken from, or pass strict=False "
            "to go on at its position in the new stream"
        )
    return dict(cursor)


def check_fields(cursor: Mapping[str, Any]) -> None:
    """Raises StateMismatchError unless the parts of a cursor that say a place are what they should be."""
    if cursor["schema_version"] != SCHEMA_VERSION:
        raise StateMismatchError(
            f"the cursor has schema version {cursor['schema_version']!r}, this rowmill reads {SCHEMA_VERSION}"
        )
    for name in ("epoch", "first_epoch", "position"):
        if not _is_count(cursor.get(name)):
            raise StateMismatchError(f"the cursor's {name} is {cursor.get(name)!r}, no count; it is damaged")
    _check_shape(cursor)


def check_order_version(cursor: Mapping[str, Any]) -> None:
    """Raises StateMismatchError for a cursor in an order that this rowmill does not make."""
    version = cursor.get("order_version")
    if version != ORDER_VERSION:
        raise StateMismatchError(
            f"the cursor's order has version {version!r}, this rowmill makes {ORDER_VERSION}; use the rowmill that "
            "took it"
        )


def _check_shape(cursor: Mapping[str, Any]) -> None:
    """Raises StateMismatchError unless the optional parts of a cursor are what they should be."""
    if cursor["first_epoch"] > cursor["epoch"]:
        raise StateMismatchError(
            f"the cursor's first_epoch {cursor['first_epoch']} is after its epoch {cursor['epoch']}; it is damaged"
        )
    for name, least in (("num_shards", 1), ("batch_size", 1), ("num_rows", 0), ("skipped_rows", 0)):
        value = cursor.get(name)
        if value is not None and not (_is_count(value) and value >= least):
            raise StateMismatchError(f"the cursor's {name} is {value!r}, no count; it is damaged")
    expand(cursor.get("holes") or ())
    if not _are_ranges(cursor.get("left_out") or ()):
        raise StateMismatchError(f"the cursor's left_out is {cursor['left_out']!r:.200}, no ranges; it is damaged")
    if not isinstance(cursor.get("pipeline") or [], list | tuple):
        raise StateMismatchError(f"the cursor's pipeline is {cursor['pipeline']!r}, no list; it is damaged")
    if "receipt" in cursor:
        check_receipt(cursor["receipt"])
    worker = cursor.get("worker")
    if worker is not None and not _has_counts(worker, ("id", "num_workers", "shard", "items")):
        raise StateMismatchError(f"the cursor's worker is {worker!r}; it is damaged")
    lanes = cursor.get("lanes")
    if "lanes" in cursor and (lanes is None or not (_has_counts(lanes, ("of", "index")) and _has_lanes(lanes))):
        raise StateMismatchError("the cursor's lanes are no lists of counts of the same length; it is damaged")


def _are_ranges(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in value
    ):
        return False
    pairs = [(first, end) for first, end in value]
    return all(_is_count(number) for pair in pairs for number in pair) and joined(pairs) == tuple(pairs)


def _has_counts(part: Any, names: tuple[str, ...]) -> bool:
    return isinstance(part, Mapping) and all(_is_count(part.get(name)) for name in names)


def _has_lanes(lanes: Mapping[str, Any]) -> bool:
    lists = [
        lanes.get("rows"),
        lanes.get("samples"),
        *(lanes[name] for name in ("emitted", "epochs", "files") if name in lanes),
    ]
    of_sources = [lanes.get(name, []) for name in SOURCE_LISTS]
    return (
        lanes["of"] > 0
        and all(isinstance(values, list) and all(map(_is_count, values)) for values in [*lists, *of_sources])
        and len({len(values) for values in lists}) == 1
        and len({len(values) for values in of_sources}) == 1
        and len(of_sources[0]) % max(len(lists[0]), 1) == 0
    )


def _is_count(value: Any) -> bool:
    # Far above what is ever counted, and such that sums fit into the engine's 64 bits.
    return type(value) is int and 0 <= value < 1 << 62


def check_step(position: int, step: int, total: int | None) -> None:
    """Raises TopologyError unless steps of ``step`` positions start at ``position``, naming the sizes that do."""
    if position % step == 0 or position == total:
        return
    fitting = sorted(size for size in _divisors(position) if size <= 65536)
    shown = ", ".join(map(str, fitting if len(fitting) <= 24 else [*fitting[:8], "...", *fitting[-12:]]))
    raise TopologyError(
        f"the cursor stands at position {position}, which no step of {step} rows (ranks x batch size) starts at; "
        f"global batches that fit: {shown}"
    )


def _divisors(number: int) -> set[int]:
    # Trial division up to 65536 is all that is shown, and takes a few milliseconds at most.
    small = {size for size in range(1, min(math.isqrt(number), 65536) + 1) if number % size == 0}
    return small | {number // size for size in small}


def _comparable(text: str, same_python: bool) -> str:
    """Digests of bytecode say nothing across Python versions: leave them out there."""
    if same_python:
        return text
    return "".join(part if index == 0 else part[8:] for index, part in enumerate(text.split("#")))


def moved_source(ours: Mapping[str, str], theirs: Any) -> str | None:
    """Names the first source of a mix that is read at another commit than a cursor's; None where none is known."""
    known = theirs if isinstance(theirs, Mapping) else {}
    for name, revision in ours.items():
        if name in known and known[name] != revision:
            return f"source {name!r} is {_of(revision)}, the cursor's {_of(known[name])}"
    return None


def _of(revision: Any) -> str:
    return f"{revision} of the Hub" if revision else "of no revision of the Hub"


def _chain(texts: list[str]) -> str:
    return " -> ".join(texts) or "without stages"


_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
