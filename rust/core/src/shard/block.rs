//! The decoded columns of one block, and the pages of the map under them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{Array, ArrayRef};
use arrow_data::ArrayData;
use arrow_schema::{DataType, UnionMode};

use super::index::BlockMeta;
use crate::error::{Error, Result};
use crate::source::{MappedFile, Source};

/// The columns of a block, in storage form (see [`super::storage`]).
///
/// Offsets, views, keys and validity lie in memory of the block's own; in `mmap` mode plain
/// values stay in the map, and whoever reads them calls [`Block::ensure_rows`] first.
#[derive(Debug)]
pub struct Block {
    /// The projected columns.
    pub columns: Vec<ArrayRef>,
    /// Rows of each.
    pub num_rows: usize,
    /// Memory that the block owns; what stays in a map is not counted.
    pub bytes: usize,
    /// Buffers that had to be copied because the file does not align them.
    pub misaligned: usize,
    meta: BlockMeta,
    /// Place in the shard.
    index: u64,
    /// The columns again, in the form that [`Block::ensure_rows`] walks; empty without a map.
    data: Vec<ArrayData>,
    source: Arc<dyn Source>,
    /// Whether columns may view the map of the source.
    views_map: bool,
    /// Whether all pages are known to be present.
    is_present: AtomicBool,
}

impl Block {
    pub(super) fn new(
        columns: Vec<ArrayRef>,
        data: Vec<ArrayData>,
        index: u64,
        meta: BlockMeta,
        bytes: usize,
        misaligned: usize,
        source: Arc<dyn Source>,
    ) -> Self {
        let views_map = source.is_mapped();
        let data = if views_map { data } else { Vec::new() };
        Self {
            views_map,
            columns,
            num_rows: meta.num_rows as usize,
            bytes,
            misaligned,
            meta,
            index,
            data,
            source,
            is_present: AtomicBool::new(false),
        }
    }

    /// A block whose columns lie in memory of their own, `bytes` of it, whatever the source is.
    pub(super) fn owned(
        columns: Vec<ArrayRef>,
        index: u64,
        meta: BlockMeta,
        bytes: usize,
        source: Arc<dyn Source>,
    ) -> Self {
        let block = Self::new(columns, Vec::new(), index, meta, bytes, 0, source);
        Self { views_map: false, ..block }
    }

    /// A block of columns that were made of other rows of the same source.
    pub fn of_columns(columns: Vec<ArrayRef>, num_rows: usize, source: Arc<dyn Source>) -> Self {
        let bytes = columns.iter().map(Array::get_buffer_memory_size).sum();
        let meta = BlockMeta {
            offset: 0,
            metadata_len: 0,
            body_len: 0,
            num_rows: num_rows as u64,
            memory_len: bytes as u64,
            dictionaries: 0,
        };
        Self::owned(columns, 0, meta, bytes, source)
    }

    /// Puts a column of the same rows at a place; of blocks with memory of their own only.
    pub fn insert_column(&mut self, at: usize, column: ArrayRef) {
        debug_assert!(!self.views_map, "columns of a map are known by their places");
        self.bytes += column.get_buffer_memory_size();
        self.columns.insert(at, column);
    }

    /// Puts a dictionary of the same rows behind the other columns: it lies in memory of its own, as all of them do.
    pub fn push_dictionary(&mut self, column: ArrayRef) {
        debug_assert!(matches!(column.data_type(), DataType::Dictionary(..)), "others may view a map");
        self.bytes += column.get_buffer_memory_size();
        if self.views_map {
            self.data.push(column.to_data());
        }
        self.columns.push(column);
    }

    /// Whether columns may view a map.
    pub fn is_mapped(&self) -> bool {
        self.views_map
    }

    /// The map, for hot loops that call [`MappedFile::ensure_slice`] themselves.
    pub fn mapped(&self) -> Option<&MappedFile> {
        if self.views_map { self.source.as_mapped() } else { None }
    }

    /// Whether a page that columns view could not be read.
    pub fn is_damaged(&self) -> bool {
        self.views_map && self.source.is_damaged()
    }

    /// The file.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// Damage of this block, with its place.
    pub fn corrupt(&self, problem: impl Into<String>) -> Error {
        Error::CorruptShard {
            path: self.source.path().to_owned(),
            block: Some(self.index),
            offset: Some(self.meta.offset),
            problem: problem.into(),
        }
    }

    /// An error if a page that was touched could not be read; cheap enough for every row.
    pub fn check_damage(&self) -> Result<()> {
        if self.is_damaged() {
            self.check_intact().map_err(|error| error.in_block(self.index))
        } else {
            Ok(())
        }
    }

    /// An error if the file was truncated or changed since it was opened.
    pub fn check_intact(&self) -> Result<()> {
        self.source.check_intact()
    }

    /// Makes the whole block's pages present.
    pub fn ensure_all(&self) -> Result<()> {
        match self.mapped() {
            Some(map) => map.ensure(self.meta.offset, (self.meta.end() - self.meta.offset) as usize),
            None => Ok(()),
        }
    }

