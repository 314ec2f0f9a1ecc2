"""Receipts of rows, filters and Python functions: they tell what came, whoever delivered it, over any kill."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from laws.test_mix_laws import mixes
from laws.test_receipt_laws import take
from shards import as_worker, copy, flat, ids, through_json, write_shards

import rowmill

# Few lanes for many ranks are drawn on purpose, and a rank may have nothing to do.
pytestmark = pytest.mark.filterwarnings("ignore:.* ranks share .* lanes:UserWarning", "ignore:this rank yields nothing")

NUM_LANES = 6
CONSUMERS = [1, 2, 3, 6]
COLUMNS = ["id", "text", "score"]


@st.composite
def rows(draw: st.DrawFn, folder: Path, *, at_least: int = 1) -> rowmill.Dataset:
    """Rows in some order; ``id`` is a row's id."""
    sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) >= at_least))
    write_shards(folder, sizes, block_rows=draw(st.integers(1, 12)), columns=COLUMNS)
    return rowmill.open(folder, index_dir=folder / "index").shuffle(
        seed=draw(st.integers(0, 2**32)),
        mode=draw(st.sampled_from(["window", "shard", "row", "none"])),
        num_lanes=NUM_LANES,
        window_bytes=draw(st.sampled_from([1, 300, 1 << 24])),
    )


def is_kept(row: dict[str, Any]) -> bool:
    return row["id"] % 3 > 0


def twice(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: [value for value in values for _ in range(2)] for name, values in columns.items()}


POSITIONS = {
    "rows": lambda ds: ds,
    "map": lambda ds: ds.map(lambda row: {"double": row["id"] * 2}),
    "clipped": lambda ds: ds.skip(2),
}
LANED = {
    "function": lambda ds: ds.filter(is_kept),
    "expression": lambda ds: ds.filter(~pc.field("id").isin(list(range(0, 200, 4)))),
    "batched": lambda ds: ds.map(twice, batched=True, batch_size=5),
    "packed": lambda ds: ds.map(lambda row: {"text": row["text"] * 2}).tokenize("bytes").pack(7, document_ids=True),
}


@st.composite
def pipelines(draw: st.DrawFn, folder: Path, kinds: dict[str, Any], *, remainder: str = "keep") -> rowmill.Dataset:
    ds = kinds[draw(st.sampled_from(sorted(kinds)))](draw(rows(folder, at_least=30)))
    return ds.batch(draw(st.integers(1, 4)), remainder=remainder).with_format("numpy")


def expected(ds: rowmill.Dataset, delivered: Iterable[tuple[int, int, int]]) -> dict[str, Any]:
    """The receipt of (number, row id, tokens) of each sample, as another implementation of xxh3 makes it."""
    digest, samples, tokens, seed = 0, 0, 0, int(ds.fingerprint[:16], 16)
    for number, row_id, length in delivered:
        preimage = np.array([0, number, row_id, 0, length], "<u8").tobytes()
        digest += xxhash.xxh3_128_intdigest(preimage, seed)
        samples, tokens = samples + 1, tokens + length
    return {"version": 1, "digest": f"{digest % (1 << 128):032x}", "samples": samples, "tokens": tokens, "since": 0}


