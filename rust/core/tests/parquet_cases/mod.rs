//! Parquet files for the tests: rows that follow from their numbers, written by the parquet crate.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray, StructArray,
    types::Int32Type,
};
use arrow_schema::{DataType, Field};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use rowmill_core::Result;
use rowmill_core::shard::{ShardIndex, ShardReader, index, logical_array};
use rowmill_core::source::{IoMode, open};

/// Rows `[start, stop)`: numbers, texts of `text_len` bytes, nulls, lists, structures and a dictionary.
pub fn rows(start: i64, stop: i64, text_len: usize) -> RecordBatch {
    let numbers = || start..stop;
    let text = |row: i64| {
        let word = format!("{:016x}", (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        word.repeat(text_len / 16 + 1)[..text_len].to_owned()
    };
    // The name that the format prescribes.
    let item = Field::new("element", DataType::Int32, true);
    let mut lists = ListBuilder::new(Int32Builder::new()).with_field(item);
    for row in numbers() {
        (0..row % 5).for_each(|item| lists.values().append_value((row + item) as i32));
        lists.append(row % 7 != 0);
    }
    let inner: ArrayRef =
        Arc::new(numbers().map(|row| (row % 3 != 0).then_some(text(row))).collect::<StringArray>());
    let inner_field = Arc::new(Field::new("inner", DataType::Utf8, true));
    let words: DictionaryArray<Int32Type> =
        numbers().map(|row| ["red", "green", "blue"][(row % 3) as usize]).collect();
    let columns: [(&str, ArrayRef); 6] = [
        ("id", Arc::new(Int64Array::from_iter_values(numbers()))),
        ("text", Arc::new(numbers().map(|row| Some(text(row))).collect::<StringArray>())),
        (
            "maybe",
            Arc::new(numbers().map(|row| (row % 4 != 0).then_some(row as f64)).collect::<Float64Array>()),
        ),
        ("list", Arc::new(lists.finish())),
        ("struct", Arc::new(StructArray::from(vec![(inner_field, inner)]))),
        ("word", Arc::new(words)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

pub fn small() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_max_row_group_row_count(Some(100))
}

pub fn write(path: &Path, batch: &RecordBatch, properties: WriterPropertiesBuilder) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

pub fn reader(
    path: &Path,
    mode: IoMode,
    projection: Option<Vec<usize>>,
) -> Result<(ShardReader, ShardIndex)> {
    let found = index(path)?;
    let source = open(path, mode, None)?;
    Ok((ShardReader::try_new(source, found.clone(), projection)?, found))
}

/// All blocks, in the declared types.
pub fn read_all(path: &Path, mode: IoMode) -> Result<Vec<RecordBatch>> {
    let (reader, found) = reader(path, mode, None)?;
    let mut batches = Vec::new();
    for (at, meta) in found.blocks.iter().enumerate() {
        let block = reader.decode(at as u64, meta)?;
        let fields = found.schema.fields().iter();
        let columns = block
            .columns
            .iter()
            .zip(fields)
            .map(|(column, field)| logical_array(column, field.data_type()).unwrap());
        batches.push(RecordBatch::try_new(found.schema.clone(), columns.collect()).unwrap());
    }
    Ok(batches)
}
