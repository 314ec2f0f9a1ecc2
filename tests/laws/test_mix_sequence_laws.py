"""The laws of mixes of packed sources: each source as it is alone, exact counts, exact resume, any topology."""

from __future__ import annotations

import itertools
import re
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.test_pack_laws import texts, write
from shards import copy, frozen, through_json

import rowmill

NUM_LANES = 6
CONSUMERS = (1, 2, 3, 6)
pytestmark = pytest.mark.filterwarnings("ignore:no rank yields anything:UserWarning")


def documents_for(mode: str, documents: list[str | None]) -> list[str | None]:
    """Groups of best fit hold 2^18 tokens: of longer documents they are soon read."""
    return documents if mode == "concat" else [(text or "") + "long enough " * 500 for text in documents]


@st.composite
def sources(draw: st.DrawFn, folder: Path, *, at_least: int = 1, is_endless: bool = True) -> dict[str, rowmill.Dataset]:
    """Packed sources: of text or of ids on the disk, shuffled and packed each in a way of its own."""
    seq_len, made = draw(st.integers(1, 30)), {}
    for at in range(draw(st.integers(at_least, 3))):
        where = folder / f"s{at}"
        where.mkdir()
        mode = draw(st.sampled_from(["concat", "concat", "best_fit", "best_fit_windows"]))
        documents = documents_for(mode if is_endless else "concat", draw(texts(NUM_LANES)))
        write(where, documents, draw(st.integers(1, 9)), draw(st.integers(1, 2)))
        ds = rowmill.open(where, index_dir=folder / f"index-{at}").shuffle(
            seed=draw(st.integers(0, 99)),
            mode=draw(st.sampled_from(["window", "shard", "row", "none"])),
            num_lanes=NUM_LANES,
            window_bytes=draw(st.sampled_from([1, 300, 1 << 24])),
        )
        is_text = draw(st.booleans())
        ds = ds.tokenize("bytes") if is_text else ds
        made[f"s{at}"] = ds.pack(seq_len, mode=mode, document_ids=True, column="input_ids" if is_text else "tokens")
        if mode == "best_fit_windows":
            made[f"s{at}"].count_tokens()
    return made


@st.composite
def weights(draw: st.DrawFn, names: list[str]) -> dict[str, float]:
    drawn = {name: draw(st.sampled_from([0.0, 0.1, 0.25, 1.0, 3.0])) for name in names}
    return drawn if any(drawn.values()) else {**drawn, names[0]: 1.0}


@st.composite
def mixes(draw: st.DrawFn, folder: Path) -> rowmill.Dataset:
    made = draw(sources(folder))
    mixed = rowmill.mix(made, draw(weights(list(made))), seed=draw(st.integers(0, 99)), stopping="repeat")
    return mixed.with_format("numpy")


def sample_key(sample: dict[str, Any], first_row: int = 0) -> bytes:
    documents = np.asarray(sample["document_ids"])
    documents = np.where(documents < 0, documents, documents + first_row)
    ids, labels = (np.asarray(sample[name], np.int64).tobytes() for name in ("input_ids", "labels"))
    return ids + labels + documents.tobytes()


def keys(batch: dict[str, Any]) -> list[bytes]:
    rows = ({name: column[at] for name, column in batch.items()} for at in range(len(batch["input_ids"])))
    return [sample_key(row) for row in rows]


def first_rows(ds: rowmill.Dataset) -> list[int]:
    sizes = [component.num_rows for component in ds._plan.source.components]
    return list(itertools.accumulate(sizes, initial=0))


def alone(ds: rowmill.Dataset, first_row: int, number: int) -> list[bytes]:
    """The first samples of a source without the mix, as they would be in it."""
    given_here = itertools.islice(iter(copy(ds).with_format("numpy").repeat()), number)
    return [sample_key(sample, first_row) for sample in given_here]


def taken(ds: Any, number: int) -> list[bytes]:
    return [frozen(item) for item in itertools.islice(iter(ds), number)]


