"""The chain of a Dataset: what each word does, in every format."""

from __future__ import annotations

import gc
import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from shards import CODECS, CONTAINERS, HF_METADATA, SCHEMA, copy, flat, ids, row, stream, write, write_shards

import rowmill

NUMERIC = ["id", "tokens", "score", "flag"]


@pytest.fixture
def ds(shards: list[Path]) -> rowmill.Dataset:
    return rowmill.open(shards)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("io", ["auto", "mmap", "read", "direct"])
@pytest.mark.parametrize("num_threads", [0, 2])
def test_rows_are_what_was_written(tmp_path: Path, container, codec, io, num_threads) -> None:
    ds = rowmill.open(write_shards(tmp_path, container=container, codec=codec))
    assert list(ds.loader(io=io, num_threads=num_threads)) == [row(index) for index in range(70)]


def test_a_folder_a_glob_a_list_and_a_file_open_alike(shards: list[Path]) -> None:
    folder = shards[0].parent
    for paths in (folder, str(folder), folder / "*.arrow", shards, map(str, shards)):
        assert flat(stream(rowmill.open(paths))) == list(range(70))
    assert flat(stream(rowmill.open(shards[3]))) == list(range(63, 70))
    assert flat(stream(rowmill.open(shards[::-1])))[:8] == [*range(63, 70), 23]


def test_files_come_in_natural_order(tmp_path: Path) -> None:
    write_shards(tmp_path, [2] * 12, columns=["id"])
    assert flat(stream(rowmill.open(tmp_path))) == list(range(24))


def test_every_method_makes_a_new_dataset_and_leaves_the_old_one(ds) -> None:
    before = (repr(ds), stream(copy(ds)))
    changed = [
        ds.shuffle(1),
        ds.shard(2, 0),
        ds.select_columns("id"),
        ds.rename_columns({"id": "n"}),
        ds.take(3),
        ds.skip(3),
        ds.repeat(2),
        ds.map(lambda row: row),
        ds.filter(lambda row: False),
        ds.batch(4),
        ds.with_format("numpy"),
    ]
    assert all(other is not ds and isinstance(other, rowmill.Dataset) for other in changed)
    assert (repr(ds), stream(copy(ds))) == before


def test_what_is_known_needs_no_data(tmp_path: Path) -> None:
    paths = write_shards(tmp_path)
    ds = rowmill.open(paths)
    known = (len(ds), ds.num_rows, ds.column_names, ds.fingerprint, ds.schema.names)
    assert known[:2] == (70, 70)
    assert ds.schema.equals(SCHEMA)
    assert ds.schema.metadata == {key.encode(): value.encode() for key, value in HF_METADATA.items()}
    described = ds.shuffle(3).batch(4).describe()
    assert (described["num_rows"], described["num_shards"], described["batch_size"]) == (70, 4, 4)
    assert described["columns"]["tokens"] == str(SCHEMA.field("tokens").type)
    assert described["order"]["seed"] == 3
    for path in paths:
        path.unlink()
    assert (len(ds), ds.num_rows, ds.column_names, ds.fingerprint, ds.schema.names) == known
    assert len(ds.shuffle(1).row_ids(0, 70)) == 70


def test_features_are_those_of_datasets(ds) -> None:
    datasets = pytest.importorskip("datasets")
    expected = datasets.Features.from_arrow_schema(ds.schema)
    assert ds.features == expected
    assert list(ds.select_columns(["text", "id"]).features) == ["text", "id"]


def test_files_without_features_have_none(tmp_path: Path) -> None:
    assert rowmill.open(write_shards(tmp_path, columns=["id"])).features is None


def test_a_fingerprint_follows_a_copy_and_not_a_change(tmp_path: Path) -> None:
    one, two = rowmill.open(write_shards(tmp_path / "a")), rowmill.open(write_shards(tmp_path / "b"))
    other = rowmill.open(write_shards(tmp_path / "c", [23, 0, 40, 8]))
    assert one.fingerprint == two.fingerprint != other.fingerprint


