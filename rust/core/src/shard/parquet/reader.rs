//! Decodes the blocks of one Parquet shard.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatchReader, make_array};
use arrow_schema::{DataType, Field, FieldRef, Fields};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection, RowSelector};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::errors::ParquetError;
use parquet::schema::types::SchemaDescriptor;

use super::chunks::{Chunks, Rows};
use super::footer::{Footer, Keep, Tail};
use super::pages::Failure;
use super::problem::{damaged_column, of_column, sentence};
use super::schema::storage_schema;
use super::views::trimmed;
use crate::error::{Error, Result};
use crate::panics::guarded;
use crate::shard::block::Block;
use crate::shard::index::{BlockMeta, ShardIndex};
use crate::shard::reader::Texts;
use crate::shard::site::Site;
use crate::shard::storage::storage_field;
use crate::source::Source;

/// Mean length in bytes from which texts are viewed: a view takes 16 bytes beside the page, an offset takes 4.
const LONG_TEXT: u64 = 256;

/// One open Parquet shard: decodes any of its blocks, from any thread.
#[derive(Debug)]
pub struct ParquetReader {
    source: Arc<dyn Source>,
    /// The projected columns, in the order asked for.
    columns: Vec<Column>,
    chunks: Chunks,
    /// Which rows of which row group each block holds.
    blocks: Vec<Rows>,
    rescans: AtomicU64,
}

#[derive(Debug)]
struct Column {
    /// In storage form.
    field: FieldRef,
    levels: FieldLevels,
    /// As views of its pages, where it is text that may be read so.
    views: Option<Views>,
}

#[derive(Debug)]
struct Views {
    /// Number of the column's one leaf in the file.
    leaf: usize,
    levels: FieldLevels,
}

impl ParquetReader {
    /// Prepares to read `source`; see [`crate::shard::ShardReader::try_with_texts`].
    pub fn try_new(
        source: Arc<dyn Source>,
        index: &ShardIndex,
        projection: Option<Vec<usize>>,
        texts: Texts,
    ) -> Result<Self> {
        let fields: Fields = index.schema.fields().iter().map(storage_field).collect();
        let projection = projection.unwrap_or_else(|| (0..fields.len()).collect());
        check_projection(&projection, fields.len())?;
        let footer = {
            let _tail = Tail::of(source.as_ref());
            Footer::read(source.as_ref(), Keep::Nothing)?
        };
        let site = Site::new(source.path(), footer.start);
        let changed = || site.corrupt("its footer is not the one that was indexed; open the dataset again");
        let descriptor = footer.metadata.file_metadata().schema_descr();
        if descriptor.root_schema().get_fields().len() != fields.len() {
            return Err(changed());
        }
        let levels = guarded(|| {
            let storage = storage_schema(descriptor)?;
            let level = |column: &usize| {
                let levels = |fields: &Fields| {
                    let mask = ProjectionMask::roots(&storage, [*column]);
                    parquet_to_arrow_field_levels(&storage, mask, Some(fields))
                };
                let views = match viewed(&fields, *column).filter(|_| texts == Texts::MayBeViews) {
                    Some(fields) => leaf_of(descriptor, *column).zip(Some(levels(&fields)?)),
                    None => None,
                };
                Ok(Column {
                    field: Arc::clone(&fields[*column]),
                    levels: levels(&fields)?,
                    views: views.map(|(leaf, levels)| Views { leaf, levels }),
                })
            };
            projection.iter().map(level).collect::<std::result::Result<Vec<_>, ParquetError>>()
        });
        let columns = match levels {
            Ok(Ok(columns)) => columns,
            Ok(Err(error)) => {
                return Err(site.unsupported(format!("its columns are not read: {}", sentence(&error))));
            }
            Err(panic) => return Err(site.unsupported(format!("its columns are not read: {panic}"))),
        };
        let blocks = rows_of_blocks(&index.blocks, &footer).ok_or_else(changed)?;
        let chunks = Chunks::new(&footer, &projection);
        Ok(Self { source, columns, chunks, blocks, rescans: AtomicU64::new(0) })
    }

