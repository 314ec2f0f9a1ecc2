"""pad: batches of one width, as a transformers tokenizer makes them, in Rust and for rows that Python has made."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shards import copy, frozen, through_json
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import rowmill

# Four rows padded by a transformers 5.23.0 fast tokenizer; the core's own test reads the same table.
TABLE = Path(__file__).parents[2] / "rust" / "core" / "tests" / "pad_cases" / "transformers.txt"
BODIES = [[10, 11, 12, 13, 14, 15, 16], [20, 21], [], [30, 31, 32, 33]]
pytestmark = pytest.mark.filterwarnings("ignore:.*the slower engine tokenizes")

CASES = [line.split(" => ") for line in TABLE.read_text().splitlines() if " => " in line]


def write(folder: Path, columns: dict[str, Any], *, num_shards: int = 1) -> rowmill.Dataset:
    folder.mkdir(exist_ok=True)
    table = pa.table(columns)
    size = -(-table.num_rows // num_shards)
    for shard in range(num_shards):
        part = table.slice(shard * size, size)
        with pa.OSFile(str(folder / f"{shard}.arrow"), "wb") as sink, pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_table(part, max_chunksize=7)
    return rowmill.open(folder, index_dir=folder / "index")


def words(kind: str) -> Tokenizer:
    """Numbers as the tokens that they name; bos is 1, eos 2, padding 0."""
    vocabulary = {"[PAD]": 0, "<s>": 1, "</s>": 2, "[UNK]": 3, **{str(id): id for id in range(4, 40)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    single = {"plain": "$A", "eos": "$A </s>"}.get(kind, "<s> $A </s>")
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 1), ("</s>", 2)])
    return tokenizer


def arguments(settings: str) -> dict[str, Any]:
    """Settings as the table writes them, as those of ``pad``."""
    padding, *options, padding_side, truncation_side, _ = settings.split(" ")
    numbers = dict(option.split("=") for option in options if "=" in option)
    return {
        "padding": padding,
        "max_length": int(numbers["max"]) if "max" in numbers else None,
        "pad_to_multiple_of": int(numbers["of"]) if "of" in numbers else None,
        "truncation": "cut" in options,
        "padding_side": padding_side,
        "truncation_side": truncation_side,
        "labels": "input_ids",
    }


def kind_of(settings: str) -> str:
    last = settings.rsplit(" ", 1)[1]
    return last if last in ("plain", "eos") else "both"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> rowmill.Dataset:
    bodies = [" ".join(map(str, body)) for body in BODIES]
    return write(tmp_path_factory.mktemp("texts"), {"id": [0, 1, 2, 3], "text": bodies})


@pytest.mark.parametrize("made_by", ["rust", "python"])
@pytest.mark.parametrize("kind", ["plain", "eos", "both"])
def test_batches_are_those_of_a_transformers_tokenizer(texts: rowmill.Dataset, kind: str, made_by: str) -> None:
    cases = [(settings, rows) for settings, rows in CASES if kind_of(settings) == kind]
    assert len(cases) >= 30
    ds = texts.tokenize(words(kind), append_eos=False)
    if made_by == "python":
        ds = ds.map(lambda row: row)
    for settings, rows in cases:
        batch = next(iter(ds.pad(**arguments(settings)).batch(4)))
        expected = torch.tensor([[int(id) for id in row.split(" ")] for row in rows.split(" | ")])
        assert list(batch) == ["input_ids", "attention_mask", "labels"]
        assert torch.equal(batch["input_ids"], expected), settings
        # No body holds the padding's id, so the ids themselves say where the padding is.
        assert torch.equal(batch["attention_mask"], (expected != 0).long()), settings
        assert torch.equal(batch["labels"], expected.where(expected != 0, torch.tensor(-100))), settings
        assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


# Rows as a user prepares them: labels, types and weights of tokens; more columns stand beside them.
ROWS = [
    {"tokens": [5, 6, 7, 8], "labels": [-100, -100, 7, 8], "token_type_ids": [0, 0, 1, 1], "weights": [0.5, 1, 1, 2]},
    {"tokens": [9], "labels": [9], "token_type_ids": [1], "weights": [3]},
    {"tokens": [3, 2, 2], "labels": [-100, 2, 2], "token_type_ids": [0, 1, 1], "weights": [1, 2, 3]},
]
TYPES = {"tokens": pa.list_(pa.uint16()), "labels": pa.list_(pa.int32()), "token_type_ids": pa.large_list(pa.int8())}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> rowmill.Dataset:
    columns = {name: pa.array([row[name] for row in ROWS], TYPES.get(name)) for name in ROWS[0]}
    embedding = pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2))
    extra = {"embedding": embedding, "tag": ["a", "b", "c"], "prompt": pa.array([2, 0, 1], pa.int32())}
    return write(tmp_path_factory.mktemp("stored"), {**columns, **extra})


def in_python(ds: rowmill.Dataset) -> rowmill.Dataset:
    return ds.map(lambda row: row)


def plain(batch: Any) -> dict[str, Any]:
    columns = batch.to_pydict() if isinstance(batch, pa.RecordBatch) else batch
    return {name: values.tolist() if hasattr(values, "tolist") else values for name, values in columns.items()}


@pytest.mark.parametrize("made", [lambda ds: ds, in_python], ids=["rust", "python"])
@pytest.mark.parametrize("form", ["torch", "numpy", "python", "arrow"])
def test_every_column_with_a_value_a_token_is_padded_in_every_format(stored: Any, form: str, made: Any) -> None:
    ds = made(stored).pad(column="tokens", pad_token_id=0, pad_values={"weights": -1}).batch(3).with_format(form)
    batch = next(iter(ds))
    assert plain(batch) == {
        "input_ids": [[5, 6, 7, 8], [9, 0, 0, 0], [3, 2, 2, 0]],
        "labels": [[-100, -100, 7, 8], [9, -100, -100, -100], [-100, 2, 2, -100]],
        "token_type_ids": [[0, 0, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0]],
        "weights": [[0.5, 1, 1, 2], [3, -1, -1, -1], [1, 2, 3, -1]],
        "embedding": [[1, 2], [3, 4], [5, 6]],
        "tag": ["a", "b", "c"],
        "prompt": [2, 0, 1],
        "attention_mask": [[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0]],
    }
    assert list(batch.schema.names if form == "arrow" else batch) == ds.column_names == ds.schema.names
    if form == "torch":
        ids = ("input_ids", "labels", "token_type_ids", "attention_mask")
        assert {batch[name].dtype for name in ids} == {torch.int64}
        assert batch["weights"].dtype == torch.float64
    if form == "numpy":
        assert batch["input_ids"].dtype == np.uint16
        assert batch["labels"].dtype == np.int32
    if form == "arrow":
        assert batch.schema.field("input_ids").type == pa.list_(pa.uint16())
        assert ds.to_reader().read_all().num_rows == 3


@pytest.mark.parametrize("made", [lambda ds: ds, in_python], ids=["rust", "python"])
def test_labels_come_of_the_ids_a_column_or_a_mask(stored: Any, made: Any) -> None:
    ds = made(stored.select_columns(["tokens", "prompt", "token_type_ids"]))

    def labels(**asked: Any) -> Any:
        return next(iter(ds.pad(column="tokens", pad_token_id=2, **asked).batch(3)))["labels"].tolist()

    ids = [[5, 6, 7, 8], [9, -100, -100, -100], [3, 2, 2, -100]]
    assert labels(labels="tokens") == ids, "a token that is the padding's keeps its label"
    masked = [[-100, -100, 7, 8], [9, -100, -100, -100], [-100, 2, 2, -100]]
    assert labels(labels="tokens", label_mask="prompt") == masked
    assert labels(labels="tokens", label_mask="token_type_ids") == masked
    assert labels(labels="token_type_ids") == [[0, 0, 1, 1], [1, -100, -100, -100], [0, 1, 1, -100]]
    assert labels(labels="tokens", label_mask="prompt", max_length=2, truncation_side="left", padding_side="left") == [
        [7, 8],
        [-100, 9],
        [2, 2],
    ]


@pytest.mark.parametrize("made", [lambda ds: ds, in_python], ids=["rust", "python"])
@pytest.mark.parametrize("form", [None, "torch", "numpy", "python", "arrow"])
def test_single_rows_are_padded_on_their_own(stored: Any, form: str | None, made: Any) -> None:
    ds = made(stored.select_columns("tokens")).pad(3, padding="max_length", column="tokens", pad_token_id=0)
    rows = [plain(row) for row in ds.with_format(form)]
    ids = [row["input_ids"] for row in rows]
    assert (ids if form != "arrow" else [one for (one,) in ids]) == [[5, 6, 7], [9, 0, 0], [3, 2, 2]]
    assert set(rows[0]) == {"input_ids", "attention_mask"}


def test_it_stands_before_or_after_batch_and_functions_see_what_is_there(stored: Any) -> None:
    ids = stored.select_columns("tokens").rename_columns({"tokens": "input_ids"})
    before = next(iter(ids.pad(pad_token_id=1).batch(2)))
    after = next(iter(ids.batch(2).pad(pad_token_id=1)))
    assert frozen(before) == frozen(after)
    longer = ids.map(lambda row: {"input_ids": [*row["input_ids"], 4]}).pad(pad_token_id=1).batch(2)
    wide = longer.map(lambda batch: {"width": batch["input_ids"].shape[1]})
    assert next(iter(wide))["width"] == 5
    kept = ids.filter(lambda row: len(row["input_ids"]) > 1).pad(pad_token_id=1).batch(2)
    assert next(iter(kept))["input_ids"].tolist() == [[5, 6, 7, 8], [3, 2, 2, 1]]
    twice = ids.map(lambda rows: {"input_ids": rows["input_ids"] * 2}, batched=True).pad(pad_token_id=1).batch(6)
    assert next(iter(twice))["attention_mask"].sum() == 16


def test_dtypes_are_chosen_under_the_names_that_come_out(stored: Any) -> None:
    ds = stored.select_columns("tokens").pad(column="tokens", pad_token_id=0, labels="tokens").batch(3)
    chosen = {"input_ids": "int32", "attention_mask": "bool", "labels": "int16"}
    for one in (
        ds,
        in_python(stored.select_columns("tokens")).pad(column="tokens", pad_token_id=0, labels="tokens").batch(3),
    ):
        batch = next(iter(one.with_format("torch", dtypes=chosen)))
        assert [batch[name].dtype for name in chosen] == [torch.int32, torch.bool, torch.int16]
    with pytest.raises(rowmill.SchemaMismatchError, match="labels"):
        next(iter(ds.with_format("numpy", dtypes={"labels": "uint16"})))


@pytest.mark.parametrize(
    ("files", "padding"),
    [
        ({"tokenizer_config.json": {"pad_token": "7", "eos_token": "8"}}, 7),
        ({"tokenizer_config.json": {"eos_token": "8"}, "special_tokens_map.json": {"pad_token": {"content": "9"}}}, 9),
        ({"generation_config.json": {"pad_token_id": 11}}, 11),
        ({"tokenizer_config.json": {"pad_token": "not there"}}, 0),
        ({}, 0),
    ],
)
def test_the_padding_is_the_tokenizers(tmp_path: Path, texts: Any, files: dict[str, Any], padding: int) -> None:
    words("plain").save(str(tmp_path / "tokenizer.json"))
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    batch = next(iter(texts.tokenize(tmp_path, append_eos=False).pad().batch(4)))
    assert batch["input_ids"][1].tolist() == [20, 21, *[padding] * 5]


def test_the_end_of_a_text_pads_where_nothing_is_named_for_it(texts: Any) -> None:
    batch = next(iter(texts.tokenize("bytes").pad(6, labels="input_ids").batch(2)))
    eos = 256
    assert batch["input_ids"].tolist() == [[*b"10 11", eos], [*b"20 21", eos]], "what ends a row stays when it is cut"
    batch = next(iter(texts.tokenize("bytes").pad(labels="input_ids").batch(4)))
    assert batch["input_ids"][2].tolist() == [eos] * 21
    assert batch["labels"][2].tolist() == [eos] + [-100] * 20
    own = words("plain")
    own.enable_padding(pad_id=12, pad_token="12")
    assert next(iter(texts.tokenize(own, append_eos=False).pad().batch(4)))["input_ids"][1, -1] == 12
    assert next(iter(texts.tokenize(own, append_eos=False).pad(pad_token_id=3).batch(4)))["input_ids"][1, -1] == 3


def test_what_cannot_be_padded_says_why(stored: Any, texts: Any) -> None:
    ids = stored.select_columns(["tokens", "labels", "weights", "prompt", "tag"])
    pad = {"column": "tokens", "pad_token_id": 0}
    for make, error, words_of_it in [
        (lambda: stored.pad(column="tokens"), ValueError, "pad_token_id=ID"),
        (lambda: texts.tokenize(lambda text: [1], append_eos=False).pad(), ValueError, "nothing says which token pads"),
        (lambda: stored.pad(pad_token_id=0), rowmill.SchemaMismatchError, "no column 'input_ids'"),
        (lambda: stored.pad(padding="longer"), ValueError, "padding must be"),
        (lambda: stored.pad(padding="max_length"), ValueError, "needs a max_length"),
        (lambda: stored.pad(padding_side="up"), ValueError, "padding_side"),
        (lambda: stored.pad(label_mask="prompt"), ValueError, "pass labels='input_ids' too"),
        (lambda: ids.pad(**pad).pad(**pad), rowmill.SchemaMismatchError, "padded already"),
        (lambda: texts.tokenize("bytes").pack(4).pad(), rowmill.SchemaMismatchError, "one length already"),
        (lambda: ids.pad(**pad).map(len), rowmill.SchemaMismatchError, "between .pad and .batch"),
        (lambda: ids.pad(**pad).pack(4), rowmill.SchemaMismatchError, "between .pad and .batch"),
        (lambda: ids.batch(2).map(len).pad(**pad), rowmill.SchemaMismatchError, "functions of whole batches"),
        (lambda: next(iter(ids.pad(**pad, labels="tokens").batch(2))), rowmill.SchemaMismatchError, '"labels" already'),
        (
            lambda: next(iter(ids.pad(column="tag", pad_token_id=0).batch(2))),
            rowmill.SchemaMismatchError,
            "no lists of",
        ),
        (lambda: next(iter(ids.pad(**pad, labels="nothing").batch(2))), rowmill.SchemaMismatchError, "no column"),
    ]:
        with pytest.raises(error, match=re.escape(words_of_it)):
            make()
    for made in (ids, in_python(ids)):
        for options, words_of_it in [
            ({"max_length": 2, "truncation": False, "padding": "max_length"}, "longer than max_length=2"),
            ({"pad_values": {"labels": 300}}, "which int8 cannot hold"),
        ]:
            narrow = made.pad(**pad, **options).batch(3).with_format("torch", dtypes={"labels": "int8"})
            with pytest.raises((ValueError, TypeError), match=re.escape(words_of_it)):
                next(iter(narrow))


@pytest.mark.parametrize("made", [lambda ds: ds, in_python], ids=["rust", "python"])
def test_a_list_that_is_no_values_of_tokens_is_told_and_left(tmp_path: Path, made: Any) -> None:
    rows = {"input_ids": [[1, 2, 3], [4]], "spans": [[7], [8, 9]], "text": ["x", "y"]}
    ds = made(write(tmp_path / "data", rows))
    with pytest.raises(rowmill.SchemaMismatchError, match=r"spans. holds 1 values in a row of 3 tokens"):
        next(iter(ds.pad(pad_token_id=0).batch(2)))
    batch = next(iter(ds.pad(pad_token_id=0, pad_values={"spans": None}).batch(2)))
    assert [row.tolist() for row in batch["spans"]] == [[7], [8, 9]]
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 0, 0]]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> rowmill.Dataset:
    """Rows of 0 to 40 tokens; a row's tokens are its id."""
    rows = [[at % 251] * (at * 37 % 41) for at in range(157)]
    columns = {"id": range(157), "input_ids": pa.array(rows, pa.list_(pa.int32())), "n": list(map(len, rows))}
    return write(tmp_path_factory.mktemp("many"), columns, num_shards=3)


