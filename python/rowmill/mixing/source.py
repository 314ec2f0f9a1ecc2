"""The sources of a mix side by side: what a Plan of a mix reads, where others read one opened dataset."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill import _rust
from rowmill.mixing.history import History
from rowmill.mixing.weights import Steps
from rowmill.source import OpenOptions

if TYPE_CHECKING:
    from rowmill.plan import Plan
    from rowmill.stages import Pack

__all__ = ["Component", "MixedSource", "component_of"]


@dataclass(frozen=True)
class Component:
    """One source.

    Attributes:
        plan: Its data, columns and order; None of one that a cursor tells of and that gives nothing any more.
        digest: 64 bits, in hex, of its data and its order.
    """

    name: str
    plan: Plan | None
    digest: str
    num_rows: int


def component_of(name: str, plan: Plan) -> Component:
    """The source that ``plan`` is."""
    rust = plan.source.rust
    parts: list[Any] = [plan.source.fingerprint, rust.num_rows, plan.order.as_dict(), plan.pipeline.rows]
    parts.append(plan.position_range)
    if plan.pipeline.pack is not None:
        parts.append(plan.pipeline.description)
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()
    return Component(name, plan, digest, rust.num_rows)


class MixedSource:
    """Sources and the schedule by which they are drawn from; stands where a Plan has its opened source.

    Attributes:
        given: The mix as it was asked for; ``components`` and ``history`` are those of the cursor that it goes on from.
    """

    def __init__(
        self,
        components: tuple[Component, ...],
        history: History,
        seed: int,
        num_lanes: int,
        given: tuple[tuple[Component, ...], History] | None = None,
    ) -> None:
        self.components, self.history, self.seed, self.num_lanes = components, history, seed, num_lanes
        self.given = given or (components, history)

    def with_history(self, components: tuple[Component, ...], history: History) -> MixedSource:
        """The same mix with the past of a cursor."""
        return MixedSource(components, history, self.seed, self.num_lanes, self.given)

    @cached_property
    def rust(self) -> Any:
        """What is known of the data, over all sources."""
        return MixedRust(self.components)

    @property
    def fingerprint(self) -> str:
        """128 bits, in hex, of all sources."""
        return str(self.rust.fingerprint)

    @property
    def unit(self) -> str:
        """What weights are shares of."""
        return self.history.unit

    @cached_property
    def pack(self) -> Pack | None:
        """How the sources are packed, where each packs its own documents; None where rows are mixed."""
        packs = (component.plan.pipeline.pack for component in self.components if component.plan is not None)
        return next(packs, None)

    @property
    def placed_plans(self) -> list[tuple[int, Plan]]:
        """Of each source that has data the row id of its first row, and its plan."""
        firsts = itertools.accumulate((component.num_rows for component in self.components), initial=0)
        placed = zip(firsts, self.components, strict=False)
        return [(first, component.plan) for first, component in placed if component.plan is not None]

    @cached_property
    def schedule(self) -> _rust.Schedule:
        """Which source gives which sample; of a mix by tokens only which sources give any."""
        if self.unit == "samples":
            return _woven(self.history.changes, self.num_lanes, self.seed)
        steps = self.history.changes[-1][1]
        given = tuple(float(any(weights)) for weights in zip(*(weights for _, weights, _ in steps), strict=True))
        return _woven(((0, ((0, given, False),)),), self.num_lanes, self.seed)

    @cached_property
    def shares(self) -> _rust.TokenShares | None:
        """Whose document comes next in a mix by tokens; None in others."""
        if self.unit == "samples":
            return None
        return _rust.TokenShares(list(self.history.changes[-1][1]), num_lanes=self.num_lanes, seed=self.seed)

    @cached_property
    def options(self) -> OpenOptions:
        """How it was opened: nothing but the features that all sources have."""
        return OpenOptions(paths=(), features=_common_features(self.components))

    @property
    def revisions(self) -> dict[str, str]:
        """The repository and commit of each source that is of the Hub."""
        read = [component for component in self.components if component.plan is not None]
        origins = {one.name: one.plan.source.options.origin for one in read if one.plan is not None}
        return {name: origin for name, origin in origins.items() if origin is not None}

    def stopping(self, is_repeated: bool) -> str:
        """When the mix ends; it never does where ``.repeat()`` says so."""
        return "repeat" if is_repeated else self.history.stopping

    def order(self, is_repeated: bool) -> _rust.Order:
        """The order of the mix."""
        orders = [_order_of(component, self.num_lanes) for component in self.components]
        order: _rust.Order = self.rust.mixture.order(self.schedule, self.stopping(is_repeated), orders)
        return order

    def own_order(self, at: int) -> _rust.Order:
        """The order of one source alone, whose rows are counted among those of all."""
        component = self.components[at]
        order: _rust.Order = self.rust.mixture.own_order(at, _order_of(component, self.num_lanes), self.num_lanes)
        return order

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("components", "history", "seed", "num_lanes", "given")}


@lru_cache(maxsize=16)
def _woven(changes: tuple[tuple[int, Steps], ...], num_lanes: int, seed: int) -> _rust.Schedule:
    """Weaving a schedule takes up to some tenths of a second, and copies of a dataset have the same one."""
    return _rust.Schedule([(position, list(steps)) for position, steps in changes], num_lanes=num_lanes, seed=seed)


def _order_of(component: Component, num_lanes: int) -> Any:
    plan = component.plan
    if plan is None:
        # Only its counts go on.
        return ("none", 0, 1, True, (0, 0), (0, component.num_rows))
    order = plan.order
    return (
        order.mode,
        order.seed,
        order.window_bytes,
        order.reshuffle_each_epoch,
        plan.pipeline.rows,
        plan.position_range,
    )


def _common_features(components: Sequence[Component]) -> str | None:
    """HF's features by column, as JSON, where all sources have the same."""
    from rowmill.dataset import Dataset

    found = []
    for component in components:
        if component.plan is not None:
            metadata = Dataset(component.plan).schema.metadata or {}
            stored = json.loads(metadata.get(b"huggingface", b"null"))
            found.append(((stored or {}).get("info") or {}).get("features"))
    return json.dumps(found[0]) if found and found[0] and all(one == found[0] for one in found) else None


