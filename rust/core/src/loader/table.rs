//! An opened dataset: its manifest, its shards opened on first use, its decoded blocks.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow_schema::{Field, Schema, SchemaRef};
use parking_lot::Mutex;

use super::ahead::memory_bytes;
use super::cache::{self, BlockCache};
use crate::assemble::RowSet;
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::order::{Layout, Place, Selection};
use crate::shard::{Block, Format, ShardReader};
use crate::source::{self, IoMode, Source};

/// Blocks kept beside the windows that are being read; a fixed part of an engine's memory.
const CACHE_FLOOR: u64 = 64 << 20;

/// Blocks of open windows may take this share of memory where they take more than their files say.
const MEMORY_SHARE: f64 = 0.25;

/// Blocks that each thread finds without a lock.
const NUM_RECENT: usize = 2048;

/// Bytes of a [`Part`].
const PART_BYTES: u64 = 8 << 20;

/// Texts of skipped damage that are kept for the report.
const KEPT_REPORTS: usize = 100;

/// Which columns are read, and under which names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Projection {
    /// Index of each column in the stored schema, in the order wanted.
    pub indices: Vec<usize>,
    /// The name of each.
    pub names: Vec<String>,
}

/// What to do with a block that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnError {
    /// Raise at the step that needs it.
    #[default]
    Raise,
    /// Leave its rows out, count and report them.
    Skip,
}

/// All rows of a manifest, laid out for orders.
///
/// # Errors
/// What [`Layout::try_new`] refuses, which a manifest that was opened never holds.
pub fn layout_of(manifest: &Manifest) -> Result<Layout> {
    Layout::try_new(
        manifest.block_rows().to_vec(),
        manifest.block_bytes().to_vec(),
        manifest.shard_first_block().to_vec(),
    )
}

/// A part of a file that read-ahead brings in at once.
pub struct Part {
    source: Arc<dyn Source>,
    offset: u64,
    len: usize,
}

impl Part {
    /// Its bytes.
    pub fn num_bytes(&self) -> u64 {
        self.len as u64
    }

    /// Starts reading it.
    pub fn will_need(&self) {
        self.source.will_need(self.offset, self.len);
    }

    /// Waits for it, where its pages can be mapped; what cannot be read says so when it is used.
    pub fn make_present(&self) {
        let _ = self.source.ensure(self.offset, self.len);
    }
}

/// A dataset opened for reading some of its columns.
pub struct Table {
    manifest: Manifest,
    layout: Arc<Layout>,
    /// Where the rows of the layout lie, where it is not the layout of the data itself.
    selection: Option<Arc<Selection>>,
    projection: Projection,
    schema: SchemaRef,
    io: IoMode,
    on_error: OnError,
    shards: Vec<OnceLock<Arc<ShardReader>>>,
    /// The cache of decoded blocks.
    pub cache: BlockCache,
    skipped_rows: AtomicU64,
    skipped_reports: Mutex<Vec<String>>,
}