@given(st.data(), st.integers(1, 90))
def test_each_sample_is_the_next_one_of_its_source_and_counts_are_exact(data: st.DataObject, number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = data.draw(sources(Path(folder)))
        shares = data.draw(weights(list(made)))
        ds = rowmill.mix(made, shares, seed=data.draw(st.integers(0, 99)), stopping="repeat").with_format("numpy")
        loader = ds.loader()
        given_here = [sample_key(sample) for sample in itertools.islice(iter(loader), number)]
        firsts, schedule, names = first_rows(ds), ds._plan.source.schedule, list(made)
        own = [alone(source, firsts[at], number + NUM_LANES) for at, source in enumerate(made.values())]
        seen: Counter[tuple[int, int]] = Counter()
        for position, (key, source) in enumerate(zip(given_here, schedule.sources(0, number), strict=True)):
            lane = position % NUM_LANES
            assert key == own[source][seen[source, lane] * NUM_LANES + lane]
            seen[source, lane] += 1
        total = sum(shares.values())
        for at, name in enumerate(names):
            count = sum(seen[at, lane] for lane in range(NUM_LANES))
            assert abs(count - number * shares[name] / total) < 1
            assert loader.stats()["mix"][name] == {"samples": count}


@given(st.data(), st.lists(st.integers(1, 12), max_size=4))
def test_a_killed_and_resumed_mix_is_the_straight_one_byte_for_byte(data: st.DataObject, kills: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(mixes(Path(folder))).batch(data.draw(st.integers(1, 5)))
        ds = ds.skip(data.draw(st.integers(0, 4)))
        expected, whole = taken(copy(ds), sum(kills) + 6), copy(ds)
        list(itertools.islice(iter(whole), sum(kills) + 6))
        read: list[bytes] = []
        state = None
        for kill in [*kills, 6]:
            reader = copy(ds)
            if state is not None:
                reader.load_state_dict(state)
            read += taken(reader, kill)
            state = through_json(reader.state_dict())
            assert len(str(state)) < 16_384
        assert read == expected
        assert state == through_json(whole.state_dict())


@given(st.data())
def test_ranks_merge_into_any_other_number_and_receipts_agree(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(mixes(Path(folder)))
        expected = [key for batch in itertools.islice(iter(copy(ds).batch(1)), 8 * NUM_LANES) for key in keys(batch)]
        first, second = data.draw(st.sampled_from(CONSUMERS)), data.draw(st.sampled_from(CONSUMERS))
        jobs = [copy(ds).shard(first, rank).batch(NUM_LANES // first) for rank in range(first)]
        for job in jobs:
            list(itertools.islice(iter(job), 3))
        merged = through_json(rowmill.merge_states([through_json(job.state_dict()) for job in jobs]))
        after, receipts = [], []
        for rank in range(second):
            job = copy(ds).shard(second, rank).batch(NUM_LANES // second)
            job.load_state_dict(merged)
            loader = job.loader()
            for batch in itertools.islice(iter(loader), 5):
                after += keys(batch)
            receipts.append(loader.stats()["receipt"])
        assert sorted(after) == sorted(expected[3 * NUM_LANES :])
        straight = copy(ds).batch(NUM_LANES).loader()
        list(itertools.islice(iter(straight), 8))
        assert rowmill.merge_receipts(receipts) == straight.stats()["receipt"]


@given(st.data(), st.sampled_from(["first_exhausted", "all_exhausted"]))
def test_a_mix_that_ends_ends_together_where_its_sources_say(data: st.DataObject, stopping: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = data.draw(sources(Path(folder), is_endless=False))
        shares = {name: weight + 0.2 for name, weight in data.draw(weights(list(made))).items()}
        ds = rowmill.mix(made, shares, seed=3, stopping=stopping).with_format("numpy")
        epochs = data.draw(st.integers(1, 2))
        ds = ds.repeat(epochs) if epochs > 1 else ds
        ds.count_tokens()
        rows = [sample_key(sample) for sample in copy(ds)]
        assert len(ds) == len(rows)
        firsts = first_rows(ds)
        everything: Counter[bytes] = Counter()
        for at, source in enumerate(made.values()):
            epoch = copy(source).with_format("numpy")
            everything.update(sample_key(sample, firsts[at]) for sample in epoch)
        if stopping == "all_exhausted":
            assert not everything - Counter(rows), "every sample of an epoch of each source comes"
        elif epochs == 1:
            assert not Counter(rows) - everything, "and none twice before"
        for num_shards in CONSUMERS:
            size = data.draw(st.integers(1, 3))
            jobs = [copy(ds).shard(num_shards, rank).batch(size) for rank in range(num_shards)]
            lengths = [len(job) for job in jobs]
            batches = [list(job) for job in jobs]
            assert lengths == [len(steps) for steps in batches]
            assert len(set(lengths)) == 1
            read = [[key for batch in steps for key in keys(batch)] for steps in batches]
            assert not Counter(itertools.chain(*read)) - Counter(rows)


@given(st.data(), st.integers(0, 30), st.integers(1, 30))
def test_a_remix_leaves_untouched_sources_where_they_are(data: st.DataObject, before: int, more: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = data.draw(sources(Path(folder), at_least=2))
        names = list(made)
        old = dict(list(made.items())[: data.draw(st.integers(1, len(made)))])
        new = {name: made[name] for name in data.draw(st.permutations(names))[: data.draw(st.integers(1, len(made)))]}

        def job(chosen: dict[str, rowmill.Dataset], shares: dict[str, float]) -> rowmill.Dataset:
            return rowmill.mix(chosen, shares, seed=5, stopping="repeat").batch(1).with_format("numpy")

        first, second = data.draw(weights(list(old))), data.draw(weights(list(new)))
        reader = job(old, first)
        list(itertools.islice(iter(reader), before))
        changed = job(new, second)
        changed.load_state_dict(through_json(reader.state_dict()), allow_remix=True)
        iterator = iter(changed)
        after = [keys(batch)[0] for batch in itertools.islice(iterator, more)]
        schedule, firsts = changed._plan.source.schedule, first_rows(changed)
        begun, history = before, changed._plan.source.history.changes
        assert all(position <= before + NUM_LANES for position, _ in history)
        order = [component.name for component in changed._plan.source.components]
        own = {name: alone(made[name], firsts[order.index(name)], (before + more) + NUM_LANES) for name in new}
        seen: Counter[tuple[int, int]] = Counter()
        for position, source in enumerate(schedule.sources(0, begun + more)):
            lane = position % NUM_LANES
            if position >= begun:
                assert after[position - begun] == own[order[source]][seen[source, lane] * NUM_LANES + lane]
            seen[source, lane] += 1
        resumed = job(new, second)
        resumed.load_state_dict(through_json(iterator.state_dict()))
        assert taken(resumed, 5) == taken(iterator, 5)


@given(st.data(), st.integers(0, 12))
def test_the_documents_of_a_step_are_known(data: st.DataObject, step: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stopping = data.draw(st.sampled_from(["repeat", "all_exhausted"]))
        made = data.draw(sources(Path(folder), is_endless=stopping == "repeat"))
        ds = rowmill.mix(made, stopping=stopping).batch(3, remainder="keep").with_format("numpy")
        if stopping != "repeat" or data.draw(st.booleans()):
            ds.count_tokens()
        read = list(itertools.islice(iter(copy(ds)), step + 1))
        if step >= len(read):
            with pytest.raises(rowmill.RowmillError):
                ds.rows_at(step)
            return
        state = None
        if step and data.draw(st.booleans()):
            reader = copy(ds)
            list(itertools.islice(iter(reader), data.draw(st.integers(1, step))))
            state = through_json(reader.state_dict())
        rows = ds.rows_at(step, state=state)
        for row, documents in zip(rows, read[step]["document_ids"], strict=True):
            told = [document for document, first, stop in row.documents for _ in range(stop - first)]
            assert told == [document for document in documents.tolist() if document >= 0]


@pytest.mark.parametrize("mode", ["concat", "best_fit_windows"])
def test_the_documents_of_a_source_behind_others_are_its_own_without_counts_of_all(tmp_path: Path, mode: str) -> None:
    made = {}
    for name, texts_of in {"a": ["some text"] * 20, "b": ["long", "and much longer text"] * 4}.items():
        (tmp_path / name).mkdir()
        write(tmp_path / name, texts_of, 5, 1)
        ds = rowmill.open(tmp_path / name, index_dir=tmp_path).shuffle(1, num_lanes=NUM_LANES).tokenize("bytes")
        made[name] = ds.pack(8, mode="concat" if name == "a" else mode, document_ids=True)
    if mode != "concat":
        made["b"].count_tokens()
    ds = rowmill.mix(made, stopping="repeat").batch(NUM_LANES).with_format("numpy")
    for step, batch in enumerate(itertools.islice(iter(copy(ds)), 8)):
        for row, documents in zip(ds.rows_at(step), batch["document_ids"], strict=True):
            told = [document for document, first, stop in row.documents for _ in range(stop - first)]
            assert told == [document for document in documents.tolist() if document >= 0]


def test_what_cannot_be_mixed_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, ["some text", "and more"] * 20, 5, 1)
    a, b = (rowmill.open(tmp_path / name, index_dir=tmp_path).shuffle(1, num_lanes=4) for name in ("a", "b"))
    packed = a.tokenize("bytes").pack(8)
    cases: dict[str, tuple[rowmill.Dataset, type[Exception]]] = {
        "'a' is packed and source 'b' is not": (b, rowmill.SchemaMismatchError),
        "'b' has .tokenize(...) without .pack": (b.tokenize("bytes"), rowmill.SchemaMismatchError),
        "seq_len=8 and source 'b' with 9": (b.tokenize("bytes").pack(9), rowmill.SchemaMismatchError),
        "names=": (b.tokenize("bytes").pack(8, position_ids=True), rowmill.SchemaMismatchError),
        "take or .skip of packed samples": (b.tokenize("bytes").pack(8).take(3), rowmill.SchemaMismatchError),
        "'b' has map": (b.map(dict).tokenize("bytes").pack(8), rowmill.SchemaMismatchError),
        "has 4 lanes and source 'b' 2": (
            b.shuffle(1, num_lanes=2).tokenize("bytes").pack(8),
            rowmill.TopologyError,
        ),
    }
    for named, (other, error) in cases.items():
        with pytest.raises(error, match=re.escape(named)):
            rowmill.mix({"a": packed, "b": other})
    both = {"a": packed, "b": b.tokenize("bytes").pack(8)}
    with pytest.raises(rowmill.SchemaMismatchError, match="leave out unit"):
        rowmill.mix(both, unit="tokens")
    mixed = rowmill.mix(both)
    for refused in (lambda: mixed.tokenize("bytes"), lambda: mixed.pack(4), lambda: mixed.filter(bool)):
        with pytest.raises(rowmill.SchemaMismatchError):
            refused()
    with pytest.raises(rowmill.SchemaMismatchError, match="dataset of a source"):
        mixed.fetch([0])
    with pytest.raises(rowmill.SchemaMismatchError, match="rows_at"):
        mixed.row_ids(0, 3)
    with pytest.raises(rowmill.TopologyError, match=r"rowmill index .*count_tokens.*repeat"):
        next(iter(mixed))
    with pytest.raises(TypeError, match="count them once"):
        len(mixed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mixed.count_tokens().num_rows == 80
    assert len(list(mixed)) == len(mixed) > 0
    assert mixed.schema.names == ["input_ids", "labels"]
    assert mixed.describe()["mix"]["a"]["share"] == 0.5