    /// Makes one row of a column present. Once the whole block is, that costs one load.
    #[inline]
    pub fn ensure_row(&self, column: usize, row: usize) -> Result<()> {
        if self.is_present.load(Ordering::Relaxed) || !self.is_mapped() {
            return Ok(());
        }
        self.ensure_rows(column, row..row + 1)?;
        // Looked at now and then only: it takes a look at each extent of the block.
        if row.is_multiple_of(16) && self.is_all_present() {
            self.is_present.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn is_all_present(&self) -> bool {
        let len = (self.meta.end() - self.meta.offset) as usize;
        self.mapped().is_some_and(|map| map.is_all_present(self.meta.offset, len))
    }

    /// Makes the pages present that these rows of a column lie in. Nothing to do without a map.
    pub fn ensure_rows(&self, column: usize, rows: Range<usize>) -> Result<()> {
        let Some(map) = self.mapped() else { return Ok(()) };
        let Some(data) =
            self.data.get(column).filter(|_| rows.end <= self.num_rows && rows.start <= rows.end)
        else {
            return Err(Error::InvalidArgument(format!(
                "rows {rows:?} of column {column} are not in the block"
            )));
        };
        ensure(map, data, rows)
    }
}

/// Makes present what `rows` of an array refer to. All structure was validated when it was built.
fn ensure(map: &MappedFile, data: &ArrayData, rows: Range<usize>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let child = |index: usize, rows| ensure(map, &data.child_data()[index], rows);
    let rows = rows.start + data.offset()..rows.end + data.offset();
    match data.data_type() {
        // Dictionaries are decoded into memory of their own, keys and values.
        DataType::Null | DataType::Dictionary(..) => Ok(()),
        DataType::Boolean => ensure_bytes(map, data, 0, rows.start / 8..rows.end.div_ceil(8)),
        DataType::Binary => ensure_bytes(map, data, 1, offsets_32(data, rows)),
        DataType::LargeBinary => ensure_bytes(map, data, 1, offsets_64(data, rows)),
        DataType::BinaryView => ensure_views(map, data, rows),
        DataType::List(_) | DataType::Map(..) => child(0, offsets_32(data, rows)),
        DataType::LargeList(_) => child(0, offsets_64(data, rows)),
        DataType::ListView(_) => rows.into_iter().try_for_each(|row| {
            let start = data.buffers()[0].typed_data::<i32>()[row] as usize;
            child(0, start..start + data.buffers()[1].typed_data::<i32>()[row] as usize)
        }),
        DataType::LargeListView(_) => rows.into_iter().try_for_each(|row| {
            let start = data.buffers()[0].typed_data::<i64>()[row] as usize;
            child(0, start..start + data.buffers()[1].typed_data::<i64>()[row] as usize)
        }),
        DataType::FixedSizeList(_, size) => child(0, rows.start * *size as usize..rows.end * *size as usize),
        DataType::Struct(fields) => (0..fields.len()).try_for_each(|index| child(index, rows.clone())),
        DataType::Union(_, mode) => ensure_union(map, data, *mode, rows),
        // A search for the runs costs more than making the few values present that runs have.
        DataType::RunEndEncoded(..) => child(1, 0..data.child_data()[1].len()),
        DataType::FixedSizeBinary(width) => {
            ensure_bytes(map, data, 0, rows.start * *width as usize..rows.end * *width as usize)
        }
        other => match other.primitive_width() {
            Some(width) => ensure_bytes(map, data, 0, rows.start * width..rows.end * width),
            None => Err(Error::Internal(format!("a column of type {other} is not in storage form"))),
        },
    }
}

#[inline]
fn ensure_bytes(map: &MappedFile, data: &ArrayData, buffer: usize, bytes: Range<usize>) -> Result<()> {
    match data.buffers()[buffer].get(bytes) {
        Some(slice) => map.ensure_slice(slice),
        None => Ok(()),
    }
}

fn offsets_32(data: &ArrayData, rows: Range<usize>) -> Range<usize> {
    let offsets = data.buffers()[0].typed_data::<i32>();
    offsets[rows.start] as usize..offsets[rows.end] as usize
}

fn offsets_64(data: &ArrayData, rows: Range<usize>) -> Range<usize> {
    let offsets = data.buffers()[0].typed_data::<i64>();
    offsets[rows.start] as usize..offsets[rows.end] as usize
}

/// A view of more than 12 bytes names its buffer and offset in its upper half.
fn ensure_views(map: &MappedFile, data: &ArrayData, rows: Range<usize>) -> Result<()> {
    for view in &data.buffers()[0].typed_data::<u128>()[rows] {
        let len = *view as u32 as usize;
        if len > 12 {
            let (buffer, start) = ((*view >> 64) as u32 as usize, (*view >> 96) as usize);
            ensure_bytes(map, data, 1 + buffer, start..start + len)?;
        }
    }
    Ok(())
}

fn ensure_union(map: &MappedFile, data: &ArrayData, mode: UnionMode, rows: Range<usize>) -> Result<()> {
    let DataType::Union(fields, _) = data.data_type() else { return Ok(()) };
    if mode == UnionMode::Sparse {
        return data.child_data().iter().try_for_each(|child| ensure(map, child, rows.clone()));
    }
    for row in rows {
        let id = data.buffers()[0].typed_data::<i8>()[row];
        let offset = data.buffers()[1].typed_data::<i32>()[row] as usize;
        if let Some(child) = fields.iter().position(|(known, _)| known == id) {
            ensure(map, &data.child_data()[child], offset..offset + 1)?;
        }
    }
    Ok(())
}