def test_only_selected_columns_come_in_their_order(ds) -> None:
    chosen = ds.select_columns(["text", "id"])
    assert chosen.column_names == ["text", "id"] == chosen.schema.names
    assert list(next(iter(chosen))) == ["text", "id"]
    renamed = chosen.rename_columns({"id": "n"})
    assert next(iter(renamed)) == {"text": "row 0 ", "n": 0}
    assert list(next(iter(renamed.select_columns("n").batch(3)))) == ["n"]
    after = ds.batch(4, fill_null=0).select_columns(["id"]).rename_columns({"id": "n"})
    assert next(iter(after))["n"].tolist() == [0, 1, 2, 3]
    assert rowmill.open(ds._plan.source.options.paths, columns=["score"]).column_names == ["score"]


def test_take_and_skip_before_a_shuffle_choose_rows_and_after_it_positions(ds) -> None:
    assert sorted(flat(stream(ds.skip(5).take(20).shuffle(1)))) == list(range(5, 25))
    order = ds.shuffle(1).row_ids(0, 70)
    assert flat(stream(ds.shuffle(1).skip(5).take(20))) == order[5:25]
    assert len(ds.take(100)) == 70
    assert stream(ds.skip(100)) == []
    kept = ds.filter(lambda row: row["id"] % 2 == 1)
    assert flat(stream(kept.skip(3).take(4))) == [7, 9, 11, 13]


def test_passes_are_epochs_and_set_epoch_goes_to_one(ds) -> None:
    ds = ds.shuffle(1)
    assert ds.epoch == 0
    passes = [stream(ds) for _ in range(3)]
    assert ds.epoch == 3
    ds.set_epoch(1)
    assert stream(ds) == passes[1]
    assert stream(ds) == passes[2]
    begun = iter(ds)
    next(begun)
    assert ds.epoch == 3
    assert sorted(flat(passes[0])) == list(range(70))


def test_repeat_is_one_pass_of_many_epochs(ds) -> None:
    ds = ds.select_columns("id").shuffle(1)
    once = [stream(reader) for reader in [copy(ds)] for _ in range(3)]
    assert len(ds.repeat(3)) == 210
    assert stream(ds.repeat(3)) == once[0] + once[1] + once[2]
    assert [ids(item) for item in itertools.islice(ds.repeat(), 210)] == once[0] + once[1] + once[2]
    assert len(ds.repeat(2).batch(8)) == 18


def test_settings_may_stand_before_or_after_the_stages(ds) -> None:
    one = ds.shuffle(3).shard(2, 1).with_format("numpy").select_columns(NUMERIC).batch(4)
    other = ds.select_columns(NUMERIC).batch(4).with_format("numpy").shard(2, 1).shuffle(3)
    assert stream(one) == stream(other)


def test_fetch_gives_rows_by_id_in_the_asked_order(ds) -> None:
    assert ds.fetch([69, 0, 0, 23]) == [row(69), row(0), row(0), row(23)]
    assert ds.fetch([]) == []


def test_map_merges_what_it_returns_over_the_row(ds) -> None:
    def grow(row: dict[str, Any], by: int) -> dict[str, Any]:
        return {"id": row["id"] + by, "new": [row["score"]]}

    made = ds.map(grow, fn_kwargs={"by": 100}, remove_columns=["tokens", "text", "nested", "ragged", "maybe"])
    assert next(iter(made)) == {"id": 100, "score": 0.0, "flag": True, "new": [0.0]}
    batch = next(iter(made.batch(4)))
    assert batch["id"].tolist() == [100, 101, 102, 103]
    assert batch["new"].shape == (4, 1)
    whole = ds.select_columns(NUMERIC).batch(4).map(lambda batch: {"sum": batch["tokens"].sum(1)})
    assert next(iter(whole))["sum"].tolist() == [sum(row(index)["tokens"]) for index in range(4)]


