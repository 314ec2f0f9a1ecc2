"""The laws of a mix: exact counts, each source in its own order, the same steps on any topology, exact resume."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import TYPED, as_worker, copy, frozen, ids, stream, through_json, write_shards

import rowmill

NUM_LANES = 6
CONSUMERS = (1, 2, 3, 6)
# Ids tell the sources apart: each begins at a multiple of this.
APART = 1_000
pytestmark = pytest.mark.filterwarnings("ignore:.* ranks share .* lanes:UserWarning")


def write_source(folder: Path, at: int, num_rows: int, block_rows: int, container: str) -> list[Path]:
    """Rows whose ids begin at ``at * APART``; the shards before are there, and empty."""
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
    rows = [{"id": at * APART + row, "text": f"{at}:{row} " + "é" * (row % 7)} for row in range(num_rows)]
    folder.mkdir(parents=True, exist_ok=True)
    if container == "parquet":
        path = folder / "part.parquet"
        pa.parquet.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=block_rows)
        return [path]
    path = folder / "part.arrow"
    make = pa.ipc.new_stream if container == "stream" else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as sink, make(sink, schema) as writer:
        for start in range(0, num_rows, block_rows):
            writer.write_batch(pa.RecordBatch.from_pylist(rows[start : start + block_rows], schema=schema))
    return [path]


@st.composite
def sources(draw: st.DrawFn, folder: Path, *, at_least: int = 1) -> dict[str, rowmill.Dataset]:
    made = {}
    for at in range(draw(st.integers(at_least, 4))):
        num_rows = draw(st.integers(NUM_LANES, 60))
        where = folder / f"source-{at}"
        files = write_source(where, at, num_rows, draw(st.integers(1, 9)), draw(st.sampled_from(TYPED)))
        ds = rowmill.open(files, index_dir=folder / "index")
        made[f"s{at}"] = ds.shuffle(
            seed=draw(st.integers(0, 99)),
            mode=draw(st.sampled_from(["window", "shard", "row", "none"])),
            num_lanes=NUM_LANES,
            window_bytes=draw(st.sampled_from([1, 300, 1 << 24])),
        )
    return made


@st.composite
def weights(draw: st.DrawFn, names: list[str]) -> dict[str, float]:
    drawn = {name: draw(st.sampled_from([0.0, 0.1, 0.25, 1.0, 3.0])) for name in names}
    return drawn if any(drawn.values()) else {**drawn, names[0]: 1.0}


@st.composite
def mixes(draw: st.DrawFn, folder: Path, *, stopping: str | None = None) -> rowmill.Dataset:
    made = draw(sources(folder))
    rule = stopping or draw(st.sampled_from(["first_exhausted", "all_exhausted", "repeat"]))
    return rowmill.mix(made, draw(weights(list(made))), seed=draw(st.integers(0, 99)), stopping=rule)


def source_of(row_id: int) -> str:
    return f"s{row_id // APART}"


def taken(ds: Any, number: int) -> list[bytes]:
    return [frozen(item) for item in itertools.islice(iter(ds), number)]


@given(st.data(), st.integers(1, 120))
def test_counts_are_exact_after_every_sample_and_sources_keep_their_order(data: st.DataObject, number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = data.draw(sources(Path(folder)))
        shares = data.draw(weights(list(made)))
        ds = rowmill.mix(made, shares, seed=data.draw(st.integers(0, 99)), stopping="repeat")
        rows = [row["id"] for row in itertools.islice(iter(ds), number)]
        seen: Counter[str] = Counter()
        total = sum(shares.values())
        for at, row in enumerate(rows, 1):
            seen[source_of(row)] += 1
            for name, weight in shares.items():
                assert abs(seen[name] - at * weight / total) < 1
        for at, (name, source) in enumerate(made.items()):
            lanes = [[row for row in rows[lane::NUM_LANES] if source_of(row) == name] for lane in range(NUM_LANES)]
            epochs = max(map(len, lanes)) // (source.num_rows // NUM_LANES) + 1
            orders = [source._plan.rust_order.row_ids(epoch, 0, source.num_rows) for epoch in range(epochs)]
            for lane, given_here in enumerate(lanes):
                # What the lane of the source gives, epoch after epoch.
                expected = [at * APART + row for order in orders for row in order[lane::NUM_LANES]]
                assert given_here == expected[: len(given_here)]


@given(st.data(), st.lists(st.integers(1, 40), max_size=4))
def test_a_killed_and_resumed_mix_is_the_straight_one_byte_for_byte(data: st.DataObject, kills: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(mixes(Path(folder)))
        ranks = data.draw(st.integers(1, 3))
        ds = ds.shard(ranks, data.draw(st.integers(0, ranks - 1))).batch(data.draw(st.integers(1, 5)))
        if data.draw(st.booleans()):
            ds = ds.repeat()
        expected = two_epochs(ds, sum(kills) + 10)
        read: list[bytes] = []
        state = None
        for kill in [*kills, 10]:
            reader = copy(ds)
            if state is not None:
                reader.load_state_dict(state)
            left = kill
            while left and len(read) < len(expected):
                got = taken(reader, left)
                read += got
                left -= len(got)
            state = through_json(reader.state_dict())
            assert len(str(state)) < 1_024
        assert read[: len(expected)] == expected


def two_epochs(ds: rowmill.Dataset, number: int) -> list[bytes]:
    reader, read = copy(ds), []
    for _ in range(2):
        read += taken(reader, number - len(read))
    return read


@given(st.data())
def test_each_step_has_the_same_rows_on_any_topology_and_epochs_end_together(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(mixes(Path(folder), stopping=data.draw(st.sampled_from(["first_exhausted", "all_exhausted"]))))
        size = 12
        expected = [sorted(ids(step)) for step in itertools.islice(iter(copy(ds).batch(size, remainder="drop")), 40)]
        for num_shards in (2, 3, 4):
            read = [stream(copy(ds).shard(num_shards, rank).batch(size // num_shards)) for rank in range(num_shards)]
            assert len({len(steps) for steps in read}) == 1
            steps = [sorted(itertools.chain(*step)) for step in zip(*read, strict=True)]
            assert steps[: len(expected)] == expected
            assert len(steps) == ds.num_rows // size


@given(st.data())
def test_rows_of_an_epoch_come_once_until_a_source_begins_again(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = data.draw(sources(Path(folder)))
        shares = {name: weight + 0.1 for name, weight in data.draw(weights(list(made))).items()}
        first = rowmill.mix(made, shares, seed=3)
        rows = [row["id"] for row in first]
        assert len(rows) == len(set(rows)) == len(first) == first.num_rows
        every = rowmill.mix(made, shares, seed=3, stopping="all_exhausted")
        seen = Counter(row["id"] for row in every)
        assert len(seen) == sum(source.num_rows for source in made.values())


@given(st.data())
def test_the_next_epoch_goes_on_where_the_sources_stand(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(mixes(Path(folder), stopping="first_exhausted"))
        reader = copy(ds)
        epochs = [[row["id"] for row in reader] for _ in range(3)]
        assert [ds._plan.rust_order.row_ids(epoch, 0, ds.num_rows) for epoch in range(3)] == [
            [row_id_of(ds, row) for row in rows] for rows in epochs
        ]
        again = Counter(row for rows in epochs for row in rows)
        for component in ds._plan.source.components:
            # No row a third time before each came twice, lane by lane.
            counts = [again[row] for row in again if source_of(row) == component.name]
            assert max(counts, default=1) <= 3


def row_id_of(ds: rowmill.Dataset, row: int) -> int:
    before = 0
    for at, component in enumerate(ds._plan.source.components):
        if at == row // APART:
            break
        before += component.num_rows
    return before + row % APART


@given(st.data())
def test_rows_are_known_before_they_are_read(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(mixes(Path(folder))).batch(5, remainder="keep")
        for step, batch in enumerate(itertools.islice(iter(copy(ds)), 6)):
            known = ds.rows_at(step)
            assert [row["id"] for row in ds.fetch(known)] == ids(batch)


@given(st.data())
def test_merged_workers_of_a_mix_leave_nothing_out(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(mixes(Path(folder), stopping="first_exhausted")).batch(3, remainder="keep")
        states, read = [], []
        for worker in range(2):
            with as_worker(2, worker):
                iterator = iter(copy(ds))
                read += [row for item in itertools.islice(iterator, data.draw(st.integers(0, 4))) for row in ids(item)]
                states.append(through_json(iterator.state_dict()))
        rows = rowmill.Dataset(ds._plan.with_(stages=())).batch(1)
        rows.load_state_dict(through_json(rowmill.merge_states(states)))
        if rows.epoch == 0:
            read += [row for item in rows for row in ids(item)]
        assert sorted(read) == sorted(row["id"] for row in rowmill.Dataset(ds._plan.with_(stages=())))


@given(st.data(), st.lists(st.integers(1, 10), max_size=3))
def test_a_packed_mix_resumes_and_its_document_counts_are_exact(data: st.DataObject, kills: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = (
            data.draw(mixes(Path(folder)))
            .tokenize("bytes")
            .pack(
                data.draw(st.integers(2, 40)),
                mode=data.draw(st.sampled_from(["concat", "best_fit"])),
                document_ids=True,
            )
        )
        ds = ds.batch(data.draw(st.integers(1, 4))).with_format("numpy").repeat()
        expected = taken(copy(ds), sum(kills) + 6)
        read: list[bytes] = []
        state = None
        for kill in [*kills, 6]:
            reader = copy(ds)
            if state is not None:
                reader.load_state_dict(state)
            read += taken(reader, kill)
            state = through_json(reader.state_dict())
        assert read == expected
        given_rows = reader.loader()
        iterator = iter(given_rows)
        next(iterator)
        lanes = iterator.state_dict()["lanes"]
        counts = given_rows.stats()["mix"]
        assert sum(one["rows"] for one in counts.values()) == sum(lanes["rows"])


@given(st.data())
def test_ranks_of_a_packed_mix_merge_into_any_other_number(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(mixes(Path(folder))).tokenize("bytes").pack(16, document_ids=True).repeat().with_format("numpy")
        expected = [sample_key(batch) for batch in itertools.islice(iter(copy(ds).batch(1)), 48)]
        first, second = data.draw(st.sampled_from(CONSUMERS)), data.draw(st.sampled_from(CONSUMERS))
        size = NUM_LANES // first
        jobs = [copy(ds).shard(first, rank).batch(size) for rank in range(first)]
        for job in jobs:
            list(itertools.islice(iter(job), 3))
        merged = through_json(rowmill.merge_states([through_json(job.state_dict()) for job in jobs]))
        after = []
        for rank in range(second):
            job = copy(ds).shard(second, rank).batch(NUM_LANES // second)
            job.load_state_dict(merged)
            for batch in itertools.islice(iter(job), 5):
                after += [
                    sample_key({name: column[at : at + 1] for name, column in batch.items()})
                    for at in range(NUM_LANES // second)
                ]
        assert sorted(after) == sorted(expected[3 * NUM_LANES : 8 * NUM_LANES])


def sample_key(batch: dict[str, Any]) -> bytes:
    return batch["input_ids"].tobytes() + batch["document_ids"].tobytes()


@given(st.data(), st.integers(0, 30), st.integers(1, 30))
def test_a_remix_leaves_untouched_sources_where_they_are(data: st.DataObject, before: int, more: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = data.draw(sources(Path(folder), at_least=2))
        names = list(made)
        old = dict(list(made.items())[: data.draw(st.integers(1, len(made)))])
        new = {name: made[name] for name in data.draw(st.permutations(names))[: data.draw(st.integers(1, len(made)))]}
        batch = data.draw(st.integers(1, 3))

        def job(chosen: dict[str, rowmill.Dataset], shares: dict[str, float]) -> rowmill.Dataset:
            return rowmill.mix(chosen, shares, seed=5, stopping="repeat").batch(batch)

        first, second = data.draw(weights(list(old))), data.draw(weights(list(new)))
        reader = job(old, first)
        read = [ids(item) for item in itertools.islice(iter(reader), before)]
        changed = job(new, second)
        changed.load_state_dict(through_json(reader.state_dict()), allow_remix=True)
        iterator = iter(changed)
        after = [ids(item) for item in itertools.islice(iterator, more)]
        rows = [row for step in (*read, *after) for row in step]
        for name, source in made.items():
            own = [row for row in rows if source_of(row) == name]
            alone = rowmill.mix({name: source}, seed=1, stopping="repeat")
            lanes = [[], [], [], [], [], []]
            for place, row in enumerate(rows):
                if source_of(row) == name:
                    lanes[place % NUM_LANES].append(row)
            straight = [row["id"] for row in itertools.islice(iter(alone), NUM_LANES * (max(map(len, lanes)) + 1))]
            for lane, given_here in enumerate(lanes):
                assert given_here == straight[lane::NUM_LANES][: len(given_here)]
            assert name in new or not any(row in own for step in after for row in step)
        total = sum(second.values())
        counts = Counter(source_of(row) for step in after for row in step)
        for name, weight in second.items():
            assert abs(counts[name] - more * batch * weight / total) < 1
        # A later resume needs no flag, and goes on.
        resumed = job(new, second)
        resumed.load_state_dict(through_json(iterator.state_dict()))
        assert taken(resumed, 5) == taken(iterator, 5)


@given(st.data(), st.integers(1, 12))
def test_a_remix_before_packing_takes_effect_where_no_lane_has_been(data: st.DataObject, steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = data.draw(sources(Path(folder), at_least=2))
        first, second = data.draw(weights(list(made))), data.draw(weights(list(made)))

        def job(shares: dict[str, float]) -> rowmill.Dataset:
            mixed = rowmill.mix(made, shares, seed=5)
            return mixed.tokenize("bytes").pack(12, document_ids=True).batch(4).repeat().with_format("numpy")

        reader = job(first)
        list(itertools.islice(iter(reader), steps))
        state = through_json(reader.state_dict())
        changed = job(second)
        changed.load_state_dict(state, allow_remix=True)
        plan, past = changed._plan, reader._plan
        begins = plan.source.history.changes[-1][0]
        known = [past.rust_order.row_ids(0, 0, begins), plan.rust_order.row_ids(0, 0, begins)]
        assert known[0] == known[1], "all lanes go on as they were until the change"
        is_changed = len(plan.source.history.changes) == 2
        assert not is_changed or all(row * NUM_LANES <= begins for row in state["lanes"]["rows"])
        iterator = iter(changed)
        next(iterator)
        resumed = job(second)
        resumed.load_state_dict(through_json(iterator.state_dict()))
        assert taken(resumed, 4) == taken(iterator, 4)


@given(st.data(), st.sampled_from(["drop", "pad", "keep"]))
def test_a_packed_mix_that_ends_takes_the_steps_that_its_counts_say(data: st.DataObject, remainder: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(mixes(Path(folder), stopping=data.draw(st.sampled_from(["first_exhausted", "all_exhausted"]))))
        ds = ds.take(data.draw(st.integers(1, 60))) if data.draw(st.booleans()) else ds
        mode = data.draw(st.sampled_from(["concat", "best_fit"]))
        ds = ds.tokenize("bytes").pack(data.draw(st.integers(2, 30)), mode=mode, document_ids=True)
        ds = ds.repeat(2) if data.draw(st.booleans()) else ds
        ds = ds.with_format("numpy").set_epoch(data.draw(st.integers(0, 2)))
        ds.count_tokens()
        whole = Counter(sample_key(batch) for batch in copy(ds).set_epoch(ds.epoch).batch(1))
        num_shards, size = data.draw(st.sampled_from(CONSUMERS)), data.draw(st.integers(1, 4))
        jobs = [copy(ds).set_epoch(ds.epoch).shard(num_shards, rank) for rank in range(num_shards)]
        jobs = [job.batch(size, remainder=remainder) for job in jobs]
        lengths = [len(job) for job in jobs]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="no rank yields anything")
            ranks = [list(job) for job in jobs]
        assert lengths == [len(batches) for batches in ranks]
        found = Counter(sample_key(row) for batches in ranks for batch in batches for row in rows_of(batch))
        if remainder != "keep":
            assert len(set(lengths)) == 1
        if remainder != "pad":
            assert not found - whole
        if remainder != "drop":
            assert not whole - found
        if ds._plan.epochs_per_pass == 1:
            documents = Counter(
                row for batch in copy(ds).set_epoch(ds.epoch).batch(8) for row in batch["document_ids"].ravel()
            )
            assert sum(count for row, count in documents.items() if row >= 0) == copy(ds).set_epoch(ds.epoch).num_tokens


def rows_of(batch: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: column[at : at + 1] for name, column in batch.items()} for at in range(len(batch["input_ids"]))]


@given(st.data(), st.integers(1, 8))
def test_a_remix_inside_of_groups_of_best_fit_leaves_them_as_they_are(data: st.DataObject, steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for at in range(2):
            texts = [f"{at}:{row} " * data.draw(st.integers(300, 900)) for row in range(8)]
            path = Path(folder) / f"s{at}.arrow"
            with (
                pa.OSFile(str(path), "wb") as sink,
                pa.ipc.new_stream(sink, pa.schema([("text", pa.string())])) as writer,
            ):
                writer.write_batch(pa.RecordBatch.from_pylist([{"text": text} for text in texts]))
            made[f"s{at}"] = rowmill.open(path, index_dir=folder).shuffle(at, num_lanes=2)

        def job(share: float) -> rowmill.Dataset:
            mixed = rowmill.mix(made, {"s0": share, "s1": 1 - share}, seed=5, stopping="repeat").tokenize("bytes")
            return mixed.pack(4096, mode="best_fit", document_ids=True).batch(2).with_format("numpy")

        reader = job(0.5)
        list(itertools.islice(iter(reader), steps))
        state = through_json(reader.state_dict())
        changed = job(0.9)
        if data.draw(st.booleans()):
            changed.count_tokens()
        changed.load_state_dict(state, allow_remix=True)
        begins = changed._plan.source.history.changes[-1][0]
        rows, emitted = state["lanes"]["rows"], state["lanes"].get("emitted", [0, 0])
        assert all(begins >= 2 * (row + (64 if some else 0)) for row, some in zip(rows, emitted, strict=True))
        past, now = reader._plan.rust_order, changed._plan.rust_order
        assert past.row_ids(0, 0, begins) == now.row_ids(0, 0, begins)
        # What was in the groups comes as it would have come, and then the new shares.
        straight, iterator = job(0.5), iter(changed)
        straight.load_state_dict(state)
        lane = max(range(2), key=lambda at: emitted[at])
        if emitted[lane]:
            before, after = next(iter(straight)), next(iterator)
            assert before["input_ids"][lane].tobytes() == after["input_ids"][lane].tobytes()
        else:
            next(iterator)
        resumed = job(0.9)
        resumed.load_state_dict(through_json(iterator.state_dict()))
        assert taken(resumed, 3) == taken(iterator, 3)


def test_shards_of_the_tests_are_mixed_with_tars(tmp_path: Path) -> None:
    tar, other = (
        rowmill.open(write_shards(tmp_path / name, [size], container="tar", columns=["id"])).shuffle(1, num_lanes=2)
        for name, size in (("a", 20), ("b", 30))
    )
    rows = [int(row["id"]) for row in rowmill.mix({"a": tar, "b": other}, {"a": 2, "b": 1}, stopping="all_exhausted")]
    assert set(rows) == set(range(30))
