//! Where the column chunks of a shard lie, and one row group of them as the parquet crate reads it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::{Compression, Type as Physical};
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::SerializedPageReader;
use parquet::schema::types::ColumnDescPtr;

use super::checked_pages::CheckedPages;
use super::footer::{Footer, dictionary_offset, extent};
use super::inflated_pages::{Codec, Inflater};
use super::offset_index;
use super::pages::{ChunkBytes, Failure};
use crate::source::{Need, Source};

/// Chunks up to this size are read at once where a file is not mapped.
const WHOLE_CHUNK: u64 = 64 << 20;

/// What the page indexes of the first row group are held as, beside blocks; those of others follow downwards.
const INDEXES: u64 = u64::MAX - 16;

/// Some rows of one row group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub group: usize,
    /// First of them in the row group.
    pub first: u64,
    pub len: u64,
    /// Rows of the whole row group.
    pub in_group: u64,
    /// Whether they are all rows of the row group.
    pub is_whole: bool,
}

/// Where a column chunk lies: what is needed of the footer to read it, in much less memory.
#[derive(Debug, Clone)]
struct Chunk {
    start: u64,
    len: u64,
    dictionary: Option<u64>,
    data: u64,
    values: u64,
    inflated: u64,
    compression: Compression,
    offset_index: Option<Range<u64>>,
}

/// The chunks of the projected columns.
#[derive(Debug)]
pub(super) struct Chunks {
    /// Of each leaf that is read: its number in the file, and what it is.
    leaves: Vec<(usize, ColumnDescPtr)>,
    place_of_leaf: HashMap<usize, usize>,
    /// Row group by row group, one chunk a leaf.
    of_groups: Vec<Chunk>,
    /// Where pages lie, by row group, as far as they were asked for; only of objects on a network.
    pages: Mutex<HashMap<usize, Arc<Vec<Vec<PageLocation>>>>>,
    /// Held while they are asked for.
    looking: Mutex<()>,
    /// Without row groups: the parquet crate asks for metadata and reads nothing of it.
    metadata: ParquetMetaData,
}

impl Chunks {
    /// The chunks of these columns.
    pub fn new(footer: &Footer, projection: &[usize]) -> Self {
        let metadata = &footer.metadata;
        let schema = metadata.file_metadata().schema_descr_ptr();
        let is_read = |leaf: &usize| projection.contains(&schema.get_column_root_idx(*leaf));
        let leaves: Vec<_> =
            (0..schema.num_columns()).filter(is_read).map(|leaf| (leaf, schema.column(leaf))).collect();
        let file_len = footer.start;
        let chunk_of = |column: &ColumnChunkMetaData| {
            let (start, len) = extent(column).unwrap_or_default();
            Chunk {
                start,
                len,
                dictionary: dictionary_offset(column),
                data: column.data_page_offset() as u64,
                values: column.num_values() as u64,
                inflated: column.uncompressed_size() as u64,
                compression: column.compression(),
                offset_index: offset_index::range_of(column, file_len),
            }
        };
        let groups = metadata.row_groups().iter();
        let chunks = groups.flat_map(|group| leaves.iter().map(|(leaf, _)| chunk_of(group.column(*leaf))));
        Self {
            of_groups: chunks.collect(),
            place_of_leaf: leaves.iter().enumerate().map(|(place, (leaf, _))| (*leaf, place)).collect(),
            leaves,
            pages: Mutex::default(),
            looking: Mutex::default(),
            metadata: ParquetMetaData::new(metadata.file_metadata().clone(), Vec::new()),
        }
    }

    fn of_group(&self, group: usize) -> &[Chunk] {
        let num_leaves = self.leaves.len();
        self.of_groups.get(group * num_leaves..(group + 1) * num_leaves).unwrap_or_default()
    }

