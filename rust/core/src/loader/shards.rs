//! The shards of one dataset: opened on first use, and which columns of which of their rows are read.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_schema::{Field, Schema, SchemaRef};

use super::table::Projection;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::order::{Layout, Place, Selection};
use crate::shard::{Block, Format, ShardReader, Texts};
use crate::source::remote::is_remote;
use crate::source::{self, IoMode, Need, RemoteFile, Source};

/// Bytes of a [`Part`].
const PART_BYTES: u64 = 8 << 20;

/// A part of a file that read-ahead brings in at once.
pub struct Part {
    source: Arc<dyn Source>,
    offset: u64,
    len: usize,
    /// Of an object on a network, the block and all that it takes.
    block: Option<(u64, Vec<Range<u64>>)>,
}

impl Part {
    /// Its bytes, as far as read-ahead is to wait for them.
    pub fn num_bytes(&self) -> u64 {
        self.len as u64
    }

    /// Starts reading it.
    pub fn will_need(&self) {
        match &self.block {
            Some((key, ranges)) => self.source.hold(*key, ranges, Need::Ahead),
            None => self.source.will_need(self.offset, self.len),
        }
    }

    /// Waits for it, where its pages can be mapped; what cannot be read says so when it is used.
    pub fn make_present(&self) {
        let _ = self.source.ensure(self.offset, self.len);
    }
}

/// What blocks take, as far as the index says.
#[derive(Debug, Clone, Copy)]
pub struct BlockSizes {
    /// Bytes of the largest block in memory.
    pub largest: u64,
    /// Bytes of all blocks in memory.
    pub all: u64,
    /// How many there are.
    pub num_blocks: u64,
    /// Bytes of all files.
    pub file_bytes: u64,
    /// Whether blocks are decoded into memory of their own, as far as formats tell beforehand.
    pub owns_memory: bool,
    /// Whether blocks view maps of their files.
    pub is_mapped: bool,
}

/// A dataset's files, some of whose columns are read.
///
/// Blocks here are those of the dataset alone, wherever a [`super::Table`] puts them among others.
pub struct Shards {
    manifest: Manifest,
    layout: Arc<Layout>,
    /// Where the rows of the layout lie, where it is not the layout of the data itself.
    selection: Option<Arc<Selection>>,
    projection: Projection,
    schema: SchemaRef,
    io: IoMode,
    texts: Texts,
    /// Bytes of the whole data set, where these are only some of its files.
    dataset_bytes: Option<u64>,
    readers: Vec<OnceLock<Arc<ShardReader>>>,
}

