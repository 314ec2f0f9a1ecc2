"""``rowmill.mix``: several datasets as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from rowmill.arguments import as_seed
from rowmill.dataset import Dataset
from rowmill.exceptions import SchemaMismatchError, TopologyError
from rowmill.mixing.history import STOPPING, UNITS, History
from rowmill.mixing.sequences import check_packs
from rowmill.mixing.source import Component, MixedSource, component_of
from rowmill.mixing.weights import Steps, Weights, as_steps
from rowmill.plan import MixOrder, Plan
from rowmill.stages import Map, OfSources, Rename, Select
from rowmill.values import Format

__all__ = ["mix"]

Stopping = Literal["first_exhausted", "all_exhausted", "repeat"]

# As many as the core has in one schedule.
_MAX_SOURCES = 64


def mix(
    sources: Mapping[str, Dataset],
    weights: Weights = None,
    *,
    seed: int | None = 0,
    stopping: Stopping = "first_exhausted",
    unit: Literal["samples", "tokens"] = "samples",
) -> Dataset:
    """Mixes datasets by an exact schedule: after any number of samples no source is off its share by one.

    Which source gives which sample is arithmetic, keyed by ``seed``; each source keeps its own order and goes on
    through its epochs. What is mixed are rows or documents, or samples of sources that are packed; see docs/mixing.

    Args:
        sources: Datasets by name, with the same columns and the same number of lanes. They may be shuffled, have
            columns chosen and renamed, rows taken and skipped, and functions that make one row of one (``.map``); all
            else comes after the mix. Or all of them end with the same ``.pack``: then each sample is of one source.
        weights: A number for each source, in any proportion; equal when None. Or a curriculum:
            ``[{"start": 0, "weights": {...}}, {"start": 10_000, "weights": {...}, "ramp": True}]``, where ``start``
            counts samples of all ranks and a ramp goes over from the weights before in a line.
        seed: Keys the schedule. The sources have their own seeds.
        stopping: "first_exhausted" (an epoch ends before the first sample that would come again), "all_exhausted" (once
            each source has been seen whole) or "repeat" (never). With ``.repeat()`` it never does either.
        unit: What weights are shares of: "samples" (rows, documents, or packed samples, whatever is mixed), or
            "tokens" of documents that are packed behind the mix; then each lane takes from the source furthest behind.

    Raises:
        SchemaMismatchError: Columns differ (the text names source and column), or a source holds a stage that
            belongs after the mix.
        TopologyError: The sources differ in lanes, or one has fewer rows than lanes.

    Example:
        >>> import rowmill, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = rowmill.demo.write_shards(folder, num_shards=2)
        ...     web, code = (rowmill.open(file, index_dir=folder).shuffle(seed=1, num_lanes=4) for file in files)
        ...     ds = rowmill.mix({"web": web, "code": code}, {"web": 0.8, "code": 0.2}, seed=7).batch(5)
        ...     batch = next(iter(ds))
        >>> len(batch["text"])
        5
    """
    named = _checked(sources)
    if stopping not in STOPPING:
        raise ValueError(f"stopping must be one of {', '.join(STOPPING)}, not {stopping!r}")
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, not {unit!r}")
    check_packs(named)
    steps = as_steps(weights, list(named))
    components = tuple(component_of(name, dataset._plan) for name, dataset in named.items())
    num_lanes = _common_lanes(named)
    _check_rows(components, steps, num_lanes)
    known = {component.name: (component.digest, component.num_rows) for component in components}
    history = History(stopping, unit, known, ((0, steps),))
    source = MixedSource(components, history, as_seed(seed), num_lanes)
    order = MixOrder(mode="mix", seed=as_seed(seed), num_lanes=num_lanes)
    plan = Plan(source, _functions(named, unit), order=order, is_shuffled=True)
    # Mistakes show where they are made: schemas that differ, sources that are too small.
    if source.pack is not None:
        _check_unit(source)
        _ = source.schedule
        return Dataset(plan)
    _check_columns(components)
    _ = source.rust.schema, plan.rust_order, source.shares
    return Dataset(plan)


def _checked(sources: Mapping[str, Dataset]) -> dict[str, Dataset]:
    if not isinstance(sources, Mapping) or not sources:
        raise ValueError('a mix is made of at least one dataset: rowmill.mix({"name": dataset, ...}, ...)')
    if len(sources) > _MAX_SOURCES:
        raise ValueError(f"a mix has at most {_MAX_SOURCES} sources, not {len(sources)}")
    for name, dataset in sources.items():
        if not isinstance(name, str) or not isinstance(dataset, Dataset):
            raise TypeError(f"a mix takes datasets by name, not {name!r}: {type(dataset).__name__}")
        _check_source(name, dataset._plan)
    return dict(sources)


def _check_source(name: str, plan: Plan) -> None:
    """Refuses what a source cannot bring along; nothing of it is left out in silence."""
    pipeline = plan.pipeline
    if isinstance(plan.source, MixedSource):
        raise SchemaMismatchError(f"source {name!r} is a mix already; mix its sources with the others in one mix")
    if plan.rank is not None:
        raise TopologyError(f"source {name!r} is sharded; put .shard after rowmill.mix, which deals the mix out")
    is_packed = pipeline.pack is not None
    settings = {
        ".repeat()": plan.num_epochs is not None,
        ".with_format(...)": plan.format != Format(),
        ".batch(...)": pipeline.batch is not None,
        ".pad(...)": pipeline.pad is not None,
        ".tokenize(...) without .pack(...)": pipeline.tokenize is not None and not is_packed,
        ".take or .skip of packed samples": is_packed and pipeline.samples != (0, None),
        ".skip_steps(...)": bool(plan.skipped_steps),
    }
    found = [stage for stage, is_there in settings.items() if is_there]
    plans = [plan.document_plan, plan] if pipeline.packs_python_rows else [plan]
    stages: list[Any] = [stage for one in plans for stage in one.pipeline.row_stages]
    found += [_shown(stage) for stage in stages if is_packed or not _makes_one_of_one(stage)]
    if found:
        raise SchemaMismatchError(
            f"source {name!r} has {found[0]}, which a mix does not take over; put it after rowmill.mix, where it "
            "stands for all sources, or .cache() behind it, which writes what a source's functions make once"
        )


def _makes_one_of_one(stage: Any) -> bool:
    """Whether as many rows come of a source as the schedule draws."""
    return isinstance(stage, (Rename, Select)) or (isinstance(stage, Map) and not stage.batched)


def _shown(stage: Any) -> str:
    name = str(stage.describe().split("(")[0])
    return f"batched {name}" if isinstance(stage, Map) and stage.batched else name


def _functions(sources: Mapping[str, Dataset], unit: str) -> tuple[OfSources, ...]:
    """The stage of what sources make of their own rows, where any has functions."""
    stages = {name: dataset._plan.pipeline.row_stages for name, dataset in sources.items()}
    functions: dict[str, Any] = {name: own for name, own in stages.items() if own}
    if functions and unit == "tokens":
        raise SchemaMismatchError(
            f'source {next(iter(functions))!r} has functions, and a mix with unit="tokens" is of documents that the '
            "engine makes; put .cache() behind them, which writes what they make once"
        )
    return (OfSources(functions),) if functions else ()


def _check_unit(source: MixedSource) -> None:
    if source.unit == "tokens":
        raise SchemaMismatchError(
            "packed samples have as many tokens each, so that shares of them are shares of tokens: leave out "
            'unit="tokens", or .pack behind the mix'
        )


def _common_lanes(sources: Mapping[str, Dataset]) -> int:
    lanes = {name: dataset._plan.order.num_lanes for name, dataset in sources.items()}
    (first, number), *others = lanes.items()
    for name, other in others:
        if other != number:
            raise TopologyError(
                f"source {first!r} has {number} lanes and source {name!r} {other}; the sources of a mix have the same "
                "number: .shuffle(..., num_lanes=...) of each (without a shuffle it is 1)"
            )
    return number


def _check_rows(components: tuple[Component, ...], steps: Steps, num_lanes: int) -> None:
    """A lane without a row of a source could not take its turn."""
    for at, component in enumerate(components):
        assert component.plan is not None, "sources that are given have data"
        start, stop = component.plan.position_range
        if stop - start < num_lanes and any(weights[at] for _, weights, _ in steps):
            raise TopologyError(
                f"source {component.name!r} of the mix has {stop - start} rows, fewer than the mix has lanes "
                f"({num_lanes}), so that some would have none; take fewer lanes: .shuffle(..., num_lanes=...) of each"
            )


def _check_columns(components: tuple[Component, ...]) -> None:
    def names(component: Component) -> list[str]:
        assert component.plan is not None, "sources that are given have data"
        return component.plan.pipeline.column_names

    first = components[0]
    for other in components[1:]:
        for one, two in ((first, other), (other, first)):
            missing: Any = next((name for name in names(one) if name not in names(two)), None)
            if missing is not None:
                raise SchemaMismatchError(
                    f"source {two.name!r} has no column {missing!r}, which source {one.name!r} has; choose the same "
                    "columns of all with .select_columns, after .rename_columns where they are called otherwise"
                )
