"""The laws of mixes by tokens: shares within a document, the documents of each source in their order, exact resume."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.test_mix_sequence_laws import CONSUMERS, NUM_LANES, documents_for, first_rows, keys, taken
from laws.test_pack_laws import ids_of, texts, write
from shards import copy, through_json

import rowmill

WEIGHTS = {"s0": Fraction(1, 2), "s1": Fraction(3, 10), "s2": Fraction(1, 5)}


@st.composite
def sources(draw: st.DrawFn, folder: Path, *, mode: str = "concat") -> dict[str, rowmill.Dataset]:
    made = {}
    for at in range(draw(st.integers(1, 3))):
        where = folder / f"s{at}"
        where.mkdir()
        write(where, documents_for(mode, draw(texts(NUM_LANES))), draw(st.integers(1, 9)), draw(st.integers(1, 2)))
        made[f"s{at}"] = rowmill.open(where, index_dir=folder / f"index-{at}").shuffle(
            seed=draw(st.integers(0, 99)),
            mode=draw(st.sampled_from(["window", "shard", "row", "none"])),
            num_lanes=NUM_LANES,
            window_bytes=draw(st.sampled_from([1, 300, 1 << 24])),
        )
    return made


def weights_of(made: dict[str, rowmill.Dataset]) -> dict[str, float]:
    return {name: float(WEIGHTS[name]) for name in made}


@st.composite
def mixes(draw: st.DrawFn, folder: Path) -> rowmill.Dataset:
    mode = draw(st.sampled_from(["concat", "concat", "best_fit"]))
    made = draw(sources(folder, mode=mode))
    mixed = rowmill.mix(made, weights_of(made), seed=draw(st.integers(0, 99)), unit="tokens", stopping="repeat")
    mixed = mixed.tokenize("bytes") if draw(st.booleans()) else mixed.select_columns(["tokens"])
    is_text = mixed.column_names == ["input_ids"]
    packed = mixed.pack(
        draw(st.integers(1, 40)), mode=mode, document_ids=True, column="input_ids" if is_text else "tokens"
    )
    return packed.with_format("numpy")


def lane_documents(made: dict[str, rowmill.Dataset], lane: int, number: int) -> dict[str, list[int]]:
    """Row ids of the documents of a lane of each source, in its order, epoch after epoch."""
    found = {}
    for name, ds in made.items():
        epochs = number // (ds.num_rows // NUM_LANES) + 1
        orders = [ds._plan.rust_order.row_ids(epoch, 0, ds.num_rows) for epoch in range(epochs)]
        found[name] = [row for order in orders for row in order[lane::NUM_LANES]]
    return found


@given(st.data(), st.integers(1, 25))
def test_lanes_take_the_source_furthest_behind_and_none_is_ahead_by_more_than_a_document(
    data: st.DataObject, rounds: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = data.draw(sources(Path(folder)))
        mixed = rowmill.mix(made, weights_of(made), seed=data.draw(st.integers(0, 99)), unit="tokens")
        ds = mixed.tokenize("bytes").pack(8, document_ids=True).repeat().with_format("numpy")
        firsts, names = first_rows(ds), list(made)
        samples = list(itertools.islice(iter(ds), rounds * NUM_LANES))
        shares = ds._plan.source.shares
        total_share = sum(WEIGHTS[name] for name in names)
        for lane in range(NUM_LANES):
            stream = [
                (int(document), int(token))
                for sample in samples[lane::NUM_LANES]
                for document, token in zip(sample["document_ids"], sample["input_ids"], strict=True)
            ]
            orders = lane_documents(made, lane, len(stream))
            lens = {
                name: [len(ids_of(row["text"])) for row in source.fetch(range(source.num_rows))]
                for name, source in made.items()
            }
            texts_of = {name: source.fetch(range(source.num_rows)) for name, source in made.items()}
            expected: list[tuple[int, int]] = []
            next_row, tokens = Counter[str](), [0] * len(names)
            last = [0] * len(names)
            while len(expected) < len(stream):
                at = shares.next_source(lane, tokens)
                name = names[at]
                row = orders[name][next_row[name]]
                next_row[name] += 1
                expected += [(firsts[at] + row, token) for token in ids_of(texts_of[name][row]["text"])]
                last[at] = lens[name][row]
                tokens[at] += last[at]
                for other, taken_here in enumerate(tokens):
                    share = WEIGHTS[names[other]] / total_share
                    assert taken_here - share * sum(tokens) <= (1 - share) * last[other]
            assert stream == expected[: len(stream)]


@given(st.data(), st.lists(st.integers(1, 12), max_size=4))
def test_a_killed_and_resumed_mix_is_the_straight_one_byte_for_byte(data: st.DataObject, kills: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(mixes(Path(folder))).batch(data.draw(st.integers(1, 5)))
        expected = taken(copy(ds), sum(kills) + 6)
        read: list[bytes] = []
        state = None
        for kill in [*kills, 6]:
            reader = copy(ds)
            if state is not None:
                reader.load_state_dict(state)
            loader = reader.loader()
            read += taken(loader, kill)
            state = through_json(reader.state_dict())
            assert len(str(state)) < 16_384
            given_here = loader.stats()["mix"]
            lanes = state["lanes"]
            assert sum(one["rows"] for one in given_here.values()) == sum(lanes["source_rows"])
            assert sum(one["tokens"] for one in given_here.values()) == sum(lanes["source_taken"])
        assert read == expected


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


@given(st.data(), st.integers(0, 12))
def test_the_documents_of_a_step_are_known(data: st.DataObject, step: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(mixes(Path(folder))).batch(3)
        if data.draw(st.booleans()):
            ds.count_tokens()
        read = list(itertools.islice(iter(copy(ds)), step + 1))
        state = None
        if step and data.draw(st.booleans()):
            reader = copy(ds)
            list(itertools.islice(iter(reader), data.draw(st.integers(1, step))))
            state = through_json(reader.state_dict())
        for row, documents in zip(ds.rows_at(step, state=state), read[step]["document_ids"], strict=True):
            told = [document for document, first, stop in row.documents for _ in range(stop - first)]
            assert told == [document for document in documents.tolist() if document >= 0]


def test_a_curriculum_counts_tokens(tmp_path: Path) -> None:
    made = {}
    for name, text in (("s0", "x" * 9), ("s1", "y" * 9)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, [text] * 40, 5, 1)
        made[name] = rowmill.open(tmp_path / name, index_dir=tmp_path).shuffle(1, num_lanes=2)
    steps = [
        {"start": 0, "weights": {"s0": 1, "s1": 0}},
        {"start": 400, "weights": {"s0": 0, "s1": 1}},
    ]
    ds = rowmill.mix(made, steps, unit="tokens", stopping="repeat").tokenize("bytes").pack(10, document_ids=True)
    given_here = [
        int(sample["document_ids"][0]) // 40 for sample in itertools.islice(iter(ds.with_format("numpy")), 80)
    ]
    # Of 10 tokens each, so 400 tokens of both lanes together are the first 40 samples.
    assert given_here == [0] * 40 + [1] * 40


def test_what_only_tokens_would_tell_is_refused_by_name(tmp_path: Path) -> None:
    made: dict[str, Any] = {}
    for name in ("s0", "s1"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, ["some text"] * 40, 5, 1)
        made[name] = rowmill.open(tmp_path / name, index_dir=tmp_path).shuffle(1, num_lanes=2)
    mixed = rowmill.mix(made, unit="tokens")
    packed = mixed.tokenize("bytes").pack(8)
    with pytest.raises(rowmill.SchemaMismatchError, match=r"wants .pack"):
        next(iter(mixed.batch(2).repeat()))
    with pytest.raises(rowmill.SchemaMismatchError, match=r"wants .pack"):
        next(iter(mixed.map(dict).tokenize("bytes").pack(8).repeat()))
    with pytest.raises(rowmill.SchemaMismatchError, match="stopping is 'first_exhausted'"):
        next(iter(packed))
    with pytest.raises(rowmill.SchemaMismatchError, match="stopping is 'first_exhausted'"):
        len(packed)
    with pytest.raises(rowmill.SchemaMismatchError, match=r"put them behind \.pack"):
        next(iter(mixed.take(3).tokenize("bytes").pack(8).repeat()))
    with pytest.raises(ValueError, match="unit must be one of samples, tokens"):
        rowmill.mix(made, unit="bytes")  # type: ignore[arg-type]
    reader = packed.batch(2).repeat()
    next(iter(reader))
    other = rowmill.mix(made, {"s0": 0.9, "s1": 0.1}, unit="tokens").tokenize("bytes").pack(8).batch(2).repeat()
    with pytest.raises(rowmill.StateMismatchError, match="kept lane by lane"):
        other.load_state_dict(reader.state_dict(), allow_remix=True)
    with pytest.raises(rowmill.StateMismatchError, match="another mix"):
        other.load_state_dict(reader.state_dict())
    by_samples = rowmill.mix(made).tokenize("bytes").pack(8).batch(2).repeat()
    with pytest.raises(rowmill.StateMismatchError, match="unit is 'samples'"):
        by_samples.load_state_dict(reader.state_dict())