def test_filters_by_function_and_by_expression_agree(ds) -> None:
    ds = ds.shuffle(2)
    by_function = stream(ds.filter(lambda row: row["maybe"] is not None and row["maybe"] > 30))
    by_expression = stream(ds.filter(pc.field("maybe") > 30))
    assert by_function == by_expression
    assert sorted(flat(by_function)) == [n for n in range(31, 70) if n % 3]


def test_a_batched_map_may_change_the_number_of_rows(ds) -> None:
    def twice(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {"id": [index for index in columns["id"] for _ in range(2)]}

    ds = ds.select_columns(["id", "score"])
    made = ds.map(twice, batched=True, batch_size=7, remove_columns=["score", "id"])
    assert flat(stream(made)) == [index for index in range(70) for _ in range(2)]
    with pytest.raises(rowmill.SchemaMismatchError, match="remove_columns"):
        list(ds.map(twice, batched=True))


def test_batches_of_torch_are_tensors_of_the_stored_types_and_int64_tokens(ds) -> None:
    batch = next(iter(ds.batch(8, fill_null=-1)))
    assert {name: (value.dtype, tuple(value.shape)) for name, value in batch.items() if torch.is_tensor(value)} == {
        "id": (torch.int64, (8,)),
        "tokens": (torch.int64, (8, 8)),
        "score": (torch.float32, (8,)),
        "flag": (torch.bool, (8,)),
        "maybe": (torch.int32, (8,)),
    }
    assert batch["text"] == [row(index)["text"] for index in range(8)]
    assert batch["nested"] == [row(index)["nested"] for index in range(8)]
    assert [value.tolist() for value in batch["ragged"]] == [row(index)["ragged"] for index in range(8)]
    assert batch["tokens"].tolist() == [row(index)["tokens"] for index in range(8)]


def test_batches_of_numpy_keep_the_stored_types(ds) -> None:
    batch = next(iter(ds.with_format("numpy").batch(8, fill_null=-1)))
    kinds = {name: value.dtype.name for name, value in batch.items() if isinstance(value, np.ndarray)}
    assert kinds == {"id": "int64", "tokens": "int32", "score": "float32", "flag": "bool", "maybe": "int32"}
    assert [value.dtype.name for value in batch["ragged"]] == ["int16"] * 8
    assert next(iter(ds.with_format("python").batch(2)))["ragged"] == [[], [0]]


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ({"tokens": "int32"}, {"tokens": torch.int32, "id": torch.int64}),
        ({"tokens": torch.int16, "score": np.float64}, {"tokens": torch.int16, "score": torch.float64}),
        ({"score": torch.bfloat16, "id": "float16"}, {"score": torch.bfloat16, "id": torch.float16}),
        ("float32", {"tokens": torch.float32, "score": torch.float32, "id": torch.float32}),
    ],
)
def test_dtypes_choose_the_elements(ds, dtypes, expected) -> None:
    plain = ds.select_columns(NUMERIC)
    for made in (plain, plain.map(lambda row: {"more": 1})):
        batch = next(iter(made.with_format("torch", dtypes=dtypes).batch(4)))
        assert {name: batch[name].dtype for name in expected} == expected
        assert batch["id"].tolist() == [0, 1, 2, 3]


def test_lists_whose_lengths_agree_in_the_batch_are_one_tensor(ds) -> None:
    made = ds.select_columns(["ragged"]).map(lambda row: {"own": row["ragged"]}).batch(8)
    for shown, own in (("numpy", "int64"), ("torch", "torch.int64")):
        batch = next(iter(made.with_format(shown)))
        # An empty list among others tells of no type; the file, or else the others do.
        assert len({str(value.dtype) for value in batch["ragged"]}) == 1
        assert {str(value.dtype) for value in batch["own"]} == {own}
    ragged = ds.select_columns(["ragged"]).filter(lambda row: len(row["ragged"]) == 3).batch(4)
    assert next(iter(ragged))["ragged"].shape == (4, 3)
    assert isinstance(next(iter(ds.select_columns(["ragged"]).batch(4)))["ragged"], list)