@given(st.data())
def test_padding_moves_no_row_and_no_cursor(many: rowmill.Dataset, data: st.DataObject) -> None:
    ds = many.shuffle(data.draw(st.integers(0, 99)), num_lanes=data.draw(st.sampled_from([1, 6])))
    ranks = data.draw(st.integers(1, 3))
    ds = ds.shard(ranks, data.draw(st.integers(0, ranks - 1))).batch(data.draw(st.integers(1, 9)))
    most = data.draw(st.sampled_from([None, 5, 64]))
    padded = ds.pad(
        most,
        padding_side=data.draw(st.sampled_from(["left", "right"])),
        pad_to_multiple_of=data.draw(st.sampled_from([None, 8])),
        pad_token_id=0,
    )
    assert padded.state_dict() == ds.state_dict(), "which rows come when stays as it is"
    steps = data.draw(st.integers(0, 4))
    straight = [frozen(batch) for batch in padded]
    reader = copy(padded)
    read = [frozen(batch) for batch in itertools.islice(iter(reader), steps)]
    again = copy(padded)
    again.load_state_dict(through_json(reader.state_dict()))
    assert len(straight) == len(ds)
    if steps < len(straight):
        assert read + [frozen(batch) for batch in again] == straight
    for batch, rows in zip(copy(padded), copy(ds), strict=True):
        assert batch["id"].tolist() == rows["id"].tolist()
        assert batch["attention_mask"].sum(1).tolist() == [min(int(n), most or 41) for n in batch["n"]]


@pytest.mark.parametrize("batch_size", [None, 2])
def test_filters_stand_before_tokenize_and_pad(texts: Any, batch_size: int | None) -> None:
    def made(ds: Any) -> list[bytes]:
        padded = ds.tokenize("bytes").pad()
        return [frozen(step) for step in (padded if batch_size is None else padded.batch(batch_size))]

    assert made(texts.filter(lambda row: True)) == made(texts.filter(pc.field("text") != "no row")) == made(texts)
    by_hand = texts.filter(lambda row: True).map(lambda row: {"input_ids": list(row["text"].encode())})
    assert "attention_mask" in next(iter(by_hand.pad(pad_token_id=0)))
