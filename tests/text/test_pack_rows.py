"""pack behind Python functions: the samples are those of the same documents packed by Rust, resumed as exactly."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shards import copy, frozen, through_json

import rowmill

NUM_ROWS = 90


def text(row: int) -> str:
    return "" if row % 11 == 0 else f"row {row} " * (row * 7 % 9)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> rowmill.Dataset:
    folder = tmp_path_factory.mktemp("data")
    for shard in range(3):
        rows = range(shard * 30, shard * 30 + 30)
        table = pa.table({"id": list(rows), "text": [text(row) for row in rows]})
        with pa.OSFile(str(folder / f"{shard}.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=8)
    return rowmill.open(folder, index_dir=folder / "index")


def same(row: dict[str, Any]) -> dict[str, Any]:
    return {"text": row["text"]}


def has_text(row: dict[str, Any]) -> bool:
    return bool(row["text"])


PACKS = [{"seq_len": 7}, {"seq_len": 64, "mode": "best_fit"}, {"seq_len": 33, "labels": "copy", "loss_mask": True}]


@given(st.data())
def test_samples_are_those_that_rust_packs_of_the_same_documents(opened: rowmill.Dataset, data: st.DataObject) -> None:
    pack = {**data.draw(st.sampled_from(PACKS)), "document_ids": True, "position_ids": True}
    ranks, rank = data.draw(st.sampled_from([(1, 0), (2, 1), (3, 0)]))
    ds = opened.shuffle(data.draw(st.integers(0, 9)), num_lanes=6).shard(ranks, rank)
    ds = ds.repeat() if data.draw(st.booleans()) else ds
    batch = data.draw(st.integers(1, 5))

    def steps(one: rowmill.Dataset) -> list[bytes]:
        made = one.pack(**pack).batch(batch, remainder="keep")
        return [frozen(step) for step in itertools.islice(made, 12)]

    assert steps(ds.map(same).tokenize("bytes")) == steps(ds.tokenize("bytes"))
    assert steps(ds.tokenize("bytes", keep_columns="text").map(same)) == steps(ds.tokenize("bytes"))


@given(st.data(), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_a_killed_and_resumed_run_is_the_straight_one(
    opened: rowmill.Dataset, data: st.DataObject, kills: list[int]
) -> None:
    ds = opened.shuffle(3, num_lanes=6).filter(has_text).map(same).tokenize("bytes")
    ds = ds.pack(**data.draw(st.sampled_from(PACKS)), document_ids=True).shard(1, 0)
    ds = ds.batch(data.draw(st.integers(1, 4)))
    ds = ds.repeat() if data.draw(st.booleans()) else ds
    straight = [frozen(step) for step in itertools.islice(copy(ds), sum(kills))]
    read: list[bytes] = []
    state = None
    for kill in kills:
        reader = copy(ds)
        if state is not None:
            reader.load_state_dict(state)
        wanted = min(kill, len(straight) - len(read))
        read += [frozen(step) for step in itertools.islice(reader, wanted)] if wanted else []
        state = through_json(reader.state_dict())
    assert read == straight


def test_every_token_of_every_kept_document_comes_once(opened: rowmill.Dataset) -> None:
    ds = opened.shuffle(1, num_lanes=6).filter(lambda row: row["id"] % 3 == 0).tokenize("bytes")
    found: dict[int, int] = {}
    for sample in ds.pack(16, document_ids=True).batch(4):
        for row in sample["document_ids"].flatten().tolist():
            found[row] = found.get(row, 0) + 1
    del found[-1]
    assert found == {row: len(text(row).encode()) + 1 for row in range(0, NUM_ROWS, 3)}


def test_states_of_ranks_go_on_as_one_rank(opened: rowmill.Dataset) -> None:
    ds = opened.shuffle(1, num_lanes=6).map(same).tokenize("bytes").pack(12).repeat()
    whole = [step["input_ids"] for step in itertools.islice(ds.shard(1, 0).batch(4), 9)]
    states = []
    for rank in range(2):
        half = ds.shard(2, rank).batch(2)
        list(itertools.islice(half, 4))
        states.append(through_json(half.state_dict()))
    resumed = ds.shard(1, 0).batch(4)
    resumed.load_state_dict(states)
    read = [step["input_ids"] for step in itertools.islice(resumed, 5)]
    assert all(torch.equal(left, right) for left, right in zip(read, whole[4:], strict=True))
    skipping = ds.shard(1, 0).batch(4).skip_steps([(2, 5)])
    read = [step["input_ids"] for step in itertools.islice(skipping, 6)]
    assert all(torch.equal(left, right) for left, right in zip(read, [*whole[:2], *whole[5:]], strict=True))


def test_a_finite_epoch_has_as_many_steps_on_every_rank(opened: rowmill.Dataset) -> None:
    ds = opened.shuffle(1, num_lanes=6).map(same).tokenize("bytes").pack(12)
    assert len({len(list(ds.shard(3, rank).batch(2))) for rank in range(3)}) == 1


def test_what_cannot_be_packed_says_why(opened: rowmill.Dataset, tmp_path: Path) -> None:
    ds = opened.shuffle(1, num_lanes=6)
    with pytest.raises(rowmill.SchemaMismatchError, match="not yet those of batched functions"):
        ds.map(lambda rows: rows, batched=True).pack(4)
    with pytest.raises(rowmill.SchemaMismatchError, match="cu_seqlens"):
        ds.map(same).tokenize("bytes").pack(4, cu_seqlens=True)
    first = ds.row_ids(0, 1)[0]
    for made, words in [
        ({"input_ids": "text"}, f"no list of token ids, for row {first}"),
        ({"input_ids": [1, -1]}, f"row {first} has -1 among its token ids in column 'input_ids'"),
        ({"input_ids": [1 << 32, 2]}, f"row {first} has 4294967296 among its token ids in column 'input_ids'"),
        ({"other": [1]}, "there is no column 'input_ids' of token ids to pack"),
    ]:
        with pytest.raises(rowmill.SchemaMismatchError, match=re.escape(words)):
            next(iter(ds.map(lambda row, made=made: made).pack(4)))
    empty = ds.map(lambda row: {"input_ids": []}).pack(4).repeat()
    with pytest.raises(rowmill.SchemaMismatchError, match="held no token in 16 epochs"):
        next(iter(empty))
    mixed = rowmill.mix({"one": ds}, stopping="repeat").map(lambda row: {"input_ids": []}).pack(4)
    with pytest.raises(rowmill.SchemaMismatchError, match="held no token in 1441 rows"):
        next(iter(mixed))


@pytest.mark.parametrize("column", ["input_ids", "tokens"])
def test_documents_of_functions_are_not_counted_before_they_are_read(opened: rowmill.Dataset, column: str) -> None:
    ds = opened.shuffle(1, num_lanes=6).map(lambda row: {column: [1] * row["id"]})
    ds = ds.filter(has_text).pack(4, column=column).batch(2)
    with pytest.raises(rowmill.SchemaMismatchError, match=r"Python functions before \.pack"):
        ds.count_tokens()
    with pytest.raises(rowmill.SchemaMismatchError, match="document_ids=True"):
        ds.rows_at(0)
    for ask in (len, lambda one: one.num_tokens):
        with pytest.raises(TypeError, match=r"Python functions before \.pack"):
            ask(ds)
    assert len(ds.repeat().take(3)) == 3


def test_a_count_of_stored_ids_is_none_of_what_a_function_leaves_of_them(tmp_path: Path) -> None:
    table = pa.table({"tokens": [[1] * 5] * 40})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    stored = rowmill.open(tmp_path / "a.arrow", index_dir=tmp_path / "index")
    stored.pack(10, column="tokens").count_tokens()
    with pytest.raises(TypeError, match=r"Python functions before \.pack"):
        len(stored.filter(lambda row: False).pack(10, column="tokens"))


@pytest.mark.parametrize("made", ["abc", None, 5, [-1], [1.5], [1 << 32]])
def test_a_tokenizing_function_that_makes_no_ids_is_told(opened: rowmill.Dataset, made: Any) -> None:
    ds = opened.tokenize(lambda text: made, append_eos=False).pack(4)
    with pytest.raises(rowmill.SchemaMismatchError, match="no list of ids"):
        next(iter(ds))


def test_a_template_that_is_none_is_told(opened: rowmill.Dataset) -> None:
    with pytest.raises(ValueError, match="columns stand in braces"):
        opened.tokenize("bytes", column="{text")
