"""The laws of finite packed epochs on several ranks: counted once, they end at the same step everywhere."""

from __future__ import annotations

import itertools
import shlex
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.test_pack_laws import CONSUMERS, ids_of, sample_key, texts, tokens_by_document, write
from shards import as_worker, copy, frozen, through_json
from typer.testing import CliRunner

import rowmill
from rowmill import equal_steps
from rowmill.cli.main import app
from rowmill.token_index import lane_samples

NUM_LANES = 6


@st.composite
def finite(draw: st.DrawFn, folder: Path, remainder: str) -> tuple[rowmill.Dataset, rowmill.Dataset]:
    """A packed pipeline of one or several epochs, of text or of ids on the disk, some of it perhaps left out.

    And the same sample by sample, for one rank.
    """
    write(folder, draw(texts(1)), draw(st.integers(1, 9)), draw(st.integers(1, 3)))
    # Data of other texts may have the same shape, and so the same fingerprint: each case has an index of its own.
    ds = rowmill.open(folder, index_dir=folder / "index")
    ds = ds.skip(draw(st.integers(0, 3))) if draw(st.booleans()) else ds
    ds = ds.shuffle(
        seed=draw(st.integers(0, 2**32)),
        mode=draw(st.sampled_from(["window", "shard", "row", "none"])),
        num_lanes=NUM_LANES,
        window_bytes=draw(st.sampled_from([1, 300, 1 << 24])),
    )
    ds = ds.take(draw(st.integers(0, 30))) if draw(st.booleans()) else ds
    is_text = draw(st.booleans())
    ds = ds.tokenize("bytes", append_eos=draw(st.booleans())) if is_text else ds
    mode = draw(st.sampled_from(["concat", "best_fit", "best_fit_windows"]))
    ds = ds.pack(draw(st.integers(1, 40)), mode=mode, document_ids=True, column="input_ids" if is_text else "tokens")
    if draw(st.booleans()):
        ds = ds.skip(draw(st.integers(0, 9))).take(draw(st.integers(0, 60)))
    ds = ds.repeat(draw(st.integers(1, 3))) if draw(st.booleans()) else ds
    ds = ds.with_format("numpy").set_epoch(draw(st.integers(0, 2)))
    batched = ds.batch(draw(st.integers(1, 5)), remainder=remainder)
    if draw(st.booleans()):
        batched = batched.skip(draw(st.integers(0, 3))).take(draw(st.integers(0, 12)))
    return batched, ds


def again(ds: rowmill.Dataset) -> rowmill.Dataset:
    """The same dataset in another process, at the same epoch."""
    return copy(ds).set_epoch(ds.epoch)


def read(ds: rowmill.Dataset, num_shards: int, rank: int) -> list[Any]:
    with warnings.catch_warnings():
        # Less than a step is nothing, and said.
        warnings.filterwarnings("ignore", message="no rank yields anything")
        return list(job(ds, num_shards, rank))


def job(ds: rowmill.Dataset, num_shards: int, rank: int) -> rowmill.Dataset:
    return again(ds.shard(num_shards, rank))


def samples(batches: Iterable[Any]) -> Counter[bytes]:
    """Each sample of the batches, and how often it is there."""
    rows = ({name: batch[name][at] for name in batch} for batch in batches for at in range(len(batch["input_ids"])))
    return Counter(sample_key(row) for row in rows)


