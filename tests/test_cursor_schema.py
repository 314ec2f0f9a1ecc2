"""docs/cursor.schema.json describes every cursor that is made, and nothing else."""

import copy
import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rowmill
from rowmill.cursor import ORDER_VERSION, SCHEMA_VERSION

SCHEMA = json.loads((Path(__file__).resolve().parent.parent / "docs" / "cursor.schema.json").read_text())
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def problems(value: Any, schema: dict[str, Any], at: str = "cursor") -> list[str]:
    """What is wrong with ``value`` by as much of JSON Schema as ours uses."""
    known = {*CHECKS, "type", "properties", "required", "additionalProperties", "items"}
    known |= {"$schema", "$id", "title", "description"}
    assert schema.keys() <= known, f"the check does not know {schema.keys() - known}"
    types = schema.get("type", [])
    if types and not any(is_type(value, name) for name in ([types] if isinstance(types, str) else types)):
        return [f"{at} is {value!r}, no {types}"]
    found = [f"{at}: {key}" for key, check in CHECKS.items() if key in schema and not check(value, schema[key])]
    if isinstance(value, dict) and "properties" in schema:
        found += [f"{at}.{name} is missing" for name in schema.get("required", []) if name not in value]
        found += [f"{at}.{name} is not described" for name in value if name not in schema["properties"]]
        for name in value.keys() & schema["properties"].keys():
            found += problems(value[name], schema["properties"][name], f"{at}.{name}")
    if isinstance(value, list) and "items" in schema:
        found += [text for one in value for text in problems(one, schema["items"], f"{at}[]")]
    return found


def is_type(value: Any, name: str) -> bool:
    return type(value) is int if name == "integer" else isinstance(value, TYPES[name])


CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "const": lambda value, wanted: value == wanted,
    "enum": lambda value, wanted: value in wanted,
    "pattern": lambda value, wanted: re.search(wanted, value) is not None,
    "minimum": lambda value, wanted: value is None or value >= wanted,
    "maximum": lambda value, wanted: value <= wanted,
    "minItems": lambda value, wanted: len(value) >= wanted,
    "maxItems": lambda value, wanted: len(value) <= wanted,
}


def assert_valid(cursor: Any) -> None:
    plain = json.loads(json.dumps(cursor))
    assert plain == cursor, "a cursor is plain JSON"
    assert problems(plain, SCHEMA) == []
    if importlib.util.find_spec("jsonschema") is not None:
        import jsonschema

        jsonschema.Draft202012Validator(SCHEMA).validate(plain)


def after(ds: Any, number: int) -> dict[str, Any]:
    iterator = iter(ds)
    for _ in range(number):
        next(iterator)
    return ds.state_dict()


def twice(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: [value for value in values for _ in range(2)] for name, values in columns.items()}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> rowmill.Dataset:
    return rowmill.open(rowmill.demo.write_shards(tmp_path_factory.mktemp("data")), columns=["id", "tokens"])