    /// The parts of the file that reading these rows takes, no more and no less, where each read is a round trip.
    pub fn exact_ranges(&self, source: &dyn Source, rows: &Rows) -> crate::Result<Vec<Range<u64>>> {
        let whole = |chunk: &Chunk| chunk.start..chunk.start + chunk.len;
        if rows.is_whole {
            return Ok(self.of_group(rows.group).iter().map(whole).collect());
        }
        let pages = self.pages(source, rows)?;
        let of_chunk = |(chunk, pages): (&Chunk, &Vec<PageLocation>)| {
            if pages.is_empty() {
                // The way to the rows leads through the headers of all pages before them.
                return std::iter::once(whole(chunk)).collect();
            }
            let first_page = pages.first().map_or(chunk.start, |page| page.offset as u64);
            let dictionary = chunk.start..first_page;
            std::iter::once(dictionary).chain(pages_of(pages, rows)).collect::<Vec<_>>()
        };
        Ok(self.of_group(rows.group).iter().zip(pages.iter()).flat_map(of_chunk).collect())
    }

    /// Where the pages of each chunk of a row group lie: read once, all at a time; empty for a chunk without an index.
    fn pages(&self, source: &dyn Source, rows: &Rows) -> crate::Result<Arc<Vec<Vec<PageLocation>>>> {
        let known = || self.pages.lock().get(&rows.group).map(Arc::clone);
        if let Some(known) = known() {
            return Ok(known);
        }
        // Threads that want the same row group wait for the one that looks at it.
        let _looking = self.looking.lock();
        if let Some(known) = known() {
            return Ok(known);
        }
        let chunks = self.of_group(rows.group);
        let key = INDEXES - rows.group as u64;
        let indexes: Vec<_> = chunks.iter().filter_map(|chunk| chunk.offset_index.clone()).collect();
        source.hold(key, &indexes, Need::Headers);
        let read = |(chunk, (_, leaf)): (&Chunk, &(usize, ColumnDescPtr))| {
            let range = chunk.start..chunk.start + chunk.len;
            match &chunk.offset_index {
                Some(index) => offset_index::read(source, index, range, rows.in_group),
                None if leaf.max_rep_level() == 0 => offset_index::by_headers(source, range, rows.in_group),
                // Where rows begin in pages of lists their headers do not tell.
                None => Ok(Vec::new()),
            }
        };
        let found = chunks.iter().zip(&self.leaves).map(read).collect::<crate::Result<Vec<_>>>();
        source.release(key);
        let found = Arc::new(found?);
        self.pages.lock().insert(rows.group, Arc::clone(&found));
        Ok(found)
    }

    /// The parts of the file that these rows lie in, about: pages are as long as their rows are many.
    pub fn ranges(&self, rows: &Rows) -> impl Iterator<Item = Range<u64>> {
        let share =
            |len: u64, row: u64| (u128::from(len) * u128::from(row) / u128::from(rows.in_group)) as u64;
        let (first, last) = (rows.first, rows.first + rows.len);
        self.of_group(rows.group)
            .iter()
            .map(move |chunk| chunk.start + share(chunk.len, first)..chunk.start + share(chunk.len, last))
    }

    /// Bytes of a value of a leaf in the row group of these rows, on average.
    pub fn mean_len(&self, rows: &Rows, leaf: usize) -> u64 {
        let place = self.place_of_leaf.get(&leaf).copied();
        let chunk = place.and_then(|place| self.of_group(rows.group).get(place));
        chunk.map_or(0, |chunk| chunk.inflated / chunk.values.max(1))
    }

    /// Whether these rows are reached only through all pages of the rows before them.
    pub fn rescans(&self, rows: &Rows) -> bool {
        let is_found = |(_, leaf): &(usize, ColumnDescPtr), chunk: &Chunk| {
            leaf.max_rep_level() == 0 || chunk.offset_index.is_some()
        };
        rows.first > 0
            && !self.leaves.iter().zip(self.of_group(rows.group)).all(|(leaf, chunk)| is_found(leaf, chunk))
    }