impl Shards {
    /// Opens no file yet: shards open when their first row is needed.
    pub fn new(manifest: Manifest, layout: Arc<Layout>, projection: Projection, io: IoMode) -> Self {
        let stored = manifest.schema();
        let fields: Vec<_> = projection
            .indices
            .iter()
            .zip(&projection.names)
            .map(|(index, name)| Arc::new(Field::clone(stored.field(*index)).with_name(name)))
            .collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, stored.metadata().clone()));
        let readers = (0..manifest.num_shards()).map(|_| OnceLock::new()).collect();
        let (selection, texts, dataset_bytes) = (None, Texts::Stored, None);
        Self { manifest, layout, selection, projection, schema, io, texts, dataset_bytes, readers }
    }

    /// The files of a data set of so many bytes.
    #[must_use]
    pub fn of_dataset(self, num_bytes: u64) -> Self {
        Self { dataset_bytes: Some(num_bytes), ..self }
    }

    /// Decodes texts so.
    #[must_use]
    pub fn with_texts(self, texts: Texts) -> Self {
        Self { texts, ..self }
    }

    /// The same data, of which only these rows are read: places and row ids are theirs from here on.
    #[must_use]
    pub fn with_selection(mut self, selection: Arc<Selection>) -> Self {
        self.layout = Arc::clone(selection.layout());
        self.selection = Some(selection);
        self
    }

    /// The columns read, as they are handed out.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How files are read; of `auto`, what it means for the first shard.
    pub fn io(&self) -> IoMode {
        if self.manifest.num_shards() > 0
            && (self.io == IoMode::Auto || is_remote(self.manifest.shard_path(0)))
        {
            return source::resolve_auto(self.manifest.shard_path(0));
        }
        self.io
    }

    /// Whether shards are objects on a network.
    pub fn is_remote(&self) -> bool {
        self.manifest.num_shards() > 0 && is_remote(self.manifest.shard_path(0))
    }

    /// What is known of the data without reading it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The layout of all rows that are read, unclipped.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Decodes a block of the data, which is not one of a selection.
    pub fn decode(&self, index: usize) -> Result<Block> {
        let (shard, meta) = self.manifest.block(index);
        let in_shard = self.in_shard(shard, index);
        let reader = self.reader(shard)?;
        // Bytes that were written over in place would decode into other rows: refuse them here.
        reader.source().check_intact()?;
        let fetched = || {
            reader.source().hold(in_shard, &reader.ranges(in_shard, &meta)?, Need::Now);
            let decoded = reader.decode(in_shard, &meta);
            reader.source().release(in_shard);
            decoded
        };
        let block = if reader.source().is_remote() {
            source::twice(reader.source().as_ref(), fetched)
        } else {
            reader.decode(in_shard, &meta)
        };
        Ok(self.with_partitions(block.map_err(|error| error.in_block(in_shard))?, shard))
    }

    /// Where the row at a place of the layout lies in the data.
    #[inline]
    pub fn locate(&self, place: Place) -> Place {
        self.selection.as_ref().map_or(place, |selection| selection.locate(place))
    }

    /// The one block of the data behind a block of the layout; `None` where its rows lie in many.
    pub fn data_block(&self, block: u32) -> Option<u32> {
        match &self.selection {
            Some(selection) => selection.block(block),
            None => Some(block),
        }
    }

    /// The parts of files that the columns of a block of the data lie in, in pieces that can be read one after the
    /// other.
    pub fn parts(&self, block: usize) -> Result<Vec<Part>> {
        let (shard, meta) = self.manifest.block(block);
        let reader = self.reader(shard)?;
        let key = self.in_shard(shard, block);
        let ranges = reader.ranges(key, &meta)?;
        if reader.source().is_remote() {
            // Ranges that lie near each other become one request, so they are told together; its own threads bound
            // what is on the way.
            let source = Arc::clone(reader.source());
            return Ok(vec![Part { source, offset: 0, len: 0, block: Some((key, ranges)) }]);
        }
        let pieces = ranges.into_iter().flat_map(|range| {
            let (end, step) = (range.end, PART_BYTES);
            range.step_by(step as usize).map(move |start| (start, step.min(end - start) as usize))
        });
        let part = |(offset, len)| Part { source: Arc::clone(reader.source()), offset, len, block: None };
        Ok(pieces.map(part).collect())
    }

    /// Tells the system that the pages of a block of the data are done with.
    pub fn drop_behind(&self, block: usize) {
        let (shard, meta) = self.manifest.block(block);
        if let Some(reader) = self.readers[shard].get() {
            for range in reader.ranges(self.in_shard(shard, block), &meta).unwrap_or_default() {
                reader.source().drop_behind(range.start, (range.end - range.start) as usize);
            }
        }
    }

    /// The shard of a block of the data, and its place in it.
    pub fn shard_of(&self, block: usize) -> (usize, usize) {
        let (shard, _) = self.manifest.block(block);
        (shard, self.in_shard(shard, block) as usize)
    }

    /// The row group of each block of a shard; empty where its format has none.
    pub fn row_groups_of(&self, shard: usize) -> Result<Vec<u64>> {
        Ok(self.reader(shard)?.row_groups())
    }

    /// The sources that are open at present.
    pub fn open_sources(&self) -> impl Iterator<Item = &Arc<dyn Source>> {
        self.readers.iter().filter_map(|shard| shard.get().map(|reader| reader.source()))
    }

    /// How often rows were reached through pages before them, for want of a page index.
    pub fn num_rescans(&self) -> u64 {
        self.readers.iter().filter_map(|shard| shard.get().map(|reader| reader.num_rescans())).sum()
    }

    /// Whether blocks are decoded into memory of their own, as long as their formats tell beforehand.
    pub fn owns_memory(&self) -> bool {
        self.manifest.num_shards() > 0 && self.manifest.shard_format(0).is_some_and(Format::is_decoded)
    }

    /// What blocks take; there may be millions to look at.
    pub fn sizes(&self) -> BlockSizes {
        let bytes = self.manifest.block_bytes();
        BlockSizes {
            largest: bytes.iter().copied().max().unwrap_or(0),
            all: bytes.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes)),
            num_blocks: bytes.len() as u64,
            file_bytes: self.manifest.total_bytes(),
            owns_memory: self.owns_memory(),
            is_mapped: self.io() == IoMode::Mmap,
        }
    }

    /// Bytes of all rows where they are decoded whole.
    pub fn decoded_bytes(&self) -> Option<u64> {
        let is_whole = self.projection.indices.len() >= self.manifest.num_stored_columns();
        let bytes =
            || self.manifest.block_bytes().iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
        (is_whole && self.owns_memory()).then(bytes)
    }

    /// Place of a block in its shard.
    fn in_shard(&self, shard: usize, block: usize) -> u64 {
        (block - self.manifest.shard_first_block()[shard] as usize) as u64
    }

    /// The block with the columns that the names of its file's folders make.
    fn with_partitions(&self, mut block: Block, shard: usize) -> Block {
        let num_stored = self.manifest.num_stored_columns();
        for (at, column) in self.projection.indices.iter().enumerate() {
            if *column >= num_stored {
                let array = self.manifest.partition_column(*column, shard, block.num_rows);
                block.insert_column(at, array);
            }
        }
        block
    }

    fn reader(&self, shard: usize) -> Result<&Arc<ShardReader>> {
        if let Some(reader) = self.readers[shard].get() {
            return Ok(reader);
        }
        let reader = Arc::new(self.open_shard(shard)?);
        Ok(self.readers[shard].get_or_init(|| reader))
    }

    fn open_shard(&self, index: usize) -> Result<ShardReader> {
        let shard = self.manifest.shard(index);
        let source: Arc<dyn Source> = if is_remote(shard.path) {
            let object = RemoteFile::new(shard.path, shard.identity);
            object.is_of_dataset(self.dataset_bytes.unwrap_or_else(|| self.manifest.total_bytes()));
            object
        } else {
            let mode = if self.io == IoMode::Auto { source::resolve_auto(shard.path) } else { self.io };
            source::open(shard.path, mode, Some(shard.identity))?
        };
        let mut found = self.manifest.shard_index(index)?;
        if found.format.joins_columns() {
            // The projection counts the columns of all shards; those that this one lacks are null.
            found.schema = Arc::clone(self.manifest.schema());
        } else if found.format.is_decoded() {
            // Into what all shards fit, so that the rows of several stand in one array.
            found.schema = self.manifest.stored_schema();
        }
        let num_stored = self.manifest.num_stored_columns();
        let stored = self.projection.indices.iter().copied().filter(|column| *column < num_stored);
        let stored = Some(stored.collect());
        if !source.is_remote() {
            return ShardReader::try_with_texts(source, found, stored, self.texts);
        }
        source::twice(source.as_ref(), || {
            ShardReader::try_with_texts(Arc::clone(&source), found.clone(), stored.clone(), self.texts)
        })
    }
}
