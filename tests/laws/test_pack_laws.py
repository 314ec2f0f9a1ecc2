"""The laws of packed pipelines: every token once, the same stream on any topology, exact resume."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards import as_worker, copy, frozen, through_json

import rowmill

NUM_LANES = 6
CONSUMERS = [1, 2, 3, 6]
EOS = 256

# Batches are only compared: NumPy's keep their narrow ids, torch's are the default elsewhere.
FORMATS = (None, "numpy", "arrow", "python")


@st.composite
def texts(draw: st.DrawFn, at_least: int) -> list[str | None]:
    """Documents, among them empty ones, nulls, long ones, and others than ASCII."""
    one = st.one_of(
        st.text(max_size=12),
        st.builds(lambda word, times: word * times, st.sampled_from(["ab ", "é", "mill\n", "雪"]), st.integers(0, 60)),
        st.none(),
    )
    return draw(st.lists(one, min_size=at_least, max_size=40))


def write(folder: Path, documents: list[str | None], block_rows: int, num_shards: int) -> None:
    schema = pa.schema([("text", pa.string()), ("tokens", pa.list_(pa.uint16()))])
    rows = [{"text": text, "tokens": ids_of(text)} for text in documents]
    for shard in range(num_shards):
        with pa.OSFile(str(folder / f"part-{shard}.arrow"), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            mine = rows[shard::num_shards]
            for start in range(0, len(mine), block_rows):
                writer.write_batch(pa.RecordBatch.from_pylist(mine[start : start + block_rows], schema=schema))


def ids_of(text: str | None) -> list[int]:
    return [*(text or "").encode(), EOS]


@st.composite
def packed(draw: st.DrawFn, folder: Path, *, remainder: str | None = None, at_least: int = 1) -> rowmill.Dataset:
    """A packed pipeline over a few documents; of text, or of ids on the disk."""
    write(folder, draw(texts(at_least)), draw(st.integers(1, 9)), draw(st.integers(1, 3)))
    # Data of other texts may have the same shape, and so the same fingerprint: each case has an index of its own.
    ds = rowmill.open(folder, index_dir=folder / "index").shuffle(
        seed=draw(st.integers(0, 2**32)),
        mode=draw(st.sampled_from(["window", "shard", "row", "none"])),
        num_lanes=NUM_LANES,
        window_bytes=draw(st.sampled_from([1, 300, 1 << 24])),
    )
    is_text = draw(st.booleans())
    ds = ds.tokenize("bytes") if is_text else ds
    mode = draw(st.sampled_from(["concat", "best_fit", "best_fit_windows"]))
    ds = ds.pack(
        draw(st.integers(1, 40)),
        mode=mode,
        labels=draw(st.sampled_from(["shifted", "copy", None])),
        document_ids=True,
        position_ids=draw(st.booleans()),
        loss_mask=draw(st.booleans()),
        cu_seqlens=draw(st.booleans()),
        column="input_ids" if is_text else "tokens",
    )
    if mode == "best_fit_windows":
        ds.count_tokens()
    return ds.batch(draw(st.integers(1, 5)), remainder=remainder).with_format(draw(st.sampled_from(FORMATS)))


def straight(ds: rowmill.Dataset, steps: int | None = None) -> list[bytes]:
    return [frozen(batch) for batch in itertools.islice(iter(copy(ds)), steps)]


def columns(batch: Any) -> dict[str, np.ndarray[Any, Any]]:
    names = batch.schema.names if isinstance(batch, pa.RecordBatch) else list(batch)
    wanted = [name for name in names if name not in ("cu_seqlens", "max_seqlen")]
    plain = batch.to_pydict() if isinstance(batch, pa.RecordBatch) else batch
    return {name: np.asarray(plain[name]) for name in wanted}


def tokens_by_document(batches: list[Any]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for batch in batches:
        made = columns(batch)
        for ids, documents in zip(made["input_ids"].tolist(), made["document_ids"].tolist(), strict=True):
            for token, document in zip(ids, documents, strict=True):
                if document >= 0:
                    found.setdefault(document, []).append(token)
    return found


@given(st.data())
def test_every_token_of_every_document_comes_once_in_an_epoch(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(packed(Path(folder), remainder="keep"))
        found = tokens_by_document(list(copy(ds)))
        stored = rowmill.open(folder).fetch(range(ds.num_rows))
        expected = {at: ids_of(row["text"]) for at, row in enumerate(stored)}
        assert ds._plan.pipeline.pack is not None
        if ds._plan.pipeline.pack.mode == "best_fit":
            # Pieces of a document that is longer than a sample come in their order, but for its short last one.
            found = {at: sorted(ids) for at, ids in found.items()}
            expected = {at: sorted(ids) for at, ids in expected.items()}
        assert found == expected


@given(st.data())
def test_unpack_is_the_inverse_of_pack(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(packed(Path(folder), remainder="keep"))
        stored = rowmill.open(folder).fetch(range(ds.num_rows))
        found = {row_id: ids.tolist() for row_id, ids in rowmill.unpack(copy(ds)).items()}
        assert found == {at: ids_of(row["text"]) for at, row in enumerate(stored)}


@given(st.data(), st.lists(st.integers(1, 12), max_size=5))
def test_a_killed_and_resumed_run_is_the_straight_one_byte_for_byte(data: st.DataObject, kills: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(packed(Path(folder), remainder=data.draw(st.sampled_from(["keep", "drop", "pad"]))))
        reader = copy(ds)
        expected = [frozen(batch) for _ in range(2) for batch in reader]
        assert killed_run(ds, kills, epochs=2) == expected
        endless, wanted = ds.repeat(), sum(kills) + 5
        if expected:
            assert killed_run(endless, kills, wanted=wanted) == straight(endless, wanted)


def killed_run(ds: rowmill.Dataset, kills: list[int], *, epochs: int = 1 << 30, wanted: int = 1 << 30) -> list[bytes]:
    """Reads ``epochs`` epochs; after so many items as each of ``kills`` says a new process goes on from the cursor."""
    items: list[bytes] = []
    state = None
    for kill in [*kills, wanted]:
        reader = copy(ds)
        if state is not None:
            reader.load_state_dict(state)
        left = min(kill, wanted - len(items))
        while reader.epoch < epochs and left:
            for batch in itertools.islice(iter(reader), left):
                items.append(frozen(batch))
                left -= 1
        state = through_json(reader.state_dict())
    return items


@given(st.data())
def test_each_step_has_the_same_samples_on_any_number_of_ranks(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(packed(Path(folder), at_least=NUM_LANES)).with_format("numpy").repeat()
        size, num_shards = ds._plan.batch_size or 1, data.draw(st.sampled_from(CONSUMERS))
        samples = samples_of(itertools.islice(iter(copy(ds)), 12))
        steps, step = 12 // num_shards, size * num_shards
        found = []
        for rank in range(num_shards):
            batches = itertools.islice(iter(copy(ds).shard(num_shards, rank)), steps)
            found.append([split(columns(batch)) for batch in batches])
        for at in range(steps):
            together = sorted(sample_key(one) for rank in found for one in rank[at])
            assert together == sorted(map(sample_key, samples[at * step : (at + 1) * step]))


@given(st.data())
def test_workers_together_yield_every_sample_once(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(packed(Path(folder), remainder="keep")).with_format("numpy")
        num_workers = data.draw(st.sampled_from(CONSUMERS))
        found = []
        for worker in range(num_workers):
            with as_worker(num_workers, worker):
                found += samples_of(iter(copy(ds)))
        assert sorted(map(sample_key, found)) == sorted(map(sample_key, samples_of(iter(copy(ds)))))


def sample_key(sample: dict[str, Any]) -> bytes:
    return b"|".join(np.ascontiguousarray(sample[name]).tobytes() for name in sorted(sample))


@given(st.data())
def test_a_cursor_of_all_ranks_goes_on_with_any_other_number_of_them(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = data.draw(packed(Path(folder), at_least=NUM_LANES)).with_format("numpy").repeat()
        size = ds._plan.batch_size or 1
        first, second = data.draw(st.sampled_from(CONSUMERS)), data.draw(st.sampled_from(CONSUMERS))
        steps = 6 // first * data.draw(st.integers(1, 2))
        expected = samples_of(itertools.islice(iter(copy(ds)), 24))
        states, read = [], []
        for rank in range(first):
            job = copy(ds).shard(first, rank)
            read.append([columns(batch) for batch in itertools.islice(iter(job), steps)])
            states.append(through_json(job.state_dict()))
        done = steps * first * size
        before = sorted(sample_key(one) for part in read for batch in part for one in split(batch))
        assert before == sorted(map(sample_key, expected[:done]))
        merged = through_json(rowmill.merge_states(states))
        if done % (second * size):
            return
        more = min(3, (len(expected) - done) // (second * size))
        after = []
        for rank in range(second):
            job = copy(ds).shard(second, rank)
            job.load_state_dict(merged)
            after += [one for batch in itertools.islice(iter(job), more) for one in split(columns(batch))]
        rest = expected[done : done + more * second * size]
        assert sorted(map(sample_key, after)) == sorted(map(sample_key, rest))


def split(batch: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: values[at] for name, values in batch.items()} for at in range(len(batch["input_ids"]))]


def samples_of(batches: Any) -> list[dict[str, Any]]:
    return [one for batch in batches for one in split(columns(batch))]


def test_a_finite_epoch_on_several_ranks_says_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, ["a"] * 20, 5, 1)
    ds = rowmill.open(tmp_path).shuffle(0, num_lanes=4).tokenize("bytes").pack(4).batch(1)
    with pytest.raises(rowmill.TopologyError, match=r"\.repeat\(\).*keep"):
        next(iter(ds.shard(2, 0)))
    whole = rowmill.open(tmp_path).shuffle(0, num_lanes=4).tokenize("bytes").pack(4).batch(1, remainder="keep")
    assert sum(len(list(whole.shard(2, rank))) for rank in range(2)) == len(list(whole))