    /// The file under it.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The fields of the columns that [`ParquetReader::decode`] gives, in storage form.
    pub fn storage_fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.columns.iter().map(|column| &column.field)
    }

    /// The row group of each block.
    pub fn row_groups(&self) -> impl Iterator<Item = u64> {
        self.blocks.iter().map(|rows| rows.group as u64)
    }

    /// How often rows were reached through pages before them, for want of a page index.
    pub fn num_rescans(&self) -> u64 {
        self.rescans.load(Ordering::Relaxed)
    }

    /// The parts of the file that the projected columns of a block lie in.
    pub fn ranges(&self, index: u64) -> Result<Vec<Range<u64>>> {
        match self.blocks.get(index as usize) {
            Some(rows) if self.source.is_remote() => self.chunks.exact_ranges(self.source.as_ref(), rows),
            Some(rows) => Ok(self.chunks.ranges(rows).collect()),
            None => Ok(Vec::new()),
        }
    }

    /// Decodes the block at `index` of the shard.
    pub fn decode(&self, index: u64, block: &BlockMeta) -> Result<Block> {
        let site = Site { path: self.source.path(), offset: block.offset, block: Some(index) };
        let rows = self.blocks.get(index as usize).filter(|rows| rows.len == block.num_rows);
        let Some(rows) = rows else {
            return Err(
                site.corrupt("its row groups are not those that were indexed; open the dataset again")
            );
        };
        let decode = |column| self.column(column, rows, &site);
        let columns = self.columns.iter().map(decode).collect::<Result<Vec<ArrayRef>>>()?;
        self.rescans.fetch_add(u64::from(self.chunks.rescans(rows)), Ordering::Relaxed);
        let bytes = columns.iter().map(Array::get_buffer_memory_size).sum();
        Ok(Block::owned(columns, index, *block, bytes, Arc::clone(&self.source)))
    }

    fn column(&self, column: &Column, rows: &Rows, site: &Site<'_>) -> Result<ArrayRef> {
        let name = column.field.name();
        let damaged = |problem: String| damaged_column(name, &problem, site);
        // The parquet crate panics on some damage that it does not look for.
        let failure = Failure::default();
        let read = guarded(|| self.read_column(column, rows, &failure));
        if let Some(own) = failure.take() {
            return Err(own.in_block(site.block.unwrap_or_default()));
        }
        match read {
            Ok(Ok(array)) if column.views.is_some() && *array.data_type() == DataType::BinaryView => {
                trimmed(array.as_binary_view()).map_err(|error| damaged(error.to_string()))
            }
            Ok(Ok(array)) => settle(array, column.field.data_type()).map_err(damaged),
            Ok(Err(error)) => Err(of_column(name, &error, site)),
            Err(panic) => Err(damaged(panic)),
        }
    }

    fn read_column(
        &self,
        column: &Column,
        rows: &Rows,
        failure: &Failure,
    ) -> std::result::Result<ArrayRef, ParquetError> {
        let group = self.chunks.group(&self.source, rows, failure);
        let selection = (!rows.is_whole).then(|| {
            RowSelection::from(vec![
                RowSelector::skip(rows.first as usize),
                RowSelector::select(rows.len as usize),
            ])
        });
        let len = rows.len as usize;
        let views = column.views.as_ref().filter(|views| self.chunks.mean_len(rows, views.leaf) >= LONG_TEXT);
        let levels = views.map_or(&column.levels, |views| &views.levels);
        let mut reader = ParquetRecordBatchReader::try_new_with_row_groups(levels, &group, len, selection)?;
        debug_assert_eq!(reader.schema().fields().len(), 1, "one column is read at a time");
        let short = || ParquetError::General(format!("its pages hold fewer than the {len} rows they should"));
        let batch = reader.next().ok_or_else(short)??;
        if batch.num_rows() != len || batch.num_columns() != 1 {
            return Err(short());
        }
        let (_, mut columns, _) = batch.into_parts();
        columns.pop().ok_or_else(short)
    }
}