class MixedRust:
    """What Rust knows of each source, as if it were one; see ``_rust.Source``."""

    def __init__(self, components: tuple[Component, ...]) -> None:
        self._components = components
        self._plans = [component.plan for component in components if component.plan is not None]
        self._sources: list[Any] = [plan.source.rust for plan in self._plans]
        self.mixture = _rust.Mixture(
            [
                (component.name, None if component.plan is None else component.plan.source.rust, component.num_rows)
                for component in components
            ]
        )

    @property
    def is_parquet(self) -> bool:
        """Whether some of it is."""
        return any(source.is_parquet for source in self._sources)

    @property
    def num_rows(self) -> int:
        """Rows of all sources."""
        return self.mixture.num_rows

    @property
    def column_names(self) -> list[str]:
        """The columns, as the first source calls them."""
        return self._plans[0].pipeline.column_names

    @property
    def fingerprint(self) -> str:
        """128 bits, in hex, of all sources."""
        parts = [(component.name, component.digest, component.num_rows) for component in self._components]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

    def table(self, columns: list[tuple[str, str]], io: str, *, origin: str | None = None) -> _rust.Table:
        """The table that reads (name in the mix, name) columns of all, and in ``origin`` which source a row is of."""
        stored = [{new: old for old, new in plan.pipeline.columns} for plan in self._plans]
        wanted = [[(names[name], new) for name, new in columns] for names in stored]
        return self.mixture.table(wanted, io, origin)

    @property
    def schema(self) -> _rust.Schema:
        """The columns that all sources have."""
        return self.table([(name, name) for name in self.column_names], "auto").schema

    def _sum(self, name: str) -> int:
        return sum(getattr(source, name) for source in self._sources)

    def _range(self, name: str) -> tuple[int, int]:
        ranges = [getattr(source, name) for source in self._sources]
        return min(first for first, _ in ranges), max(last for _, last in ranges)

    num_shards = property(lambda self: self._sum("num_shards"))
    num_blocks = property(lambda self: self._sum("num_blocks"))
    num_bytes = property(lambda self: self._sum("num_bytes"))
    num_walked = property(lambda self: self._sum("num_walked"))
    num_schemas = property(lambda self: max(source.num_schemas for source in self._sources))
    block_rows_range = property(lambda self: self._range("block_rows_range"))
    block_bytes_range = property(lambda self: self._range("block_bytes_range"))
    warnings = property(lambda self: self._all(lambda source: source.warnings))
    strangers = property(lambda self: self._all(lambda source: source.strangers))
    skipped = property(lambda self: self._all(lambda source: source.skipped))

    def _all(self, of: Callable[[Any], list[Any]]) -> list[Any]:
        return [one for source in self._sources for one in of(source)]

    def shards(self) -> list[dict[str, Any]]:
        """One dict a shard, of all sources."""
        return self._all(lambda source: source.shards())

    def shard_facts(self) -> list[dict[str, Any]]:
        """The same with what their formats know."""
        return self._all(lambda source: source.shard_facts())

    def verify(self, **options: Any) -> list[dict[str, Any]]:
        """Everything read and checked, source by source."""
        return self._all(lambda source: source.verify(**options))

    def find_shard(self, shard: int) -> tuple[Plan, int]:
        """The plan of the source that a shard is of, counted over all sources, and which of its shards it is."""
        for plan in self._plans:
            if shard < plan.source.rust.num_shards:
                return plan, shard
            shard -= plan.source.rust.num_shards
        raise IndexError(shard)

    def shard_path(self, shard: int) -> Path | str:
        """The file of a shard, counted over all sources."""
        plan, shard = self.find_shard(shard)
        found: Path | str = plan.source.rust.shard_path(shard)
        return found

    def locate(self, row_ids: Sequence[int]) -> list[tuple[int, int, int]]:
        """For each row id its shard (counted over all sources), the block in it and the row in that."""
        first_shard, before = [], 0
        for component in self._components:
            first_shard.append(before)
            before += 0 if component.plan is None else component.plan.source.rust.num_shards
        found = []
        for source, row_id in self.mixture.own_row_ids(list(row_ids)):
            component = self._components[source]
            assert component.plan is not None, "a source without data has no rows to locate"
            shard, block, row = component.plan.source.rust.locate([row_id])[0]
            found.append((first_shard[source] + shard, block, row))
        return found
