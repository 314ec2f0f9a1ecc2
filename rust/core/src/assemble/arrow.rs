//! Rows to an Arrow record batch: a view where they lie side by side, a gathered copy where they do not.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};
use arrow_select::interleave::interleave;

use super::rows::RowSet;
use crate::error::{Error, Result};
use crate::shard::logical_array;

/// The rows as a record batch of the columns at `columns`; strings are checked to be UTF-8.
pub fn record_batch(rows: &RowSet, schema: &SchemaRef, columns: &[usize]) -> Result<RecordBatch> {
    let fields: Vec<_> = columns.iter().map(|column| Arc::clone(&schema.fields()[*column])).collect();
    let mut arrays = Vec::with_capacity(columns.len());
    for (column, field) in columns.iter().zip(&fields) {
        let gathered = stored_column(rows, *column, field)?;
        arrays.push(
            logical_array(&gathered, field.data_type())
                .map_err(|error| unsound(rows, field.name(), &error))?,
        );
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema, arrays, &options)
        .map_err(|error| unsound(rows, "batch", &error))
}

/// One column of the rows as one array, in storage form.
pub fn stored_column(rows: &RowSet, column: usize, field: &Field) -> Result<ArrayRef> {
    gather(rows, column, field.data_type()).map_err(|error| match error {
        ArrowError::DictionaryKeyOverflowError => too_varied(rows, field),
        error => unsound(rows, field.name(), &error),
    })
}

fn gather(
    rows: &RowSet,
    column: usize,
    logical: &arrow_schema::DataType,
) -> std::result::Result<ArrayRef, ArrowError> {
    let Some(first) = rows.rows.first() else {
        return Ok(arrow_array::new_empty_array(&crate::shard::storage_type(logical)));
    };
    let start = first.row as usize;
    let is_run = rows
        .rows
        .iter()
        .enumerate()
        .all(|(at, place)| place.slot == first.slot && place.row as usize == start + at);
    if is_run {
        return Ok(rows.blocks[first.slot as usize].columns[column].slice(start, rows.len()));
    }
    let arrays: Vec<&dyn Array> = rows.blocks.iter().map(|block| block.columns[column].as_ref()).collect();
    let places: Vec<_> = rows.rows.iter().map(|place| (place.slot as usize, place.row as usize)).collect();
    interleave(&arrays, &places)
}

/// Dictionaries of several shards that are one only with wider keys.
fn too_varied(rows: &RowSet, field: &Field) -> Error {
    let message = format!(
        "column {:?}: {} rows of several dictionaries hold more values than the keys of {} count; take smaller batches, or \
         another format than Arrow",
        field.name(),
        rows.len(),
        field.data_type()
    );
    Error::SchemaMismatch { path: None, message }
}

fn unsound(rows: &RowSet, column: &str, error: &ArrowError) -> Error {
    match rows.blocks.first() {
        Some(block) => Error::corrupt(block.source().path(), format!("column {column:?}: {error}")),
        None => Error::InvalidArgument(format!("column {column:?}: {error}")),
    }
}
