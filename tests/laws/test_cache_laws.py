"""A cache that is being written: the same stream without it, with it, and over the step at which it is found whole."""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.test_receipt_laws import take
from shards import TYPED, copy, frozen, through_json, write_shards

import rowmill
from rowmill.caching import background, going_over, in_blocks
from rowmill.plan import Plan
from rowmill.stages import Cached

pytestmark = pytest.mark.filterwarnings("ignore:.* ranks share .* lanes:UserWarning", "ignore:this rank yields nothing")

NUM_LANES = 6
CONSUMERS = [1, 2, 3]
FORMATS = (None, "python", "numpy", "torch", "arrow")


def made(row: dict[str, Any]) -> dict[str, Any]:
    """Of each kind of value something: what comes back from Arrow is another type, or another width."""
    text = row["text"]
    return {
        "length": len(text),
        "half": len(text) / 2,
        "bytes_": list(text.encode()),
        "array": np.arange(3, dtype=np.int16) + row["id"],
        "pair": (row["id"], 1),
        "maybe_": None if row["id"] % 3 else text,
        "nested_": {"name": text, "parts": [row["id"]]},
    }


BEFORE: dict[str, Callable[[rowmill.Dataset], rowmill.Dataset]] = {
    "map": lambda ds: ds.map(made),
    "map without": lambda ds: ds.map(lambda row: {"id": row["id"] + 1}, remove_columns=["flag", "tokens"]),
    "tokenize": lambda ds: ds.tokenize("bytes", keep_columns=("id", "score")),
    "both": lambda ds: ds.map(lambda row: {"text": row["text"] * 2}).tokenize("bytes", keep_columns="id"),
    "select": lambda ds: ds.select_columns(["id", "score", "text"]),
}
AFTER: dict[str, Callable[[rowmill.Dataset], rowmill.Dataset]] = {
    "rows": lambda ds: ds,
    "batches": lambda ds: ds.batch(3),
    "map": lambda ds: ds.map(lambda row: {"more": row["id"] * 2}).batch(2),
    "filter": lambda ds: ds.filter(lambda row: row["id"] % 3 > 0).batch(2),
    "expression": lambda ds: ds.filter(pc.field("id") != 7).batch(2),
    "renamed": lambda ds: ds.rename_columns({"id": "number"}).batch(2),
    "clipped": lambda ds: ds.skip(3).take(30).batch(2),
    "pad": lambda ds: ds.pad().batch(3),
    "pack": lambda ds: ds.pack(9, document_ids=True).batch(2),
    "best fit": lambda ds: ds.pack(30, mode="best_fit").batch(2),
}


class Slow:
    """A writer that is never done by itself."""

    is_whole = False

    def tell(self) -> None:
        """Nothing went wrong."""


def write_now(ds: rowmill.Dataset) -> None:
    """What the thread does."""
    plan = ds._plan
    at = next(at for at, stage in enumerate(plan.stages) if isinstance(stage, Cached))
    in_blocks.write_in_blocks(Plan(plan.source, plan.stages[:at]), plan.stages[at], threading.Event())


@st.composite
def cached(draw: st.DrawFn, folder: Path) -> rowmill.Dataset:
    sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) >= 35))
    container = draw(st.sampled_from(TYPED))
    write_shards(folder / "data", sizes, block_rows=draw(st.integers(1, 12)), container=container)
    ds = rowmill.open(folder / "data", index_dir=folder / "index")
    before = draw(st.sampled_from(sorted(BEFORE)))
    ds = BEFORE[before](ds).cache(folder / "cached", wait=False)
    has_tokens = before in ("tokenize", "both")
    after = draw(st.sampled_from([name for name in sorted(AFTER) if has_tokens or name not in _OF_TOKENS]))
    ds = ds.shuffle(
        seed=draw(st.integers(0, 99)),
        mode=draw(st.sampled_from(["window", "shard", "row", "none"])),
        num_lanes=NUM_LANES,
        window_bytes=draw(st.sampled_from([1, 300, 1 << 24])),
    )
    name = draw(st.sampled_from(FORMATS))
    if name in (None, "torch", "numpy") and not has_tokens:
        # Nulls in numbers are an error of batches, on both sides.
        ds = ds.select_columns(
            [
                name
                for name in ("id", "text", "score", "flag", "half", "length", "array", "pair", "bytes_")
                if name in known(ds)
            ]
        )
    return AFTER[after](ds).with_format(name)


