"""Receipts tell what was delivered, whoever delivered it; rows_at tells it before."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.test_finite_epoch_laws import again, finite, job, read
from laws.test_pack_laws import CONSUMERS, packed, write
from shards import as_worker, copy, through_json

import rowmill


def take(ds: rowmill.Dataset, steps: int | None, state: Any = None) -> tuple[list[Any], dict[str, Any], Any]:
    """Batches, receipt and cursor of so many steps."""
    if state is not None:
        ds.load_state_dict(through_json(state))
    loader = ds.loader()
    stream = iter(loader)
    batches = list(itertools.islice(stream, steps))
    return batches, stream.stats()["receipt"], through_json(ds.state_dict())


@given(st.data())
def test_receipts_of_ranks_and_resumed_runs_add_up_to_that_of_the_straight_run(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(packed(Path(folder), at_least=6)).with_format("numpy").repeat()
        num_shards, other = data.draw(st.sampled_from(CONSUMERS)), data.draw(st.sampled_from(CONSUMERS))
        _, straight, _ = take(copy(ds), 12)
        assert straight["since"] == 0
        # A run of some ranks, killed half way, and another one that goes on.
        halves = [take(copy(ds).shard(num_shards, rank), 6 // num_shards) for rank in range(num_shards)]
        merged = rowmill.merge_states([state for _, _, state in halves])
        assert merged["receipt"] == rowmill.merge_receipts(receipt for _, receipt, _ in halves)
        rests = [take(copy(ds).shard(other, rank), 6 // other, merged) for rank in range(other)]
        assert rowmill.merge_receipts(receipt for _, receipt, _ in rests) == straight
        again_merged = rowmill.merge_states([state for _, _, state in rests])
        assert again_merged["receipt"] == straight


@given(st.data(), st.integers(1, 5))
def test_a_ranks_own_cursor_carries_its_receipt(data: st.DataObject, kill: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(packed(Path(folder), at_least=6)).with_format("numpy").repeat().shard(2, 1)
        _, straight, _ = take(copy(ds), kill + 3)
        _, _, state = take(copy(ds), kill)
        assert take(copy(ds), 3, state)[1] == straight
        without = {name: value for name, value in state.items() if name != "receipt"}
        later = take(copy(ds), 3, without)[1]
        assert later["since"] == state["position"]
        assert later["samples"] == straight["samples"] - state["receipt"]["samples"]


@given(st.data())
def test_receipts_of_workers_are_that_of_their_rank(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(packed(Path(folder), remainder="keep")).with_format("numpy")
        num_workers = data.draw(st.sampled_from(CONSUMERS))
        found = []
        for worker in range(num_workers):
            with as_worker(num_workers, worker):
                found.append(take(copy(ds), None)[1])
        assert rowmill.merge_receipts(found) == take(copy(ds), None)[1]


def test_a_receipt_tells_lost_and_changed_documents_and_another_epoch(tmp_path: Path) -> None:
    def receipt(name: str, texts: list[str], epoch: int = 0) -> dict[str, Any]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        write(folder, texts, 5, 1)
        ds = rowmill.open(folder).shuffle(3, num_lanes=2).tokenize("bytes").pack(8).batch(2).set_epoch(epoch)
        return take(ds, None)[1]

    texts = [f"document {at}" * (at % 4) for at in range(20)]
    straight = receipt("a", texts)
    assert straight == receipt("b", texts)
    assert straight["tokens"] == sum(len(text) + 1 for text in texts)
    others = [
        receipt("c", texts[:7] + texts[8:]),
        receipt("d", [*texts[:7], texts[7] + "!", *texts[8:]]),
        receipt("e", [*texts[:4], texts[5], texts[4], *texts[6:]]),
        receipt("a", texts, epoch=1),
    ]
    assert len({straight["digest"], *(other["digest"] for other in others)}) == 5


@given(st.data(), st.booleans())
def test_rows_at_are_the_documents_of_each_row_that_comes(data: st.DataObject, is_counted: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        is_finite = data.draw(st.booleans())
        ds = data.draw(finite(Path(folder), data.draw(st.sampled_from(["drop", "keep"]))))[0]
        ds = ds if is_finite else ds.repeat()
        num_shards = data.draw(st.sampled_from(CONSUMERS))
        start, stop = ds._plan.position_range
        if not is_finite and (stop - start < 6 or not all(documents_of(ds))):
            return
        pack = ds._plan.pipeline.pack
        if is_counted or is_finite or (pack is not None and pack.mode == "best_fit_windows"):
            ds.count_tokens()
        steps = 4 if not is_finite else None
        ranks = (
            [read(ds, num_shards, rank) for rank in range(num_shards)]
            if is_finite
            else [list(itertools.islice(job(ds, num_shards, rank), steps)) for rank in range(num_shards)]
        )
        tokens = documents_of(ds)
        number = max(map(len, ranks))
        for step in sorted({0, 1, number // 2, number - 1} & set(range(number))):
            told = job(ds, num_shards, 0).rows_at(step)
            rows = {(row.rank, row.row): row.documents for row in told}
            for rank, batches in enumerate(ranks):
                batch = batches[step] if step < len(batches) else {"document_ids": []}
                for at, ids in enumerate(batch["document_ids"].tolist() if step < len(batches) else []):
                    parts = rows.pop((rank, at))
                    length = sum(end - first for _, first, end in parts)
                    assert [row_id for row_id, first, end in parts for _ in range(first, end)] == ids[:length]
                    expected = [token for row_id, first, end in parts for token in tokens[row_id][first:end]]
                    assert batch["input_ids"][at].tolist()[:length] == expected
                    assert set(ids[length:]) <= {-1}
            assert not rows
        if is_finite:
            with pytest.raises(rowmill.OutOfRangeError, match="out of range"):
                job(ds, num_shards, 0).rows_at(number)


def told_ids(batch: dict[str, Any], told: list[Any]) -> bool:
    """Whether a batch of one rank holds the documents that were told of it, row by row."""
    spans = {row.row: [row_id for row_id, first, end in row.documents for _ in range(first, end)] for row in told}
    ids = batch["document_ids"].tolist()
    return len(told) == len(ids) and all(
        row[: len(spans[at])] == spans[at] and set(row[len(spans[at]) :]) <= {-1} for at, row in enumerate(ids)
    )


@given(st.data())
def test_rows_at_without_counts_are_right_or_an_error_that_says_what_it_takes(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(finite(Path(folder), "keep"))[0]
        if ds._plan.pipeline.pack.mode == "best_fit_windows":
            return
        batches = read(ds, 1, 0)
        for step in range(len(batches) + 3):
            try:
                told = job(ds, 1, 0).rows_at(step)
            except rowmill.OutOfRangeError:
                continue
            assert step < len(batches)
            assert told_ids(batches[step], told)


def test_a_lane_that_ended_before_a_step_is_noticed_without_counts(tmp_path: Path) -> None:
    write(tmp_path, ["abc", "a" * 50, "b" * 50], 3, 1)
    ds = rowmill.open(tmp_path, index_dir=tmp_path / "index").shuffle(1, mode="none", num_lanes=3).tokenize("bytes")
    ds = ds.pack(8, document_ids=True).batch(1).with_format("numpy")
    batches = read(ds, 1, 0)
    # The lane of the short document ends in the first round.
    assert all(told_ids(batches[step], ds.rows_at(step)) for step in range(3))
    for step in range(3, len(batches) + 3):
        with pytest.raises(rowmill.OutOfRangeError, match="count"):
            ds.rows_at(step)
    ds.count_tokens()
    assert all(told_ids(batch, ds.rows_at(step)) for step, batch in enumerate(batches))
    with pytest.raises(ValueError, match="step must be an integer"):
        ds.rows_at(1.5)  # type: ignore[arg-type]


def documents_of(ds: rowmill.Dataset) -> list[list[int]]:
    """The tokens of each row of the data."""
    plan = ds._plan
    table = plan.table().fetch(range(plan.source.rust.num_rows))
    column = "input_ids" if plan.pipeline.tokenize is not None else "tokens"
    return [list(row[column] or []) for row in table]


@given(st.data())
def test_rows_at_a_cursor_reads_on_from_it(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(finite(Path(folder), "drop"))[0].repeat()
        start, stop = ds._plan.position_range
        is_clipped = ds._plan.pipeline.batches != (0, None) or ds._plan.pipeline.samples != (0, None)
        if stop - start < 6 or is_clipped or not all(documents_of(ds)):
            return
        if ds._plan.pipeline.pack is not None and ds._plan.pipeline.pack.mode == "best_fit_windows":
            ds.count_tokens()
        parts = [job(ds, 2, rank) for rank in range(2)]
        for part in parts:
            list(itertools.islice(part, 3))
        merged = rowmill.merge_states([part.state_dict() for part in parts])
        asked = again(ds.shard(2, 0))
        assert asked.rows_at(5, state=merged) == asked.rows_at(5)
        with pytest.raises(rowmill.OutOfRangeError, match="before the cursor"):
            asked.rows_at(2, state=merged)
