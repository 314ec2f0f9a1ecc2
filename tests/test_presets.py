"""Presets and (inputs, labels): shapes, shares of ranks, resume, and errors that say what to do."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from test_import import run as run_code
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import rowmill
from rowmill.exceptions import OfflineError, SchemaMismatchError, StateMismatchError, TopologyError
from rowmill.presets import UnknownDatasetError

FEW, MANY = 3, 1200


@pytest.fixture(scope="module", params=[FEW, MANY], ids=["windows", "packed"])
def texts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few long documents, or many short ones: the two ways of making samples."""
    folder = tmp_path_factory.mktemp(f"texts-{request.param}")
    words = 2000 // request.param + 8
    rows = [
        {"id": at, "text": " ".join(f"{at}-{word}" for word in range(words + at % 7))} for at in range(request.param)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet", row_group_size=100)
    return folder


def batches(folder: Path, **changes: Any) -> Any:
    asked: dict[str, Any] = {"tokenizer_name": "bytes", "num_batches": 12, "batch_size": 2, "seq_len": 16}
    return rowmill.create_huggingface_dataset(folder, **{**asked, **changes})


def inputs(items: Any) -> list[list[list[int]]]:
    return [pair[0].tolist() for pair in items]


def test_pairs_are_int64_and_shifted_by_one(texts: Path) -> None:
    ds = batches(texts, seed=1)
    pairs = list(ds)
    assert len(pairs) == len(ds) == 12
    for ids, labels in pairs:
        assert ids.dtype == labels.dtype == torch.int64
        assert ids.shape == labels.shape == (2, 16)
        assert torch.equal(ids[:, 1:], labels[:, :-1])
        assert int(labels.min()) >= 0
        assert labels.view(-1).shape == (32,)


def test_an_epoch_in_storage_order_is_the_text(texts: Path) -> None:
    if rowmill.open(texts).num_rows == MANY:
        pytest.skip("documents are dealt over lanes")
    ends = rowmill.open(texts).tokenize("bytes").shard(1, 0)
    tokens = [int(token) for row in ends for token in row["input_ids"]]
    read = batches(texts, num_batches=None, batch_size=1)
    windows = [[*ids[0].tolist(), int(labels[0, -1])] for ids, labels in read]
    assert [token for window in windows for token in window] == tokens[: len(tokens) // 17 * 17]
    assert len(read) == len(windows)


@pytest.mark.parametrize("ranks", [2, 3])
def test_each_rank_has_every_world_size_th_sample(texts: Path, ranks: int) -> None:
    whole = inputs(batches(texts, seed=4, batch_size=1, num_batches=4 * ranks))
    parts = [
        inputs(batches(texts, seed=4, batch_size=1, num_batches=4, rank=rank, world_size=ranks))
        for rank in range(ranks)
    ]
    together = [sample for step in zip(*parts, strict=True) for sample in step]
    assert len({str(sample) for sample in together}) > 2 * ranks
    # Lanes of documents are dealt anew where the usual number does not fit the ranks.
    if ranks == 2 or rowmill.open(texts).num_rows == FEW:
        assert together == whole
    assert all(len(part) == 4 for part in parts)


def test_resume_is_exact(texts: Path) -> None:
    whole = inputs(batches(texts, seed=2))
    for stop in (0, 1, 5):
        ds = batches(texts, seed=2)
        list(itertools.islice(iter(ds), stop))
        resumed = batches(texts, seed=2)
        resumed.load_state_dict(json.loads(json.dumps(ds.state_dict())))
        assert inputs(resumed) == whole[stop:]


def test_a_training_that_is_made_longer_goes_on(texts: Path) -> None:
    longer = batches(texts, seed=2)
    state = batches(texts, seed=2, num_batches=5)
    list(itertools.islice(iter(state), 4))
    longer.load_state_dict(state.state_dict())
    assert inputs(longer) == inputs(batches(texts, seed=2))[4:]
    with pytest.raises(StateMismatchError, match="seed is 3"):
        batches(texts, seed=3).load_state_dict(state.state_dict())
    with pytest.raises(StateMismatchError, match="no rowmill cursor"):
        longer.load_state_dict({})


def test_states_of_two_ranks_go_on_as_one(texts: Path) -> None:
    states = []
    for rank in range(2):
        ds = batches(texts, seed=2, rank=rank, world_size=2, batch_size=1)
        list(itertools.islice(iter(ds), 3))
        states.append(ds.state_dict())
    one = batches(texts, seed=2)
    one.load_state_dict(rowmill.merge_states(states))
    assert inputs(itertools.islice(one, 4)) == inputs(batches(texts, seed=2))[3:7]


def test_shuffled_epochs_differ_and_storage_order_repeats(texts: Path) -> None:
    if rowmill.open(texts).num_rows == MANY:
        pytest.skip("an epoch of packed samples has no length")
    shuffled, stored = batches(texts, seed=1, num_batches=None), batches(texts, num_batches=None)
    assert inputs(stored) == inputs(stored)
    first, second = inputs(shuffled), inputs(shuffled)
    assert first != second
    # The last samples of a pass that do not fill a batch are left out, other ones each time.
    assert len(first) == len(second) == len(shuffled)


def test_workers_and_a_stateful_loader(texts: Path) -> None:
    # Each worker has lanes of its own, so that packed samples come in another order than without workers.
    whole = inputs(DataLoader(batches(texts, seed=3), batch_size=None, num_workers=2))
    assert len(whole) == 12
    loader = StatefulDataLoader(batches(texts, seed=3), batch_size=None, num_workers=2)
    first = inputs(itertools.islice(loader, 5))
    again = StatefulDataLoader(batches(texts, seed=3), batch_size=None, num_workers=2)
    again.load_state_dict(loader.state_dict())
    assert first + inputs(again) == whole


def test_samples_that_outgrow_the_text_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["short"]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="fewer than 101 tokens"):
        batches(tmp_path, seq_len=100)


def test_one_epoch_of_packed_samples_wants_a_number_of_batches_on_ranks(texts: Path) -> None:
    if rowmill.open(texts).num_rows == FEW:
        assert len(list(batches(texts, num_batches=None, rank=1, world_size=2))) > 0
        return
    with pytest.raises(TopologyError, match="num_batches="):
        iter(batches(texts, num_batches=None, rank=1, world_size=2))


def test_ranks_are_found_where_none_is_given(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert inputs(batches(texts)) == inputs(batches(texts, rank=1, world_size=2))
    assert inputs(batches(texts)) != inputs(batches(texts, rank=0, world_size=2))
    assert inputs(batches(texts, rank=0)) == inputs(batches(texts, world_size=2, rank=0))


def test_a_rank_or_a_world_size_alone_is_that_of_a_process_alone(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert inputs(batches(texts, rank=0)) == inputs(batches(texts, rank=0, world_size=1))
    assert inputs(batches(texts, world_size=2)) == inputs(batches(texts, rank=0, world_size=2))
    with pytest.raises(TopologyError, match="1 shards"):
        batches(texts, rank=1)


def test_the_column_of_text_is_found_or_asked_for(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["x" * 90], "b": ["y" * 90]}), tmp_path / "two.parquet")
    with pytest.raises(SchemaMismatchError, match=r"it has a, b; say so by column="):
        batches(tmp_path)
    ids, _ = next(iter(batches(tmp_path, column="b")))
    assert bytes(ids[0].tolist()) == b"y" * 16
    pq.write_table(pa.table({"n": [1], "b": ["y" * 90]}), tmp_path / "two.parquet")
    assert next(iter(batches(tmp_path)))[0].shape == (2, 16)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("finweb", "did you mean fineweb"),
        ("tiny-shakespeare", "tiny_shakespeare"),
        ("karpathy/tiny shakespeare", "karpathy/tiny_shakespeare"),
        ("zzz", "HuggingFaceFW/fineweb"),
    ],
)
def test_an_unknown_name_is_told_the_nearest_and_the_right_form(name: str, near: str) -> None:
    with pytest.raises(UnknownDatasetError, match="short names are fineweb, fineweb-edu") as caught:
        rowmill.create_huggingface_dataset(name)
    assert near in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    assert isinstance(caught.value, ValueError)