@pytest.mark.parametrize("format_name", ["numpy", "torch", "arrow", "python"])
def test_rows_have_the_asked_format_too(ds, format_name) -> None:
    one = next(iter(ds.select_columns(NUMERIC).skip(3).with_format(format_name)))
    kinds = {"numpy": np.ndarray, "torch": torch.Tensor, "python": list}
    if format_name == "arrow":
        assert isinstance(one, pa.RecordBatch)
        assert one.num_rows == 1
    else:
        assert isinstance(one["tokens"], kinds[format_name])
        assert [int(token) for token in one["tokens"]] == row(3)["tokens"]


def test_arrow_batches_go_to_pyarrow_and_polars_without_a_copy(ds) -> None:
    batch = next(iter(ds.with_format("arrow").batch(5)))
    assert isinstance(batch, pa.RecordBatch)
    assert batch.schema.equals(ds.schema)
    assert batch.to_pylist() == [row(index) for index in range(5)]
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(batch)
    assert frame["id"].to_list() == [0, 1, 2, 3, 4]
    assert frame["tokens"].to_list()[4] == row(4)["tokens"]


def test_arrow_batches_outlive_loader_and_dataset(tmp_path: Path) -> None:
    iterator = iter(rowmill.open(write_shards(tmp_path)).shuffle(1).with_format("arrow").batch(5))
    batches = list(itertools.islice(iterator, 4))
    expected = [batch.to_pylist() for batch in batches]
    del iterator
    gc.collect()
    assert [batch.to_pylist() for batch in batches] == expected
    assert all(made == row(made["id"]) for made in flat(expected))


def test_tensors_are_writable_aligned_and_their_own(ds) -> None:
    loader = ds.select_columns(["id", "tokens"]).batch(4).loader()
    batches = list(loader)[:6]
    pointers = [batch["tokens"].data_ptr() for batch in batches]
    assert len(set(pointers)) == len(pointers)
    assert all(pointer % 64 == 0 for pointer in pointers)
    batches[0]["tokens"].zero_()
    assert batches[1]["tokens"].tolist() == [row(index)["tokens"] for index in range(4, 8)]
    del loader
    gc.collect()
    assert batches[2]["tokens"].tolist() == [row(index)["tokens"] for index in range(8, 12)]
    arrays = list(ds.with_format("numpy").select_columns("tokens").batch(4))
    assert all(array["tokens"].flags.writeable for array in arrays)
    assert all(array["tokens"].ctypes.data % 64 == 0 for array in arrays)


def test_a_dead_tensors_buffer_is_used_again(tmp_path: Path) -> None:
    ds = rowmill.open(write_shards(tmp_path, [4000], block_rows=100, columns=["tokens"])).batch(4)
    seen = [batch["tokens"].data_ptr() for batch in ds.loader(num_threads=1, prefetch_batches=2)]
    assert len(seen) == 1000
    assert len(set(seen)) < 50


def test_stats_say_what_was_read(tmp_path: Path) -> None:
    ds = rowmill.open(write_shards(tmp_path, [500], block_rows=50, columns=["id", "tokens"])).batch(10)
    loader = ds.loader(num_threads=1)
    assert loader.stats() == {}
    iterator = iter(loader)
    for _ in range(20):
        next(iterator)
    stats = loader.stats()
    assert (stats["rows"], stats["batches"], stats["num_threads"]) == (200, 20, 1)
    assert stats["bytes"] == 200 * (8 + 8 * 8)
    names = "wait_seconds busy_seconds ring_items ring_bytes peak_ring_bytes blocks_decoded cache_bytes read_bytes "
    names += "mapped_bytes pool_bytes skipped_rows io"
    assert set(names.split()) <= set(stats)
    assert stats["io"] in ("mmap", "read", "direct")
    assert stats["skipped_rows"] == 0


