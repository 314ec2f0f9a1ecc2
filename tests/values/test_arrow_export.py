"""Record batches cross the Arrow C interface without a copy and with their metadata."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from rowmill import _rust


def sample() -> pa.RecordBatch:
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, None], pa.binary(16)))
    numbers = pa.field("numbers", pa.list_(pa.int32()), metadata={"unit": "tokens"})
    schema = pa.schema([numbers, pa.field("id", ids.type), pa.field("text", pa.string(), nullable=False)])
    schema = schema.with_metadata({"huggingface": '{"info": {}}', "other": "é"})
    return pa.record_batch([pa.array([[1, 2], None], pa.list_(pa.int32())), ids, pa.array(["a", "é"])], schema=schema)


def test_pyarrow_gets_the_same_batch_in_place() -> None:
    batch = sample()
    back = pa.record_batch(_rust.roundtrip(batch))
    assert back.equals(batch, check_metadata=True)
    assert back.schema.metadata == batch.schema.metadata
    assert back.schema.field("numbers").metadata == {b"unit": b"tokens"}
    assert back.schema.field("id").type == pa.uuid()
    mine, theirs = (b.column("numbers").values.buffers()[1].address for b in (back, batch))
    assert mine == theirs


def test_slices_and_empty_batches_cross_too() -> None:
    batch = sample()
    for part in (batch.slice(1), batch.slice(2), batch.slice(0, 1)):
        assert pa.record_batch(_rust.roundtrip(part)).equals(part)
    bare = batch.select([])
    assert _rust.roundtrip(bare).num_columns == 0


def test_polars_takes_it() -> None:
    batch = sample().drop_columns(["id"])
    frame = pl.DataFrame(_rust.roundtrip(batch))
    assert frame.to_dicts() == batch.to_pylist()
    assert pl.from_arrow(_rust.roundtrip(batch)).struct.unnest().equals(frame)


def test_it_is_a_stream_of_one_batch_too() -> None:
    reader = pa.RecordBatchReader.from_stream(_rust.roundtrip(sample()))
    assert reader.schema.equals(sample().schema, check_metadata=True)
    assert [batch.to_pylist() for batch in reader] == [sample().to_pylist()]


def test_a_batch_that_nobody_takes_is_released() -> None:
    before = pa.total_allocated_bytes()
    array = pa.array(range(100_000))
    for _ in range(100):
        pair = _rust.roundtrip(pa.record_batch([array], names=["n"])).__arrow_c_array__()
        del pair
    del array
    assert pa.total_allocated_bytes() == before


def test_a_batch_outlives_what_it_came_from() -> None:
    batch = _rust.roundtrip(pa.record_batch([pa.array(range(1000))], names=["n"]))
    back = pa.record_batch(batch)
    del batch
    assert back.column(0).to_pylist() == list(range(1000))


def test_a_batch_describes_itself() -> None:
    batch = _rust.roundtrip(sample())
    assert (len(batch), batch.num_rows, batch.num_columns) == (2, 2, 3)
    assert repr(batch) == "RecordBatch(2 rows, 3 columns)"
    assert batch.schema.names == ["numbers", "id", "text"]
    assert pa.schema(batch.schema).equals(sample().schema, check_metadata=True)
    assert pa.schema(batch).equals(sample().schema, check_metadata=True)


def test_a_schema_crosses_with_its_metadata() -> None:
    schema = sample().schema
    assert _rust.roundtrip_schema(schema).equals(schema, check_metadata=True)