@given(st.data(), st.sampled_from(["drop", "pad", "keep"]))
def test_all_ranks_take_the_same_steps_and_len_says_how_many(data: st.DataObject, remainder: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds, single = data.draw(finite(Path(folder), remainder))
        num_shards = data.draw(st.sampled_from(CONSUMERS))
        ds.count_tokens(num_threads=data.draw(st.integers(1, 3)))
        ranks = [read(ds, num_shards, rank) for rank in range(num_shards)]
        lengths = [len(job(ds, num_shards, rank)) for rank in range(num_shards)]
        assert lengths == [len(batches) for batches in ranks]
        if remainder != "keep":
            assert len(set(lengths)) == 1
            assert all(len(batch["input_ids"]) == ds._plan.batch_size for batches in ranks for batch in batches)
        whole = samples([{name: [values] for name, values in row.items()} for row in again(single)])
        found = samples(itertools.chain(*ranks))
        if remainder != "pad":
            assert not found - whole
        if remainder != "drop" and ds._plan.pipeline.batches == (0, None):
            assert not whole - found


@given(st.data(), st.sampled_from(["drop", "pad"]))
def test_workers_of_all_ranks_take_the_same_steps(data: st.DataObject, remainder: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds, _ = data.draw(finite(Path(folder), remainder))
        num_shards, num_workers = data.draw(st.sampled_from([(2, 3), (3, 2), (2, 1), (6, 1)]))
        ds.count_tokens()
        for worker in range(num_workers):
            with as_worker(num_workers, worker):
                steps = [len(read(ds, num_shards, rank)) for rank in range(num_shards)]
            assert len(set(steps)) == 1


@given(st.data())
def test_every_token_comes_exactly_once_where_nothing_is_dropped(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), data.draw(texts(1)), data.draw(st.integers(1, 9)), 2)
        ds = rowmill.open(folder, index_dir=folder + "/index").shuffle(3, num_lanes=NUM_LANES).tokenize("bytes")
        rows = {at: ids_of(row["text"]) for at, row in enumerate(rowmill.open(folder).fetch(range(ds.num_rows)))}
        assert ds.count_tokens().num_tokens == ds.num_tokens == sum(map(len, rows.values()))
        packed = ds.pack(7, document_ids=True).batch(2, remainder="keep").with_format("numpy")
        num_shards = data.draw(st.sampled_from(CONSUMERS))
        batches = [batch for rank in range(num_shards) for batch in read(packed, num_shards, rank)]
        assert tokens_by_document(batches) == rows


@given(st.data(), st.sampled_from(["drop", "pad"]))
def test_a_step_holds_the_same_samples_for_every_number_of_ranks_to_the_end(
    data: st.DataObject, remainder: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds, single = data.draw(finite(Path(folder), remainder))
        num_shards, size = data.draw(st.sampled_from(CONSUMERS)), ds._plan.batch_size or 1
        ds.count_tokens()
        first, last = ds._plan.pipeline.batches
        one = single.batch(num_shards * size, remainder="pad" if remainder == "pad" else "keep").skip(first)
        whole = read(one if last is None else one.take(max(last - first, 0)), 1, 0)
        ranks = [read(ds, num_shards, rank) for rank in range(num_shards)]
        full = [batch for batch in whole if len(batch["input_ids"]) == num_shards * size]
        assert {len(batches) for batches in ranks} == {len(full if remainder == "drop" else whole)}
        for at, batch in enumerate(whole[: len(ranks[0])]):
            found = samples(batches[at] for batches in ranks)
            assert found == samples([batch])
        told = [[row.sample for row in ds.rows_at(at)] for at in range(len(ranks[0]))] if num_shards == 1 else []
        assert len({sample for step in told for sample in step}) == sum(map(len, told))


@given(st.data(), st.sampled_from(["drop", "pad"]), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_job_that_changes_its_ranks_reads_the_steps_of_one_rank(
    data: st.DataObject, remainder: str, stops: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _, single = data.draw(finite(Path(folder), remainder))
        single.count_tokens()
        size = NUM_LANES * data.draw(st.integers(1, 2))
        straight, whole, receipts = job(single.batch(size, remainder="keep"), 1, 0), [], {}
        for batch in straight:
            whole.append(batch)
            receipts[len(whole)] = straight.state_dict().get("receipt")
        full = [samples([batch]) for batch in whole if len(batch["input_ids"]) == size]
        expected = samples(whole)
        last_epoch = single.epoch + (single._plan.epochs_per_pass or 1) - 1
        found: list[Counter[bytes]] = []
        state = None
        for stop in [*stops, 1 << 20]:
            num_shards = data.draw(st.sampled_from([1, 2, 3, 6]))
            ranks, states = [], []
            for rank in range(num_shards):
                mine = job(single.batch(size // num_shards, remainder=remainder), num_shards, rank)
                if state is not None:
                    mine.load_state_dict(state)
                if mine.epoch > last_epoch:
                    break
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="no rank yields anything")
                    ranks.append(list(itertools.islice(iter(mine), stop)))
                states.append(through_json(mine.state_dict()))
            if not ranks or not ranks[0]:
                break
            assert len({len(batches) for batches in ranks}) == 1
            found += [samples(step) for step in zip(*ranks, strict=True)]
            state = through_json(rowmill.merge_states(states)) if num_shards > 1 else states[0]
            if "receipt" in state:
                assert state["receipt"] == receipts[len(found)]
        assert found[: len(full)] == full
        assert len(found) == (len(full) if remainder == "drop" else len(whole))
        if remainder == "pad":
            assert not expected - sum(found, Counter())
            assert found == [samples([batch]) for batch in read(single.batch(size, remainder="pad"), 1, 0)]


@given(st.data(), st.sampled_from(["drop", "pad"]), st.integers(1, 12))
def test_cursors_of_ranks_without_a_deal_go_on_with_their_own_lanes(
    data: st.DataObject, remainder: str, steps: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds, _ = data.draw(finite(Path(folder), remainder))
        ds.count_tokens()
        mine = job(ds, 2, data.draw(st.integers(0, 1)))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="no rank yields anything")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(equal_steps, "_is_dealt", lambda *_: False)
                expected = [frozen(batch) for batch in again(mine)]
                reader = again(mine)
                found = [frozen(batch) for batch in itertools.islice(iter(reader), steps)]
            state = through_json(reader.state_dict())
            assert "dealt" not in state.get("lanes", {})
            resumed = again(mine)
            resumed.load_state_dict(state)
            if resumed.epoch == mine.epoch + (mine._plan.epochs_per_pass or 1):
                assert found == expected
                return
            assert found + [frozen(batch) for batch in resumed] == expected


@pytest.mark.parametrize("more", [1, -1])
@pytest.mark.parametrize("mode", ["concat", "best_fit"])
def test_counts_of_other_data_are_an_error_and_no_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int, mode: Any
) -> None:
    write(tmp_path, ["a" * 40] * 24, 4, 2)
    ds = rowmill.open(tmp_path, index_dir=tmp_path / "index").shuffle(0, num_lanes=4).tokenize("bytes")
    ds = ds.pack(8, mode=mode).batch(1).shard(2, 1)
    ds.count_tokens()
    known = lane_samples(ds._plan, 0) or []
    monkeypatch.setattr(equal_steps, "lane_samples", lambda *_: [number + more for number in known])
    with pytest.raises(rowmill.StateMismatchError, match="count again"):
        list(ds)


@given(st.data())
def test_ranks_that_end_apart_hold_the_same_samples_in_a_step_until_a_lane_ends(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), data.draw(texts(NUM_LANES)), data.draw(st.integers(1, 9)), 2)
        ds = rowmill.open(folder, index_dir=folder + "/index").shuffle(3, num_lanes=NUM_LANES).tokenize("bytes")
        ds = ds.pack(3, mode=data.draw(st.sampled_from(["concat", "best_fit", "best_fit_windows"]))).with_format(
            "numpy"
        )
        ds.count_tokens()
        num_shards, size = data.draw(st.sampled_from(CONSUMERS)), data.draw(st.integers(1, 3))
        step = num_shards * size
        shortest = min(lane_samples(ds._plan, 0) or [])
        whole = read(ds.batch(step, remainder="keep"), 1, 0)
        ranks = [read(ds.batch(size, remainder="keep"), num_shards, rank) for rank in range(num_shards)]
        for at in range(shortest * NUM_LANES // step):
            assert samples(rank[at] for rank in ranks) == samples([whole[at]])


@given(st.data(), st.sampled_from(["drop", "pad"]), st.lists(st.integers(1, 6), max_size=4))
def test_a_rank_that_is_killed_and_resumed_reads_the_straight_stream(
    data: st.DataObject, remainder: str, kills: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds, _ = data.draw(finite(Path(folder), remainder))
        ds.count_tokens()
        num_shards = data.draw(st.sampled_from([2, 3]))
        mine = job(ds, num_shards, data.draw(st.integers(0, num_shards - 1)))
        last_epoch = mine.epoch + (mine._plan.epochs_per_pass or 1) - 1
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="no rank yields anything")
            expected = [frozen(batch) for batch in again(mine)]
            found: list[bytes] = []
            state = None
            for kill in [*kills, len(expected) + 1]:
                reader = again(mine)
                if state is not None:
                    reader.load_state_dict(state)
                if reader.epoch <= last_epoch:
                    found += [frozen(batch) for batch in itertools.islice(iter(reader), kill)]
                state = through_json(reader.state_dict())
        assert found == expected


@given(st.data(), st.sampled_from(["drop", "pad"]))
def test_other_ranks_go_on_from_a_merged_cursor_and_end_together(data: st.DataObject, remainder: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds, single = data.draw(finite(Path(folder), remainder))
        first, second = data.draw(st.sampled_from([2, 3])), data.draw(st.sampled_from(CONSUMERS))
        size = ds._plan.batch_size or 1
        ds.count_tokens()
        ranks = [job(ds, first, rank) for rank in range(first)]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="no rank yields anything")
            steps = data.draw(st.integers(0, len(ranks[0])))
            begun = [list(itertools.islice(iter(rank), steps)) for rank in ranks]
        if steps in (0, len(ranks[0])):
            return
        merged = through_json(rowmill.merge_states([rank.state_dict() for rank in ranks]))
        if merged["position"] % (second * size):
            return
        resumed = []
        for rank in range(second):
            mine = job(ds, second, rank)
            mine.load_state_dict(merged)
            resumed.append(list(mine))
        assert len({len(batches) for batches in resumed}) == 1
        whole = samples([{name: [values] for name, values in row.items()} for row in again(single)])
        found = samples(itertools.chain(*begun, *resumed))
        if remainder == "drop":
            assert not found - whole
        elif ds._plan.pipeline.batches == (0, None):
            assert not whole - found


def test_without_counts_the_error_comes_before_the_first_step_and_its_command_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ["some text", "and more of it"] * 20, 5, 2)
    monkeypatch.chdir(tmp_path)
    ds = rowmill.open(tmp_path).shuffle(0, num_lanes=4).tokenize("bytes", column="# {text}", append_eos=False)
    mine = ds.pack(4).batch(2).shard(2, 0)
    with pytest.raises(rowmill.TopologyError, match=r"rowmill index .*count_tokens.*\.repeat\(\).*keep") as caught:
        next(iter(mine))
    with pytest.raises(TypeError, match="rowmill index"):
        len(mine)
    with pytest.raises(TypeError, match="rowmill index"):
        _ = mine.num_tokens
    command = shlex.split(str(caught.value).split("`")[1])
    told = CliRunner().invoke(app, command[1:])
    assert told.exit_code == 0, told.output
    assert "40 counted" in told.stdout
    assert len(mine) == len(list(mine)) > 0


@given(st.data(), st.sampled_from(["drop", "pad"]), st.integers(0, 40))
def test_some_samples_of_an_endless_stream_end_together_without_counts(
    data: st.DataObject, remainder: str, number: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), data.draw(texts(6)), data.draw(st.integers(1, 9)), 2)
        ds = rowmill.open(folder, index_dir=folder + "/index").shuffle(3, num_lanes=NUM_LANES).tokenize("bytes")
        ds = ds.pack(9, mode=data.draw(st.sampled_from(["concat", "best_fit"]))).take(number).repeat()
        ds = ds.batch(data.draw(st.integers(1, 4)), remainder=remainder).with_format("numpy")
        num_shards = data.draw(st.sampled_from(CONSUMERS))
        lengths = {len(job(ds, num_shards, rank)) for rank in range(num_shards)}
        assert lengths == {len(read(ds, num_shards, rank)) for rank in range(num_shards)}
        assert len(lengths) == 1