_OF_TOKENS = ("pad", "pack", "best fit")


def known(ds: rowmill.Dataset) -> list[str]:
    return list(next(iter(copy(ds).with_format("python"))))


def stream(ds: rowmill.Dataset, steps: int | None = None) -> tuple[list[bytes], dict[str, Any]]:
    items, receipt, _ = take(ds, steps)
    return [frozen(item) for item in items], receipt


@given(st.data(), st.integers(0, 25), st.integers(0, 25))
def test_the_stream_is_the_same_with_a_cache_and_without(data: st.DataObject, kill: int, switch: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        writer = Slow()
        patch.setattr(going_over, "writer_of", lambda plan: writer)
        ds = data.draw(cached(Path(folder)))
        rank = data.draw(st.sampled_from([(1, 0), (2, 1)]))
        ds = ds.shard(*rank, remainder="keep")
        is_laned = ds._plan.pipeline.is_laned
        ds = ds if not is_laned or rank[0] == 1 else ds.repeat()
        steps = 12 if is_laned and rank[0] > 1 else None
        expected = stream(copy(ds), steps)
        half = through_json(take(copy(ds), kill)[2]) if steps is None or kill < steps else None
        # A pass that is begun without the cache, and goes over to it at some step.
        begun = copy(ds)
        loader = begun.loader()
        reading = iter(loader)
        items = [frozen(item) for item in itertools.islice(reading, min(switch, steps or switch))]
        write_now(ds)
        writer.is_whole = True
        items += [frozen(item) for item in itertools.islice(reading, None if steps is None else steps - len(items))]
        assert items == expected[0]
        if rank[0] == 1:
            assert loader.stats()["receipt"] == expected[1]
        assert loader.stats()["rows"] >= len(items)
        # One that finds it whole, and one that goes on in it from where a run without it was killed.
        patch.setattr(going_over, "writer_of", background.writer_of)
        again = copy(ds)
        assert stream(again, steps) == expected
        assert background.settled(ds._plan).cached is not None
        if half is not None and half["epoch"] == 0:
            resumed = copy(ds)
            resumed.load_state_dict(half)
            rest, receipt = stream(resumed, None if steps is None else steps - kill)
            assert rest == expected[0][kill:]
            assert rank[0] > 1 or receipt == expected[1]


@given(st.data())
def test_without_functions_it_is_the_stream_of_the_pipeline(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(going_over, "writer_of", lambda plan: Slow())
        write_shards(Path(folder) / "data", [30, 0, 14], block_rows=data.draw(st.integers(1, 9)))
        plain = rowmill.open(Path(folder) / "data", index_dir=folder)
        before, after = (
            data.draw(st.sampled_from(["tokenize", "select"])),
            data.draw(st.sampled_from(["rows", "batches"])),
        )
        made = BEFORE[before](plain)
        kept = made.cache(Path(folder) / "cached", wait=False)
        write_now(kept)
        with_, without = (AFTER[after](ds.shuffle(5, num_lanes=NUM_LANES)) for ds in (kept, made))
        assert stream(copy(with_))[0] == stream(copy(without))[0]
        state = through_json(take(copy(without), 3)[2])
        with_.load_state_dict(state)
        assert stream(with_)[0] == stream(copy(without))[0][3:]


def test_expressions_behind_it_and_what_they_keep_have_the_types_of_the_cache(tmp_path: Path) -> None:
    write_shards(tmp_path / "data", [35], block_rows=4)
    ds = rowmill.open(tmp_path / "data", index_dir=tmp_path).map(made).cache(tmp_path / "cached", wait=False)
    ds = ds.rename_columns({"maybe_": "perhaps"}).shuffle(5, num_lanes=NUM_LANES)
    # Of nulls alone neither would know that they are texts.
    is_kept = ~pc.coalesce(pc.starts_with(pc.field("perhaps"), "row 1"), pc.scalar(False))
    ds = ds.filter(is_kept).filter(pc.field("id") != 7).with_format("arrow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(going_over, "writer_of", lambda plan: Slow())
        made_rows = list(copy(ds).loader())
        write_now(ds)
        kept_rows = list(copy(ds).loader())
    assert {str(row.schema.field("perhaps").type) for row in made_rows} == {"string"}
    assert any(row["perhaps"].null_count for row in made_rows)
    assert [frozen(row) for row in made_rows] == [frozen(row) for row in kept_rows]