def cursors(opened: rowmill.Dataset) -> Iterator[dict[str, Any]]:
    """Cursors of all kinds."""
    shuffled = opened.shuffle(seed=-1)
    for mode in ("window", "shard", "row", "none"):
        yield after(opened.shuffle(3, mode=mode).batch(8), 3)
    yield opened.state_dict()
    yield after(opened, 5)
    yield after(shuffled.batch(1000).repeat(), 8)
    yield after(shuffled.shard(2, 1).batch(4).map(dict), 2)
    ended = shuffled.batch(1000)
    list(ended)
    yield ended.state_dict()

    laned = shuffled.filter(lambda row: row["tokens"][0] % 2 == 0)
    yield laned.state_dict()
    ranks = [after(laned.shard(2, rank).batch(4), 3) for rank in range(2)]
    yield from ranks
    yield rowmill.merge_states(ranks)
    # So short an epoch that some lanes are in the next one while others are not.
    yield after(opened.take(100).shuffle(1).filter(lambda row: row["tokens"][0] % 2 == 0).repeat(), 70)
    yield after(shuffled.map(twice, batched=True, batch_size=4), 3)
    mixed = rowmill.mix({"a": shuffled, "b": opened.shuffle(4)}, {"a": 0.75, "b": 0.25}, seed=1)
    yield after(mixed.batch(4), 3)
    yield after(mixed.repeat().filter(lambda row: bool(row["id"])), 3)
    yield after(shuffled.batch(4).skip_steps([(1, 3), (5, 6)]), 3)
    yield after(laned.batch(4).skip_steps([(1, 3), (5, 6)]), 3)

    by_tokens = rowmill.mix({"a": shuffled, "b": opened.shuffle(4)}, seed=1, unit="tokens", stopping="repeat")
    yield after(by_tokens.pack(32, column="tokens").batch(4), 20)
    sources = {name: ds.pack(32, column="tokens") for name, ds in {"a": shuffled, "b": opened.shuffle(4)}.items()}
    yield after(rowmill.mix(sources, seed=1, stopping="repeat").batch(4), 20)
    finite = shuffled.pack(32, column="tokens")
    finite.count_tokens()
    yield after(finite.shard(2, 1).batch(4), 3)
    packed = finite.repeat()
    ranks = [after(packed.shard(2, rank).batch(4), 3) for rank in range(2)]
    yield from ranks
    yield rowmill.merge_states(ranks)
    over_files = rowmill.open(opened._plan.source.options.paths, lanes_over="files").shuffle(1, num_lanes=2).repeat()
    ranks = [after(over_files.shard(2, rank), 1000) for rank in range(2)]
    yield from ranks
    yield rowmill.merge_states(ranks)


def worker_cursors(opened: rowmill.Dataset) -> Iterator[dict[str, Any]]:
    from torchdata.stateful_dataloader import StatefulDataLoader

    # torch puts the batches together, so that each is of one worker, which takes every other row: holes.
    loader = StatefulDataLoader(opened.shuffle(1).select_columns("tokens"), batch_size=8, num_workers=2)
    state = after(loader, 3)
    for worker in state["_snapshot"]["_worker_snapshots"].values():
        yield worker["fetcher_state"]["dataset_iter_state"]
    yield rowmill.merge_states(state)
    lanes = StatefulDataLoader(opened.shuffle(1).filter(has_an_id).batch(8), batch_size=None, num_workers=2)
    for worker in after(lanes, 3)["_snapshot"]["_worker_snapshots"].values():
        yield worker["fetcher_state"]["dataset_iter_state"]


def has_an_id(row: dict[str, Any]) -> bool:
    return bool(row["id"])


def test_every_cursor_is_described(opened: rowmill.Dataset) -> None:
    for cursor in cursors(opened):
        assert_valid(cursor)


def test_cursors_of_workers_are_described(opened: rowmill.Dataset) -> None:
    pytest.importorskip("torchdata")
    made = list(worker_cursors(opened))
    assert len(made) == 5
    assert "worker" in made[0]
    assert "holes" in made[2]
    for cursor in made:
        assert_valid(cursor)


def test_every_field_that_is_described_comes_up(opened: rowmill.Dataset) -> None:
    pytest.importorskip("torchdata")
    made = [*cursors(opened), *worker_cursors(opened)]
    seen = {name for cursor in made for name in cursor}
    # Come with damaged files, or with data of the Hub, only; tests of on_error="skip" and of the Hub look at them.
    assert seen | {"skipped_rows", "revision", "revisions"} == set(SCHEMA["properties"])
    lanes = {name for cursor in made for name in cursor.get("lanes", {})}
    assert lanes == set(SCHEMA["properties"]["lanes"]["properties"])


def test_versions_are_those_of_the_code() -> None:
    assert SCHEMA["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    assert SCHEMA["properties"]["order_version"]["const"] == ORDER_VERSION


@pytest.mark.parametrize(
    ("name", "value"),
    [("position", -1), ("epoch", 1.5), ("fingerprint", "x"), ("order", {}), ("holes", [[1, 2]]), ("new", 1)],
)
def test_the_check_can_fail(opened: rowmill.Dataset, name: str, value: Any) -> None:
    cursor = copy.deepcopy(opened.state_dict())
    cursor[name] = value
    assert problems(cursor, SCHEMA)