def test_presets_are_listed_as_plain_values() -> None:
    presets = json.loads(json.dumps(rowmill.list_available_datasets()))
    assert [preset["name"] for preset in presets] == [
        "fineweb",
        "fineweb-edu",
        "pile",
        "tiny_shakespeare",
        "shakespeare",
    ]
    wanted = {"name", "description", "path", "size", "streaming", "tokenizer", "column", "config", "revision", "split"}
    assert all(wanted == set(preset) for preset in presets)


def test_a_tokenizer_that_is_not_there_names_those_that_are(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "models--acme--words" / "snapshots" / ("a" * 40)
    cached.mkdir(parents=True)
    (cached / "tokenizer.json").write_text("{}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"cached here: acme/words") as caught:
        batches(texts, tokenizer_name=None)
    assert isinstance(caught.value, ConnectionError)


def test_a_cached_tokenizer_is_found_under_its_old_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import resources

    packed = resources.files("rowmill").joinpath("data", "tokenizer.json").read_bytes()
    commit = "b" * 40
    cached = tmp_path / "models--openai-community--gpt2"
    (cached / "snapshots" / commit).mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    (cached / "snapshots" / commit / "tokenizer.json").write_bytes(packed)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    pq.write_table(pa.table({"text": ["grist to the mill " * 200]}), tmp_path / "a.parquet")
    assert next(iter(batches(tmp_path / "a.parquet", tokenizer_name=None)))[0].shape == (2, 16)


def test_missing_packages_are_named_with_what_installs_them(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["x" * 90]}), tmp_path / "a.parquet")
    code = """
        import os, sys, rowmill
        os.environ["HF_HUB_CACHE"] = sys.argv[1] + "/none"
        try:
            rowmill.create_huggingface_dataset(sys.argv[1] + "/a.parquet", tokenizer_name="acme/words")
        except ImportError as error:
            assert "pip install 'rowmill[hub]'" in str(error), error
        else:
            raise SystemExit("nothing was missing")
        pairs = rowmill.create_huggingface_dataset(sys.argv[1], tokenizer_name="bytes", seq_len=8, batch_size=2)
        ids, labels = next(iter(pairs))
        assert type(ids).__name__ == "ndarray" and ids.dtype == labels.dtype == "int64" and ids.shape == (2, 8)
    """
    run_code(code, str(tmp_path), blocked=("torch", "torchdata", "huggingface_hub", "datasets", "transformers"))