@pytest.mark.parametrize("options", [{"io": "read"}, {"io": "direct"}, {"io": "mmap"}, {"num_threads": 0}], ids=str)
@pytest.mark.parametrize("mode", ["window", "row"])
def test_options_of_the_loader_change_no_byte(ds, options, mode) -> None:
    ds = ds.shuffle(1, mode=mode).batch(6, fill_null=0)
    expected = [[ids(batch), batch["tokens"].tolist(), batch["text"]] for batch in copy(ds)]
    tight = {"prefetch_batches": 1, "prefetch_bytes": 1}
    for more in ({}, tight):
        read = copy(ds).loader(**options, **more)
        assert [[ids(batch), batch["tokens"].tolist(), batch["text"]] for batch in read] == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
@pytest.mark.filterwarnings("default")
def test_pinning_without_cuda_is_one_warning(ds) -> None:
    with pytest.warns(UserWarning, match="pin_memory=True has no effect: torch sees no CUDA device") as caught:
        assert len(list(ds.select_columns("id").batch(8).loader(pin_memory=True))) == 9
    assert len(caught) == 1


def test_a_loader_is_closed_by_with_and_may_be_iterated_again(ds) -> None:
    with ds.batch(4, fill_null=0).loader() as loader:
        assert len(loader) == 18
        next(iter(loader))
    assert len(stream(loader)) == 18


def test_nested_iterators_of_one_dataset_do_not_disturb_each_other(ds) -> None:
    ds = ds.select_columns("id").shuffle(1)
    order = ds.row_ids(0, 70)
    one, two = iter(ds), iter(ds)
    pairs = [(next(one)["id"], next(two)["id"]) for _ in range(70)]
    assert pairs == list(zip(order, order, strict=True))


def test_a_pickle_is_small_and_reopens(ds) -> None:
    ds = ds.select_columns(["id", "tokens"]).shuffle(4).batch(4)
    text = pickle.dumps(ds)
    assert len(text) < 4096
    assert stream(pickle.loads(text)) == stream(ds)


def test_no_rows_at_all_is_an_empty_dataset(tmp_path: Path) -> None:
    ds = rowmill.open(write_shards(tmp_path, [0, 0]))
    assert len(ds) == 0
    assert list(ds.shuffle(1).batch(4)) == []
    assert list(ds.filter(lambda row: True)) == []
    assert list(ds.repeat()) == []
    assert ds.row_ids(0, 0) == []


def test_dictionaries_and_null_columns_are_read(tmp_path: Path) -> None:
    schema = pa.schema([("id", pa.int64()), ("word", pa.dictionary(pa.int8(), pa.string())), ("none", pa.null())])
    words = pa.array(["a", "b", "a", None]).dictionary_encode()
    batch = pa.RecordBatch.from_arrays(
        [pa.array([0, 1, 2, 3]), words.cast(schema.field("word").type), pa.nulls(4)], schema=schema
    )
    path = write(tmp_path / "d.arrow", [batch, batch], schema, "stream", None)
    assert list(rowmill.open(path)) == batch.to_pylist() * 2
    assert next(iter(rowmill.open(path).batch(4)))["word"] == ["a", "b", "a", None]


def test_columns_of_equal_shape_lists_are_stacked(tmp_path: Path) -> None:
    kind = pa.list_(pa.float32(), 3)
    schema = pa.schema([("id", pa.int64()), ("vector", kind), ("image", pa.list_(pa.list_(pa.uint8(), 2), 2))])
    rows = [{"id": n, "vector": [n, n + 1, n + 2], "image": [[n, 1], [2, 3]]} for n in range(6)]
    path = write(tmp_path / "v.arrow", [pa.RecordBatch.from_pylist(rows, schema=schema)], schema, "file", None)
    batch = next(iter(rowmill.open(path).batch(6)))
    assert batch["vector"].dtype == torch.float32
    assert batch["vector"].tolist() == [made["vector"] for made in rows]
    assert torch.as_tensor(batch["image"]).tolist() == [made["image"] for made in rows]