impl Table {
    /// Opens no file yet: shards open when their first row is needed.
    pub fn new(
        manifest: Manifest,
        layout: Arc<Layout>,
        projection: Projection,
        io: IoMode,
        on_error: OnError,
    ) -> Self {
        let stored = manifest.schema();
        let fields: Vec<_> = projection
            .indices
            .iter()
            .zip(&projection.names)
            .map(|(index, name)| Arc::new(Field::clone(stored.field(*index)).with_name(name)))
            .collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, stored.metadata().clone()));
        let shards = (0..manifest.num_shards()).map(|_| OnceLock::new()).collect();
        Self {
            manifest,
            layout,
            selection: None,
            projection,
            schema,
            io,
            on_error,
            shards,
            cache: BlockCache::new(CACHE_FLOOR, (MEMORY_SHARE * memory_bytes()) as u64),
            skipped_rows: AtomicU64::new(0),
            skipped_reports: Mutex::default(),
        }
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
        if self.io == IoMode::Auto && self.manifest.num_shards() > 0 {
            return source::resolve_auto(self.manifest.shard_path(0));
        }
        self.io
    }

    /// What is known of the data without reading it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The layout of all rows that are read, unclipped.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The block at a dataset-wide index, of the data and not of a selection.
    pub fn block(&self, index: usize) -> Result<Arc<Block>> {
        self.cache.get(index as u64, || {
            let (shard, meta) = self.manifest.block(index);
            let in_shard = self.in_shard(shard, index);
            let reader = self.reader(shard)?;
            // Bytes that were written over in place would decode into other rows: refuse them here.
            reader.source().check_intact()?;
            let block = reader.decode(in_shard, &meta).map_err(|error| error.in_block(in_shard))?;
            Ok(self.with_partitions(block, shard))
        })
    }

    /// Adds the row at `place` to `rows`; `false` where it is skipped for damage.
    pub fn push_row(&self, place: Place, rows: &mut RowSet, recent: &mut RecentBlocks) -> Result<bool> {
        let place = self.selection.as_ref().map_or(place, |selection| selection.locate(place));
        if let Some(block) = recent.get(place.block) {
            rows.push(block, place.row);
            return Ok(true);
        }
        let block = match self.block(place.block as usize) {
            Ok(block) => block,
            Err(error) => return self.skip(error, 1),
        };
        rows.push(&block, place.row);
        recent.put(place.block, block);
        Ok(true)
    }

    /// The rows with these row ids, in this order.
    ///
    /// # Errors
    /// `InvalidArgument` for an id outside of the dataset, otherwise what reading raises.
    pub fn fetch(&self, row_ids: &[u64]) -> Result<RowSet> {
        let (mut rows, mut recent) = (RowSet::default(), RecentBlocks::default());
        let num_rows = self.layout.num_rows();
        for row_id in row_ids {
            if *row_id >= num_rows {
                return Err(Error::InvalidArgument(format!(
                    "row id {row_id} is out of range; the dataset has {num_rows} rows"
                )));
            }
            self.push_row(self.layout.locate(*row_id), &mut rows, &mut recent)?;
        }
        rows.ensure()?;
        Ok(rows)
    }

    /// Counts `num_rows` rows as skipped for `error`, or gives the error back where damage is to be raised.
    pub fn skip(&self, error: Error, num_rows: u64) -> Result<bool> {
        if self.on_error == OnError::Raise || !matches!(error, Error::CorruptShard { .. }) {
            return Err(error);
        }
        self.skipped_rows.fetch_add(num_rows, Ordering::Relaxed);
        let mut reports = self.skipped_reports.lock();
        let text = error.to_string();
        if reports.len() < KEPT_REPORTS && !reports.contains(&text) {
            reports.push(text);
        }
        Ok(false)
    }

    /// Whether damage is left out rather than raised.
    pub fn skips(&self) -> bool {
        self.on_error == OnError::Skip
    }

    /// Rows left out for damage so far.
    pub fn num_skipped(&self) -> u64 {
        self.skipped_rows.load(Ordering::Relaxed)
    }

    /// Takes the texts of damage that was met since the last call.
    pub fn take_reports(&self) -> Vec<String> {
        std::mem::take(&mut *self.skipped_reports.lock())
    }

    /// The sources that are open at present.
    pub fn open_sources(&self) -> impl Iterator<Item = &Arc<dyn Source>> {
        self.shards.iter().filter_map(|shard| shard.get().map(|reader| reader.source()))
    }

    /// The parts of files that the columns of a block of the layout lie in, in pieces that can be read one after the
    /// other; none where its rows lie in many blocks.
    pub fn parts(&self, block: usize) -> Result<Vec<Part>> {
        let Some(block) = self.data_block(block) else { return Ok(Vec::new()) };
        let (shard, meta) = self.manifest.block(block);
        let reader = self.reader(shard)?;
        let pieces = reader.ranges(self.in_shard(shard, block), &meta)?.into_iter().flat_map(|range| {
            let (end, step) = (range.end, PART_BYTES);
            range.step_by(step as usize).map(move |start| (start, step.min(end - start) as usize))
        });
        let part = |(offset, len)| Part { source: Arc::clone(reader.source()), offset, len };
        Ok(pieces.map(part).collect())
    }

    /// Whether blocks are decoded into memory of their own, as long as their formats tell beforehand.
    pub fn owns_memory(&self) -> bool {
        self.manifest.num_shards() > 0 && self.manifest.shard_format(0).is_some_and(Format::is_decoded)
    }

    /// What each block takes beside its data.
    pub fn block_overhead(&self) -> u64 {
        cache::overhead(self.projection.indices.len())
    }

    /// Lets go of the decoded blocks that these rows lie in, where each row lies in a block of its own run.
    pub fn forget(&self, rows: Range<u64>) {
        if rows.is_empty() || self.selection.is_some() {
            return;
        }
        let (first, last) = (self.layout.locate(rows.start).block, self.layout.locate(rows.end - 1).block);
        (first..=last).for_each(|block| self.cache.remove(u64::from(block)));
    }

    /// Notes that a lane has come to a block: with memory of its own, it stays until the lane has gone past it.
    pub fn is_needed(&self, block: usize) {
        if let Some(block) = self.data_block(block) {
            self.cache.need(block as u64);
        }
    }

    /// Notes that a lane has gone past a block: of blocks with memory of their own, such go first.
    pub fn is_done(&self, block: usize) {
        if let Some(block) = self.data_block(block) {
            self.cache.done(block as u64);
        }
    }

    /// How often rows were reached through pages before them, for want of a page index.
    pub fn num_rescans(&self) -> u64 {
        self.shards.iter().filter_map(|shard| shard.get().map(|reader| reader.num_rescans())).sum()
    }

    /// The row group of each block of a shard; empty where its format has none.
    pub fn row_groups_of(&self, shard: usize) -> Result<Vec<u64>> {
        Ok(self.reader(shard)?.row_groups())
    }

    /// The shard of a block of the layout, and its place in it; `None` where its rows lie in many.
    pub fn shard_of(&self, block: u32) -> Option<(usize, usize)> {
        let block = self.data_block(block as usize)?;
        let (shard, _) = self.manifest.block(block);
        Some((shard, self.in_shard(shard, block) as usize))
    }

    /// Place of a block in its shard.
    fn in_shard(&self, shard: usize, block: usize) -> u64 {
        (block - self.manifest.shard_first_block()[shard] as usize) as u64
    }

    /// Tells the system that a block of the layout is done with.
    pub fn drop_behind(&self, block: usize) {
        let Some(block) = self.data_block(block) else { return };
        // Decoded again, the block brings its pages back in bulk instead of one fault a page.
        self.cache.remove(block as u64);
        let (shard, meta) = self.manifest.block(block);
        if let Some(reader) = self.shards[shard].get() {
            for range in reader.ranges(self.in_shard(shard, block), &meta).unwrap_or_default() {
                reader.source().drop_behind(range.start, (range.end - range.start) as usize);
            }
        }
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

    /// The one block of the data behind a block of the layout; `None` where its rows lie in many.
    fn data_block(&self, block: usize) -> Option<usize> {
        match &self.selection {
            Some(selection) => selection.block(block as u32).map(|block| block as usize),
            None => Some(block),
        }
    }

    fn reader(&self, shard: usize) -> Result<&Arc<ShardReader>> {
        if let Some(reader) = self.shards[shard].get() {
            return Ok(reader);
        }
        let reader = Arc::new(self.open_shard(shard)?);
        Ok(self.shards[shard].get_or_init(|| reader))
    }

    fn open_shard(&self, index: usize) -> Result<ShardReader> {
        let shard = self.manifest.shard(index);
        let mode = if self.io == IoMode::Auto { source::resolve_auto(shard.path) } else { self.io };
        let source = source::open(shard.path, mode, Some(shard.identity))?;
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
        ShardReader::try_new(source, found, Some(stored.collect()))
    }
}

/// Blocks that one thread reads at present, found without a lock; a lane read in turn comes back to its own few.
pub struct RecentBlocks(Vec<Option<(u32, Arc<Block>)>>);

impl Default for RecentBlocks {
    fn default() -> Self {
        Self(vec![None; NUM_RECENT])
    }
}

impl RecentBlocks {
    fn get(&self, index: u32) -> Option<&Arc<Block>> {
        self.0[index as usize % NUM_RECENT]
            .as_ref()
            .filter(|(known, _)| *known == index)
            .map(|(_, block)| block)
    }

    /// Keeps a block that lies in a map; one with memory of its own is the cache's to keep or drop.
    fn put(&mut self, index: u32, block: Arc<Block>) {
        if block.is_mapped() {
            self.0[index as usize % NUM_RECENT] = Some((index, block));
        }
    }
}
