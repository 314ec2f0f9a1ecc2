"""The order and partition laws, read from real shards with every parameter drawn at random."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import ALL_CONTAINERS, CODECS, as_worker, copy, flat, stream, write_shards

import rowmill

# Few lanes for many ranks are drawn on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.* ranks share .* lanes:UserWarning")

MODES = ("window", "shard", "row", "none")


@dataclass
class Job:
    """A dataset and a topology."""

    dataset: rowmill.Dataset
    num_rows: int
    ranks: int
    workers: int
    batch: int | None
    remainder: str | None

    @property
    def is_keep(self) -> bool:
        return self.remainder == "keep" or (self.remainder is None and self.ranks == 1)

    def of(self, rank: int) -> rowmill.Dataset:
        ds = copy(self.dataset)
        if self.batch is None:
            return ds.shard(self.ranks, rank, remainder=self.remainder)
        return ds.shard(self.ranks, rank).batch(self.batch, remainder=self.remainder)


@st.composite
def shard_files(draw: st.DrawFn, folder: Path) -> int:
    sizes = draw(st.lists(st.integers(0, 30), min_size=1, max_size=5))
    container = draw(st.sampled_from(ALL_CONTAINERS))
    if container == "tar" and not any(sizes):
        # Of archives without a member nobody knows the columns.
        sizes = [1, *sizes]
    write_shards(
        folder,
        sizes,
        block_rows=draw(st.integers(1, 12)),
        container=container,
        codec=draw(st.sampled_from(CODECS)),
        columns=["id", "text"],
    )
    return sum(sizes)


@st.composite
def jobs(draw: st.DrawFn, folder: Path) -> Job:
    num_rows = draw(shard_files(folder))
    ds = rowmill.open(folder)
    if draw(st.booleans()):
        start, number = draw(st.integers(0, 20)), draw(st.integers(0, 80))
        ds = ds.skip(start).take(number)
        num_rows = min(max(num_rows - start, 0), number)
    ds = ds.shuffle(
        seed=draw(st.integers(0, 2**64 - 1)),
        mode=draw(st.sampled_from(MODES)),
        num_lanes=draw(st.sampled_from([1, 2, 3, 7, 64])),
        window_bytes=draw(st.sampled_from([1, 200, 1 << 24])),
    )
    if draw(st.booleans()):
        start, number = draw(st.integers(0, 20)), draw(st.integers(0, 80))
        ds = ds.skip(start).take(number)
        num_rows = min(max(num_rows - start, 0), number)
    return Job(
        dataset=ds.with_format(draw(st.sampled_from([None, "python", "numpy", "torch", "arrow"]))),
        num_rows=num_rows,
        ranks=draw(st.integers(1, 4)),
        workers=draw(st.integers(1, 3)),
        batch=draw(st.one_of(st.none(), st.integers(1, 9))),
        remainder=draw(st.sampled_from([None, "keep", "drop", "pad"])),
    )


def expected(job: Job, order: list[int], rank: int) -> list[list[int]]:
    """What the law says that a rank yields, item by item, computed without rowmill."""
    size = job.batch or 1
    step = job.ranks * size
    num_positions = len(order)
    remainder = job.remainder or ("drop" if job.ranks > 1 else "keep")
    num_steps = num_positions // step if remainder == "drop" else -(-num_positions // step)
    items = []
    for first in range(0, num_steps * step, step):
        positions = range(first + rank, first + step, job.ranks)
        if remainder == "pad":
            items.append([order[position % num_positions] for position in positions])
        else:
            items.append([order[position] for position in positions if position < num_positions])
    return [item for item in items if item]


def read_rank(job: Job, rank: int, epochs: int) -> list[list[list[int]]]:
    """What each worker's passes yield, put back in turn as a DataLoader does."""
    merged = []
    # One dataset for all: a DataLoader's workers share the memory that counts their epochs.
    ds = job.of(rank)
    for _ in range(epochs):
        parts = []
        for worker in range(job.workers):
            with as_worker(job.workers, worker):
                parts.append(stream(ds))
        longest = max(map(len, parts))
        merged.append([part[turn] for turn in range(longest) for part in parts if turn < len(part)])
    return merged