fn check_projection(projection: &[usize], num_columns: usize) -> Result<()> {
    if let Some(beyond) = projection.iter().find(|index| **index >= num_columns) {
        return Err(Error::InvalidArgument(format!("column {beyond} of {num_columns} is asked for")));
    }
    let mut seen = HashSet::new();
    match projection.iter().find(|index| !seen.insert(**index)) {
        Some(twice) => Err(Error::InvalidArgument(format!("column {twice} is asked for twice"))),
        None => Ok(()),
    }
}

/// Which rows each block holds: they follow one another through the row groups that have rows.
fn rows_of_blocks(blocks: &[BlockMeta], footer: &Footer) -> Option<Vec<Rows>> {
    let mut groups =
        footer.metadata.row_groups().iter().enumerate().filter(|(_, group)| group.num_rows() > 0);
    let (mut found, mut at, mut first) = (Vec::with_capacity(blocks.len()), None, 0);
    for block in blocks {
        let (group, metadata) = match at {
            Some(group) => group,
            None => groups.next()?,
        };
        let in_group = metadata.num_rows() as u64;
        let end = first + block.num_rows;
        if block.num_rows == 0 || end > in_group {
            return None;
        }
        let is_whole = block.num_rows == in_group;
        found.push(Rows { group, first, len: block.num_rows, in_group, is_whole });
        (at, first) = if end == in_group { (None, 0) } else { (Some((group, metadata)), end) };
    }
    (at.is_none() && groups.next().is_none()).then_some(found)
}

/// The fields with this one as views, where it is text or bytes.
fn viewed(fields: &Fields, column: usize) -> Option<Fields> {
    let is_text = matches!(fields[column].data_type(), DataType::Binary | DataType::LargeBinary);
    let as_views = |(index, field): (usize, &FieldRef)| {
        if index == column {
            Arc::new(Field::clone(field).with_data_type(DataType::BinaryView))
        } else {
            Arc::clone(field)
        }
    };
    is_text.then(|| fields.iter().enumerate().map(as_views).collect())
}

/// The first leaf of a column.
fn leaf_of(descriptor: &SchemaDescriptor, column: usize) -> Option<usize> {
    (0..descriptor.num_columns()).find(|leaf| descriptor.get_column_root_idx(*leaf) == column)
}

/// The array with no more memory than it needs, and exactly the type that the columns of a block have.
fn settle(mut array: ArrayRef, data_type: &DataType) -> std::result::Result<ArrayRef, String> {
    array.shrink_to_fit();
    if array.data_type() == data_type {
        return Ok(array);
    }
    retype(array.to_data(), data_type).map(make_array)
}

/// Names and nullability of nested fields may differ; their memory does not.
fn retype(
    data: arrow_data::ArrayData,
    data_type: &DataType,
) -> std::result::Result<arrow_data::ArrayData, String> {
    if data.data_type() == data_type {
        return Ok(data);
    }
    let children: Vec<&DataType> = crate::shard::storage::child_types(data_type);
    let is_alike = std::mem::discriminant(data.data_type()) == std::mem::discriminant(data_type)
        && children.len() == data.child_data().len()
        && !children.is_empty();
    if !is_alike {
        return Err(format!("it holds {}, where {data_type} was indexed", data.data_type()));
    }
    let children =
        data.child_data().iter().zip(children).map(|(child, child_type)| retype(child.clone(), child_type));
    let children = children.collect::<std::result::Result<Vec<_>, _>>()?;
    let builder = data.into_builder().data_type(data_type.clone()).child_data(children);
    builder.build().map_err(|error| error.to_string())
}