    /// The row group of these rows.
    pub fn group<'a>(
        &'a self,
        source: &'a Arc<dyn Source>,
        rows: &'a Rows,
        failure: &'a Failure,
    ) -> Group<'a> {
        Group { chunks: self, source, rows, failure }
    }

    fn page_reader(
        &self,
        leaf: usize,
        source: &Arc<dyn Source>,
        rows: &Rows,
        failure: &Failure,
    ) -> Result<Box<dyn PageReader>> {
        let place = self.place_of_leaf.get(&leaf).copied();
        let found = place.and_then(|place| self.leaves.get(place).zip(self.of_group(rows.group).get(place)));
        let Some(((_, descriptor), chunk)) = found else {
            return Err(ParquetError::General(format!(
                "leaf {leaf} of row group {} is not there",
                rows.group
            )));
        };
        let own = |error| failure.keep(error);
        let range = chunk.start..chunk.start + chunk.len;
        let (inflated, values) = (chunk.inflated, chunk.values);
        let mut bytes = ChunkBytes::new(Arc::clone(source), range.clone(), inflated, values, failure.clone());
        bytes.is_uncompressed = chunk.compression == Compression::UNCOMPRESSED;
        bytes.are_kept = descriptor.physical_type() == Physical::BYTE_ARRAY;
        let mut pages = None;
        if rows.is_whole && chunk.len <= WHOLE_CHUNK {
            bytes.fetch().map_err(own)?;
        } else if !rows.is_whole && source.is_remote() {
            let located = self.pages(source.as_ref(), rows).map_err(own)?;
            // Without them pages are read one after the other, out of what the block holds of the chunk.
            pages = place.and_then(|place| located.get(place)).filter(|pages| !pages.is_empty()).cloned();
            bytes.is_located = pages.is_some();
        } else if !rows.is_whole
            && descriptor.max_rep_level() > 0
            && let Some(index) = &chunk.offset_index
        {
            // Pages of flat columns are passed over by the counts in their headers just as well.
            let read = offset_index::read(source.as_ref(), index, range, rows.in_group).map_err(own)?;
            pages = Some(read).filter(|pages| !pages.is_empty());
            bytes.is_located = pages.is_some();
        }
        let codec = Codec::of(chunk.compression);
        let metadata = ColumnChunkMetaData::builder(Arc::clone(descriptor))
            .set_compression(codec.map_or(chunk.compression, |_| Compression::UNCOMPRESSED))
            .set_num_values(chunk.values as i64)
            .set_total_compressed_size(chunk.len as i64)
            .set_total_uncompressed_size(chunk.inflated as i64)
            .set_data_page_offset(chunk.data as i64)
            .set_dictionary_page_offset(chunk.dictionary.map(|offset| offset as i64))
            .build()?;
        let reader =
            SerializedPageReader::new(Arc::new(bytes.clone()), &metadata, rows.in_group as usize, pages)?;
        Ok(Box::new(CheckedPages::new(reader, Inflater::new(codec, bytes), descriptor)))
    }
}

/// The pages that hold some of these rows; each ends where the next one begins.
fn pages_of(pages: &[PageLocation], rows: &Rows) -> impl Iterator<Item = Range<u64>> {
    let (first, last) = (rows.first as i64, (rows.first + rows.len) as i64);
    let ends = pages.iter().skip(1).map(|page| page.first_row_index).chain(std::iter::once(i64::MAX));
    let holds = move |(page, end): &(&PageLocation, i64)| page.first_row_index < last && *end > first;
    pages
        .iter()
        .zip(ends)
        .filter(holds)
        .map(|(page, _)| page.offset as u64..page.offset as u64 + page.compressed_page_size as u64)
}

/// One row group, as [`parquet::arrow`] wants it.
pub(super) struct Group<'a> {
    chunks: &'a Chunks,
    source: &'a Arc<dyn Source>,
    rows: &'a Rows,
    failure: &'a Failure,
}

impl RowGroups for Group<'_> {
    fn num_rows(&self) -> usize {
        self.rows.in_group as usize
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>> {
        Ok(Box::new(OneChunk(Some(self.chunks.page_reader(leaf, self.source, self.rows, self.failure)))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::empty())
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.chunks.metadata
    }
}

/// The pages of one chunk.
struct OneChunk(Option<Result<Box<dyn PageReader>>>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take()
    }
}

impl PageIterator for OneChunk {}