@given(st.data())
def test_what_is_read_is_what_the_law_says_for_every_rank_worker_and_epoch(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = data.draw(jobs(Path(folder)))
        orders = []
        for epoch in (0, 1):
            job.dataset.set_epoch(epoch)
            orders.append(job.dataset.row_ids(0, job.num_rows))
        read = [read_rank(job, rank, 2) for rank in range(job.ranks)]
        for epoch, order in enumerate(orders):
            assert len(set(order)) == len(order) == job.num_rows == job.dataset.num_rows
            for rank in range(job.ranks):
                assert read[rank][epoch] == expected(job, order, rank)
            if job.is_keep:
                assert sorted(flat(flat(read[rank][epoch] for rank in range(job.ranks)))) == sorted(order)
            else:
                assert len({len(read[rank][epoch]) for rank in range(job.ranks)}) == 1


@given(st.data())
def test_len_is_what_is_yielded_and_rows_at_what_the_ranks_read_together(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = data.draw(jobs(Path(folder)))
        ranks = [job.of(rank) for rank in range(job.ranks)]
        read = [stream(ds) for ds in ranks]
        assert [len(items) for items in read] == [len(ds) for ds in ranks]
        for step in range(max(map(len, read))):
            together = flat(items[step] for items in read if step < len(items))
            ranks[0].set_epoch(0)
            assert sorted(ranks[0].rows_at(step)) == sorted(together)
        ranks[0].set_epoch(0)
        with pytest.raises(IndexError, match="out of range"):
            ranks[0].rows_at(max(map(len, read)))


@given(st.data(), st.sampled_from([2, 4, 6, 12]))
def test_the_same_rows_come_in_the_same_step_for_every_number_of_ranks(data: st.DataObject, together: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = data.draw(jobs(Path(folder)))
        job.remainder = data.draw(st.sampled_from(["keep", "drop", "pad"]))
        steps = []
        for ranks in (size for size in range(1, together + 1) if together % size == 0):
            job.ranks, job.batch = ranks, together // ranks
            read = [read_rank(job, rank, 1)[0] for rank in range(ranks)]
            longest = max(map(len, read))
            steps.append([sorted(flat(items[step] for items in read if step < len(items))) for step in range(longest)])
        assert all(other == steps[0] for other in steps)


@given(st.data(), st.integers(1, 4), st.integers(0, 6), st.integers(0, 6))
def test_take_and_skip_after_batch_count_this_ranks_batches(
    data: st.DataObject, ranks: int, start: int, number: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = data.draw(jobs(Path(folder)))
        job.ranks, job.workers, job.batch = ranks, 1, job.batch or 3
        for rank in range(ranks):
            whole = stream(job.of(rank))
            part = job.of(rank).skip(start).take(number)
            assert len(part) == len(whole[start : start + number])
            assert stream(part) == whole[start : start + number]


@given(st.data(), st.integers(1, 3))
def test_repeat_runs_batches_on_across_epochs(data: st.DataObject, epochs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = data.draw(jobs(Path(folder)))
        order: list[int] = []
        for epoch in range(epochs):
            job.dataset.set_epoch(epoch)
            order += job.dataset.row_ids(0, job.num_rows)
        job.dataset = job.dataset.repeat(epochs)
        for rank in range(job.ranks):
            read = read_rank(job, rank, 1)[0]
            assert read == expected(job, order, rank)


def test_another_seed_or_epoch_is_another_order_and_storage_order_is_the_files(tmp_path: Path) -> None:
    ds = rowmill.open(write_shards(tmp_path, [200, 300]))
    orders = [ds.shuffle(seed=seed).row_ids(0, 500) for seed in (0, 1, 2**63)]
    ds = ds.shuffle(seed=0)
    ds.set_epoch(1)
    orders.append(ds.row_ids(0, 500))
    assert len({tuple(order) for order in orders}) == 4
    assert list(range(500)) not in orders
    assert stream(rowmill.open(tmp_path)) == [[index] for index in range(500)]


def test_no_seed_is_seed_zero_so_that_ranks_agree(tmp_path: Path) -> None:
    ds = rowmill.open(write_shards(tmp_path))
    assert ds.shuffle(seed=None).row_ids(0, 70) == ds.shuffle(seed=0).row_ids(0, 70) == ds.shuffle().row_ids(0, 70)


def test_without_reshuffling_every_epoch_is_the_first(tmp_path: Path) -> None:
    ds = rowmill.open(write_shards(tmp_path)).shuffle(seed=3, reshuffle_each_epoch=False)
    first, second = stream(ds), stream(ds)
    assert ds.epoch == 2
    assert first == second


@pytest.mark.filterwarnings("error")
def test_more_ranks_than_lanes_are_warned_of_with_the_lanes_that_would_do(tmp_path: Path) -> None:
    ds = rowmill.open(write_shards(tmp_path))
    with pytest.warns(UserWarning, match=r"4 ranks share 3 lanes.*num_lanes=4"):
        iter(ds.shuffle(1, num_lanes=3).shard(4, 0))
    iter(ds.shuffle(1, num_lanes=4).shard(4, 0))
