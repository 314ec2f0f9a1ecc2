"""tokenize and pack: what comes out, against a reference of a few lines; formats, counts and errors."""

from __future__ import annotations

import itertools
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from processes import launch

import rowmill

EOS = 256
TEXTS = ["mill", "", "the quick brown fox jumps over the lazy dog " * 3, "é", None, "rows", "雪" * 30, "a b"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = pa.table({"text": TEXTS, "title": [f"t{at}" for at in range(len(TEXTS))], "n": range(len(TEXTS))})
    pq.write_table(table, tmp_path / "a.parquet")
    return tmp_path


def ids_of(text: str | None) -> list[int]:
    return [*(text or "").encode(), EOS]


def concat(documents: list[list[int]], seq_len: int) -> Iterator[dict[str, list[int]]]:
    """The definition: one stream of tokens, cut every ``seq_len``."""
    stream = [(token, row, at) for row, document in enumerate(documents) for at, token in enumerate(document)]
    labels = [
        stream[at + 1][0] if at + 1 < len(stream) and stream[at + 1][1] == stream[at][1] else -100
        for at in range(len(stream))
    ]
    for start in range(0, len(stream), seq_len):
        part = stream[start : start + seq_len]
        padding = seq_len - len(part)
        rows = [row for _, row, _ in part]
        yield {
            "input_ids": [token for token, _, _ in part] + [EOS] * padding,
            "labels": labels[start : start + seq_len] + [-100] * padding,
            "position_ids": [at - rows.index(row) for at, row in enumerate(rows)] + [0] * padding,
            "document_ids": rows + [-1] * padding,
            "loss_mask": [label != -100 for label in labels[start : start + seq_len]] + [False] * padding,
        }


@pytest.mark.parametrize("seq_len", [1, 2, 7, 64, 1000])
def test_concat_is_its_definition(folder: Path, seq_len: int) -> None:
    ds = rowmill.open(folder).tokenize("bytes")
    made = ds.pack(seq_len, position_ids=True, document_ids=True, loss_mask=True).with_format("python")
    assert list(made) == list(concat([ids_of(text) for text in TEXTS], seq_len))


def test_the_usual_batch_is_two_int64_tensors(folder: Path) -> None:
    ds = rowmill.open(folder).tokenize("bytes").pack(16).batch(4)
    batch = next(iter(ds))
    assert list(batch) == ["input_ids", "labels"]
    assert all(column.dtype == torch.int64 and column.shape == (4, 16) for column in batch.values())
    numpy = next(iter(ds.with_format("numpy")))
    assert numpy["input_ids"].dtype == np.uint16
    assert numpy["labels"].dtype == np.int64
    np.testing.assert_array_equal(numpy["input_ids"], batch["input_ids"])
    narrow = next(iter(ds.with_format("torch", dtypes={"input_ids": "int32", "labels": torch.int16})))
    assert (narrow["input_ids"].dtype, narrow["labels"].dtype) == (torch.int32, torch.int16)
    arrow = next(iter(ds.with_format("arrow")))
    assert arrow.schema.equals(ds.schema)
    assert arrow["input_ids"].to_pylist() == batch["input_ids"].tolist()


def test_copied_labels_are_the_ids(folder: Path) -> None:
    for batch in rowmill.open(folder).tokenize("bytes").pack(32, labels="copy", document_ids=True).batch(3):
        is_real = batch["document_ids"] >= 0
        assert torch.equal(batch["labels"][is_real], batch["input_ids"][is_real])
        assert (batch["labels"][~is_real] == -100).all()
    assert "labels" not in next(iter(rowmill.open(folder).tokenize("bytes").pack(32, labels=None).batch(2)))


def test_best_fit_cuts_only_what_is_longer_than_a_sample(folder: Path) -> None:
    loader = rowmill.open(folder).tokenize("bytes").pack(64, mode="best_fit", document_ids=True).batch(2).loader()
    samples = [row for batch in loader for row in batch["document_ids"].tolist()]
    for row, text in enumerate(TEXTS):
        pieces = sum(row in sample for sample in samples)
        assert pieces == -(-len(ids_of(text)) // 64)
    stats = loader.stats()
    assert stats["documents"] == len(TEXTS)
    assert stats["cut_documents"] == sum(len(ids_of(text)) > 64 for text in TEXTS)
    assert stats["tokens"] == sum(len(ids_of(text)) for text in TEXTS)
    assert stats["padding_tokens"] == len(samples) * 64 - stats["tokens"]


def test_cuts_are_where_documents_change(folder: Path) -> None:
    ds = rowmill.open(folder).tokenize("bytes").pack(48, document_ids=True, cu_seqlens=True)
    for batch in ds.batch(2):
        for documents, cuts, longest in zip(
            batch["document_ids"].tolist(), batch["cu_seqlens"], batch["max_seqlen"], strict=True
        ):
            real = [document for document in documents if document >= 0]
            changes = [at for at in range(1, len(real)) if real[at] != real[at - 1]]
            assert cuts.dtype == torch.int32
            assert cuts.tolist() == [0, *changes, len(real)]
            assert longest == max(np.diff(cuts))
    flat = rowmill.open(folder).tokenize("bytes").pack(48, document_ids=True, cu_seqlens=True, flatten=True)
    for batch in flat.batch(2):
        total = len(batch["input_ids"])
        assert batch["input_ids"].ndim == 1
        assert total % 48 == 0
        assert (batch["cu_seqlens"][0], batch["cu_seqlens"][-1]) == (0, total)
        assert batch["max_seqlen"] == max(np.diff(batch["cu_seqlens"]))
        for start, stop in itertools.pairwise(batch["cu_seqlens"].tolist()):
            assert len(set(batch["document_ids"][start:stop].tolist())) == 1


def test_tokenize_alone_keeps_rows_and_columns(folder: Path) -> None:
    ds = rowmill.open(folder).tokenize("bytes", keep_columns=["n", "title"])
    assert ds.column_names == ["input_ids", "n", "title"]
    assert ds.schema.field("input_ids").type == pa.list_(pa.field("item", pa.uint16(), nullable=False))
    assert list(ds) == [{"input_ids": ids_of(text), "n": at, "title": f"t{at}"} for at, text in enumerate(TEXTS)]
    assert ds.fetch([2])[0]["input_ids"] == ids_of(TEXTS[2])
    batch = next(iter(ds.batch(3)))
    assert [row.tolist() for row in batch["input_ids"]] == [ids_of(text) for text in TEXTS[:3]]
    short = ds.filter(lambda row: len(row["input_ids"]) < 6)
    assert [row["n"] for row in short] == [at for at, text in enumerate(TEXTS) if len(ids_of(text)) < 6]
    assert len(ds) == len(TEXTS)
    state = ds.state_dict()
    copy = pickle.loads(pickle.dumps(ds))
    copy.load_state_dict(state)
    assert list(copy) == list(ds)


def test_describe_names_the_tokenizer_and_its_engine(folder: Path) -> None:
    ds = rowmill.open(folder)
    assert ds.describe()["tokenizer"] is None
    told = ds.tokenize("bytes").describe()["tokenizer"]
    assert (told["tokenizer"], told["eos"], told["reason"]) == ("bytes", EOS, None)


def test_a_function_before_tokenize_is_tokenized_in_python(folder: Path) -> None:
    ds = rowmill.open(folder).map(lambda row: {"text": (row["text"] or "").upper()}).tokenize("bytes")
    assert [list(row["input_ids"]) for row in ds] == [ids_of((text or "").upper()) for text in TEXTS]
    slow = rowmill.open(folder).tokenize(lambda text: [len(text)], append_eos=False)
    assert [list(row["input_ids"]) for row in slow] == [[len(text or "")] for text in TEXTS]


def test_texts_of_several_columns(folder: Path) -> None:
    expected = [ids_of(f"# t{at}\n{text or ''}") for at, text in enumerate(TEXTS)]
    ds = rowmill.open(folder)
    assert [row["input_ids"] for row in ds.tokenize("bytes", column="# {title}\n{text}")] == expected
    joined = [ids_of(f"t{at}\n{text or ''}") for at, text in enumerate(TEXTS)]
    assert [row["input_ids"] for row in ds.tokenize("bytes", column=["title", "text"])] == joined
    packed = ds.tokenize("bytes", column="# {title}\n{text}").pack(50).with_format("python")
    assert [row["input_ids"] for row in packed] == [made["input_ids"] for made in concat(expected, 50)]


def test_functions_and_clips_after_pack(folder: Path) -> None:
    ds = rowmill.open(folder).tokenize("bytes").pack(16)
    whole = [row["input_ids"].tolist() for row in ds.with_format("numpy")]
    some = ds.skip(2).take(5).map(lambda row: {"first": int(row["input_ids"][0])}).batch(2)
    batches = list(some.with_format("numpy"))
    assert [row for batch in batches for row in batch["input_ids"].tolist()] == whole[2:7]
    assert [first for batch in batches for first in batch["first"].tolist()] == [row[0] for row in whole[2:7]]
    steps = [row for batch in ds.batch(2).skip(1).take(2) for row in batch["input_ids"].tolist()]
    assert steps == whole[2:6]


@pytest.mark.parametrize(
    ("chain", "problem"),
    [
        (lambda ds: ds.tokenize("bytes", column="n"), "'n'|\"n\" is Int64, not text"),
        (lambda ds: ds.tokenize("bytes", column="nothing"), "no column 'nothing'"),
        (lambda ds: ds.tokenize("bytes").tokenize("bytes"), "once in a chain"),
        (lambda ds: ds.pack(8), r"no column 'input_ids'.*\.tokenize"),
        (lambda ds: ds.pack(8, column="text"), "text.*not token ids"),
        (lambda ds: ds.tokenize("bytes").batch(2).pack(8), r"before \.batch"),
        (lambda ds: ds.tokenize("bytes").pack(8).filter(lambda row: True), r"before \.tokenize or \.pack"),
        (lambda ds: ds.map(lambda rows: rows, batched=True).pack(8), "not yet"),
        (lambda ds: ds.tokenize("bytes").pack(8).with_format("torch", dtypes={"labels": "uint8"}), "signed"),
        (lambda ds: ds.tokenize("bytes").pack(8).with_format("torch", dtypes={"input_ids": "int8"}), "int8"),
        (lambda ds: ds.tokenize("bytes").pack(8).with_format("torch", dtypes={"nothing": "int8"}), "nothing"),
    ],
)
def test_what_does_not_fit_is_told(folder: Path, chain: Any, problem: str) -> None:
    with pytest.raises((rowmill.RowmillError, ValueError), match=problem):
        list(chain(rowmill.open(folder)).batch(2) if "batch" not in problem else chain(rowmill.open(folder)))


@pytest.mark.parametrize("mode", ["concat", "best_fit"])
@pytest.mark.parametrize("bad", [-7, None])
def test_stored_ids_that_are_none_are_told_with_file_block_and_row(tmp_path: Path, mode: Any, bad: Any) -> None:
    path = tmp_path / "ids.parquet"
    pq.write_table(pa.table({"input_ids": pa.array([[1, 2], [3], [4, bad]], pa.list_(pa.int32()))}), path)
    with pytest.raises(rowmill.CorruptShardError, match=r"row 2 has (-7|a null) among its token ids") as caught:
        list(rowmill.open(path).pack(4, mode=mode))
    assert caught.value.path == str(path)
    assert caught.value.block == 0


@pytest.mark.parametrize("arguments", [{"seq_len": 0}, {"seq_len": 8, "mode": "first"}, {"seq_len": 8, "labels": "no"}])
def test_wrong_arguments_are_told_at_once(folder: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"seq_len|mode|labels"):
        rowmill.open(folder).tokenize("bytes").pack(**arguments)


def test_a_large_document_streams(tmp_path: Path) -> None:
    large = "mill stone\n" * 200_000
    pq.write_table(pa.table({"text": ["a", large, "b"]}), tmp_path / "a.parquet")
    ds = rowmill.open(tmp_path).tokenize("bytes").pack(4096, document_ids=True).batch(8)
    loader = ds.loader()
    tokens = [
        token
        for batch in loader
        for row, documents in zip(batch["input_ids"].tolist(), batch["document_ids"].tolist(), strict=True)
        for token, document in zip(row, documents, strict=True)
        if document == 1
    ]
    assert bytes(tokens[:-1]).decode() == large
    assert tokens[-1] == EOS


# A child of its own: another test's memory is none of this one's.
FLAT = """
import sys, threading, time, rowmill

def anonymous():
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) << 10

seen = [anonymous()]
def watch():
    while True:
        seen.append(anonymous())
        time.sleep(0.001)

ds = rowmill.open(sys.argv[1]).shuffle(3, num_lanes=4).tokenize("bytes")
ds = ds.pack(2048, mode=sys.argv[2], document_ids=True).batch(8)
loader = ds.with_format("numpy").loader(num_threads=2)
before = anonymous()
threading.Thread(target=watch, daemon=True).start()
for batch in loader:
    pass
print(max(seen) - before, loader.stats()["tokens"])
"""


LARGE = ["a small one"] * 5 + ["mill stone\n" * (100_000_000 // 11)] + ["another"] * 5


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what the process holds")
@pytest.mark.parametrize("mode", ["concat", "best_fit"])
def test_memory_stays_flat_with_a_document_of_a_hundred_megabytes(tmp_path: Path, mode: str) -> None:
    schema = pa.schema([("text", pa.large_string())])
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for text in LARGE:
            writer.write_batch(pa.record_batch({"text": [text]}, schema))
    held, tokens = map(int, launch.finish(launch.start("-c", FLAT, tmp_path, mode)).split())
    assert tokens > 99_999_990
    assert held < 40 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what the process holds")
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_a_document_of_a_hundred_megabytes_in_parquet_takes_twice_its_page(tmp_path: Path, compression: str) -> None:
    table = pa.table({"text": LARGE})
    pq.write_table(table, tmp_path / "a.parquet", compression=compression, row_group_size=4, use_dictionary=False)
    held, tokens = map(int, launch.finish(launch.start("-c", FLAT, tmp_path, "concat")).split())
    assert tokens > 99_999_990
    # The page, and the array that it is decoded to.
    assert held < 260 << 20


def test_bad_text_names_file_row_and_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([b"good", b"\xff\xfe", b"fine"], pa.binary())}), tmp_path / "a.parquet")
    ds = rowmill.open(tmp_path).tokenize("bytes").pack(4)
    with pytest.raises(rowmill.CorruptShardError, match=r"a\.parquet.*row 1.*text.*UTF-8"):
        list(ds)
    iterator = iter(ds.with_format("python"))
    assert next(iterator)["input_ids"] == [*b"good"]
    for _ in range(2):
        # The step was not delivered: it fails again, and the cursor stays before it.
        with pytest.raises(rowmill.CorruptShardError):
            next(iterator)
    assert iterator.state_dict()["position"] == 1


@pytest.mark.parametrize("column", ["text", "{text}{title}"])
def test_bad_text_is_left_out_where_damage_is_also_in_a_column_of_bytes(tmp_path: Path, column: str) -> None:
    texts = pa.array([b"good", b"mill stone " * 50_000 + b"\xff", b"fine"], pa.binary())
    pq.write_table(pa.table({"title": [""] * 3, "text": texts}), tmp_path / "a.parquet")
    ds = rowmill.open(tmp_path, on_error="skip").tokenize("bytes", column=column).with_format("python")
    sound = [[*b"good", 256], [*b"fine", 256]]
    assert [row["input_ids"] for row in ds] == sound
    assert [row for batch in ds.batch(2, remainder="keep") for row in batch["input_ids"]] == sound
    for mode in ("concat", "best_fit", "best_fit_windows"):
        packed = ds.pack(5, mode=mode)
        if mode == "best_fit_windows":
            assert packed.count_tokens().num_left_out == 1
        assert sorted(sample["input_ids"] for sample in packed) == sorted(sound)


def test_no_token_is_given_out_of_a_long_text_that_is_damaged_at_its_end(tmp_path: Path) -> None:
    texts = [b"good", b"mill stone " * 50_000 + b"\xff", b"fine"]
    pq.write_table(pa.table({"text": pa.array(texts, pa.binary())}), tmp_path / "a.parquet")
    iterator = iter(rowmill.open(tmp_path).tokenize("bytes").pack(4).with_format("python"))
    assert next(iterator)["input_ids"] == [*b"good"]
    with pytest.raises(rowmill.CorruptShardError, match=r"a\.parquet.*row 1.*text.*UTF-8.*from index 550000"):
        next(iterator)


def test_flattened_samples_are_whole_batches(folder: Path) -> None:
    ds = rowmill.open(folder).tokenize("bytes").pack(48, cu_seqlens=True, flatten=True)
    plain = rowmill.open(folder).tokenize("bytes").pack(48, cu_seqlens=True)
    first, other = next(iter(ds)), next(iter(plain))
    assert first["input_ids"] == other["input_ids"], "without .batch there is nothing to flatten"
    assert first["cu_seqlens"] == other["cu_seqlens"]
    with pytest.raises(rowmill.SchemaMismatchError, match=r"put it after \.batch"):
        ds.map(lambda row: row)
    with pytest.raises(rowmill.SchemaMismatchError, match=r"put it after \.batch"):
        ds.select_columns("input_ids")
    assert len(next(iter(ds.batch(2).map(lambda batch: batch)))["input_ids"]) == 96
    with pytest.raises(rowmill.SchemaMismatchError, match="leave out cu_seqlens"):
        next(iter(ds.batch(2).with_format("arrow")))


def test_columns_are_chosen_and_renamed_behind_pack(folder: Path) -> None:
    ds = rowmill.open(folder).tokenize("bytes", keep_columns="n")
    ids = rowmill.open(folder).map(lambda row: {"ids": [row["n"]] * 9}, remove_columns=["n", "title", "text"])
    for packed in (ds.pack(8), ids.pack(8, column="ids")):
        chosen = packed.select_columns("labels").rename_columns({"labels": "targets"}).batch(2)
        assert list(next(iter(chosen))) == ["targets"]