@given(st.data())
def test_a_receipt_is_of_the_rows_that_came(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = data.draw(rows(Path(folder)))
        kind = data.draw(st.sampled_from(["rows", "map", "function", "expression", "tokens", "grouped"]))
        size = data.draw(st.sampled_from([None, 1, 3]))
        if kind in ("tokens", "grouped"):
            ds = plain.tokenize("bytes", keep_columns="id")
        else:
            ds = {**POSITIONS, **LANED}[kind](plain)
        grouping = 2 if kind == "grouped" and size else None
        ds = ds.pad() if kind in ("tokens", "grouped") and size else ds
        ds = ds if size is None else ds.batch(size, remainder="keep", group_by_length=grouping)
        items, receipt, state = take(copy(ds).with_format("numpy"), data.draw(st.integers(0, 90)))
        lengths = {row["id"]: len(row["text"].encode()) + 1 for row in plain.fetch(range(plain.num_rows))}
        tokens = lengths if kind in ("tokens", "grouped") else {}
        came = flat(map(ids, items))
        numbers = range(len(came)) if kind not in LANED else numbers_of(plain, came)
        told = zip(numbers, came, (tokens.get(row_id, 0) for row_id in came), strict=False)
        assert receipt == expected(ds, told)
        assert state.get("receipt", receipt) == receipt


def numbers_of(plain: rowmill.Dataset, came: list[int]) -> list[int]:
    """Sample k of lane l is number k * lanes + l, whatever other lanes hold."""
    row_ids, num_lanes = plain.row_ids(0, plain.num_rows), plain._plan.order.num_lanes
    numbers = {}
    for lane in range(num_lanes):
        kept = [row_id for row_id in row_ids[lane::num_lanes] if row_id in came]
        numbers.update({row_id: at * num_lanes + lane for at, row_id in enumerate(kept)})
    return [numbers[row_id] for row_id in came]


@given(st.data(), st.booleans())
def test_receipts_of_ranks_add_up_to_that_of_one_of_rows(data: st.DataObject, is_mixed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if is_mixed:
            ds = data.draw(mixes(Path(folder), stopping="repeat")).batch(2).with_format("numpy")
        else:
            ds = data.draw(pipelines(Path(folder), POSITIONS)).repeat()
        first, second = data.draw(st.sampled_from(CONSUMERS)), data.draw(st.sampled_from(CONSUMERS))
        _, straight, _ = take(copy(ds), 12)
        halves = [take(copy(ds).shard(first, rank), 6 // first) for rank in range(first)]
        states = [state for _, _, state in halves]
        # Any rank's is enough: what one of several alone has delivered is no part of it.
        assert all(state == states[0] for state in states)
        rests = [take(copy(ds).shard(second, rank), 6 // second, states[0]) for rank in range(second)]
        receipts = [receipt for _, receipt, _ in rests]
        if first == 1:
            assert rowmill.merge_receipts(receipts) == straight
            assert states[0]["receipt"] == halves[0][1]
        else:
            assert {receipt["since"] for receipt in receipts} == {6 * (ds._plan.batch_size or 1)}
            assert rowmill.merge_receipts([*(receipt for _, receipt, _ in halves), *receipts]) == straight


@given(st.data())
def test_receipts_of_lanes_add_up_and_go_on_from_merged_cursors(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(pipelines(Path(folder), LANED)).repeat()
        first, second = data.draw(st.sampled_from(CONSUMERS)), data.draw(st.sampled_from(CONSUMERS))
        _, straight, _ = take(copy(ds), 12)
        halves = [take(copy(ds).shard(first, rank), 6 // first) for rank in range(first)]
        merged = rowmill.merge_states([state for _, _, state in halves])
        assert merged["receipt"] == rowmill.merge_receipts(receipt for _, receipt, _ in halves)
        rests = [take(copy(ds).shard(second, rank), 6 // second, merged) for rank in range(second)]
        assert rowmill.merge_receipts(receipt for _, receipt, _ in rests) == straight
        assert rowmill.merge_states([state for _, _, state in rests])["receipt"] == straight


@given(st.data(), st.integers(1, 9), st.integers(1, 9))
def test_a_resumed_run_has_the_receipt_of_the_straight_one(data: st.DataObject, kill: int, more: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(pipelines(Path(folder), {**POSITIONS, **LANED})).repeat()
        ds = ds.skip_steps([(2, 4)]) if data.draw(st.booleans()) else ds
        _, straight, state = take(copy(ds), kill + more)
        _, _, half = take(copy(ds), kill)
        assert take(copy(ds), more, half)[1:] == (straight, state)
        # Of an older rowmill, whose cursors of rows had none.
        old = {name: value for name, value in half.items() if name != "receipt"}
        later = take(copy(ds), more, old)[1]
        assert later["since"] == half["position"] + (half["epoch"] - half["first_epoch"]) * _per_epoch(ds, half)
        assert rowmill.merge_receipts([half["receipt"], later]) == straight


def _per_epoch(ds: rowmill.Dataset, state: dict[str, Any]) -> int:
    # A position counts from the beginning of the pass where there are lanes.
    return 0 if "lanes" in state else ds.num_rows


@given(st.data())
def test_a_gathered_cursor_of_rows_has_the_receipt_of_all_ranks(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(pipelines(Path(folder), POSITIONS)).repeat()
        first, second = data.draw(st.sampled_from([2, 3])), data.draw(st.sampled_from(CONSUMERS))
        jobs = [copy(ds).shard(first, rank) for rank in range(first)]
        halves = [take(job, 6 // first)[1] for job in jobs]
        # What `state_dict(gather=True)` sends, and makes of it on every rank.
        sent = through_json([job._state() for job in jobs])
        gathered = rowmill.merge_states(sent)
        assert gathered["receipt"] == rowmill.merge_receipts(halves)
        # A rank that is not there leaves its share unknown: there is no receipt of the whole.
        assert "receipt" not in rowmill.merge_states(sent[:-1])
        rests = [take(copy(ds).shard(second, rank), 6 // second, gathered) for rank in range(second)]
        assert rowmill.merge_receipts(receipt for _, receipt, _ in rests) == take(copy(ds), 12)[1]


@given(st.data())
def test_workers_states_make_one_receipt(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(pipelines(Path(folder), {**POSITIONS, **LANED})).repeat()
        num_workers = data.draw(st.sampled_from([2, 3]))
        found = []
        for worker in range(num_workers):
            with as_worker(num_workers, worker):
                found.append(take(copy(ds), 6 // num_workers))
        straight, resumed = take(copy(ds), 6), take(copy(ds), 12)
        merged = rowmill.merge_states([state for _, _, state in found])
        assert merged["receipt"]["samples"] == straight[1]["samples"]
        if "lanes" not in merged:
            assert merged["receipt"] == straight[1]
            assert take(copy(ds), 6, merged)[1] == resumed[1]


@pytest.mark.parametrize("kind", ["map", "function"])
def test_a_dataloader_that_has_not_begun_tells_of_what_was_delivered_before(tmp_path: Path, kind: str) -> None:
    write_shards(tmp_path, [60], columns=COLUMNS)
    ds = {**POSITIONS, **LANED}[kind](rowmill.open(tmp_path).shuffle(3, num_lanes=NUM_LANES)).batch(2)
    _, receipt, state = take(copy(ds), 4)
    loader = rowmill.DataLoader(copy(ds), num_workers=2)
    loader.load_state_dict(through_json(state))
    batches = iter(loader)
    assert loader.state_dict()["receipt"] == receipt
    next(batches)
    assert loader.state_dict()["receipt"] == take(copy(ds), 5)[1] if kind == "map" else True
    del batches


@pytest.mark.parametrize("remainder", ["drop", "pad", "keep"])
@pytest.mark.parametrize("size", [None, 4])
def test_rows_that_only_fill_up_a_step_are_not_delivered_twice(
    tmp_path: Path, remainder: str, size: int | None
) -> None:
    write_shards(tmp_path, [30], columns=COLUMNS)
    ds = rowmill.open(tmp_path).shuffle(1, num_lanes=NUM_LANES)

    def receipt(num_shards: int, rank: int) -> dict[str, Any]:
        part = ds.shard(num_shards, rank, remainder=remainder)
        return take(part if size is None else part.batch(size, remainder=remainder), None)[1]

    merged = rowmill.merge_receipts(receipt(4, rank) for rank in range(4))
    whole = 30 // (4 * (size or 1)) * (4 * (size or 1)) if remainder == "drop" else 30
    assert merged["samples"] == whole
    if whole == 30:
        assert merged == expected(ds, ((at, row_id, 0) for at, row_id in enumerate(ds.row_ids(0, 30))))


def test_documents_of_functions_have_the_receipt_of_the_stored_ones(tmp_path: Path) -> None:
    write_shards(tmp_path, [50], columns=COLUMNS)
    ds = rowmill.open(tmp_path).shuffle(3, num_lanes=NUM_LANES)
    stored = take(ds.tokenize("bytes").pack(16).batch(2), None)[1]
    made = take(ds.map(lambda row: {"text": row["text"]}).tokenize("bytes").pack(16).batch(2), None)[1]
    assert made == stored
    assert made["tokens"] > 500


def test_damage_that_is_left_out_is_not_delivered(tmp_path: Path) -> None:
    (path,) = write_shards(tmp_path, [40], block_rows=10, columns=COLUMNS)
    ds = rowmill.open(path, on_error="skip").shuffle(1, num_lanes=2)
    content = bytearray(path.read_bytes())
    at = content.find(b"row 25 ")
    content[at : at + 3] = b"\xff\xff\xff"
    before = path.stat()
    path.write_bytes(content)
    # As a disk damages: without a trace in the time.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for part in (ds, ds.batch(3, remainder="keep"), ds.batch(3, remainder="keep").with_format("arrow")):
        items, receipt, _ = take(copy(part), None)
        came = flat(map(ids, items))
        numbers = {row_id: number for number, row_id in enumerate(ds.row_ids(0, 40))}
        assert receipt == expected(ds, ((numbers[row_id], row_id, 0) for row_id in came))
        assert len(came) == 39


def test_a_step_whose_function_fails_is_not_delivered(tmp_path: Path) -> None:
    write_shards(tmp_path, [30], columns=COLUMNS)
    plain = rowmill.open(tmp_path).shuffle(1, num_lanes=2)
    for make in (lambda function: plain.map(function), lambda function: plain.filter(is_kept).map(function)):
        fails = iter([False] * 5 + [True] + [False] * 100)

        def function(row: dict[str, Any], fails: Any = fails) -> dict[str, Any]:
            if next(fails):
                raise KeyboardInterrupt
            return {}

        stream = iter(make(function).batch(2).loader())
        items = [next(stream), next(stream)]
        with pytest.raises(KeyboardInterrupt):
            next(stream)
        before = stream.stats()["receipt"]
        assert before["samples"] == 4
        items += itertools.islice(stream, 2)
        straight = take(make(lambda row: {}).batch(2), 4)
        assert flat(map(ids, items)) == flat(map(ids, straight[0]))
        assert stream.stats()["receipt"] == straight[1]
