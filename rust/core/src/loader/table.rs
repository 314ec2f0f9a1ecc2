//! An opened dataset, or several side by side: its shards opened on first use, its decoded blocks.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arrow_array::types::Int8Type;
use arrow_array::{ArrayRef, BinaryArray, DictionaryArray, Int8Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parking_lot::Mutex;

use super::cache::{self, BlockCache};
use super::shards::{BlockSizes, Part, Shards};
use super::union::{common_schema, conform};
use crate::assemble::RowSet;
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::memory::memory_bytes;
use crate::order::{Layout, Place, Selection};
use crate::shard::Block;
use crate::source::{IoMode, Source};

/// Blocks kept beside the windows that are being read; a fixed part of an engine's memory.
const CACHE_FLOOR: u64 = 64 << 20;

/// Blocks of open windows may take this share of memory where they take more than their files say.
const MEMORY_SHARE: f64 = 0.25;

/// Blocks that each thread finds without a lock.
const NUM_RECENT: usize = 2048;

/// Texts of skipped damage that are kept for the report.
const KEPT_REPORTS: usize = 100;

/// Which columns are read, and under which names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
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

/// A schema with a column of the datasets' names behind the others.
fn with_origin(schema: &SchemaRef, name: &str) -> SchemaRef {
    let names = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let fields = schema.fields().iter().cloned().chain([Arc::new(Field::new(name, names, false))]);
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The same name for all rows of a block, stored as texts are.
fn origin_of(name: &str, num_rows: usize) -> ArrayRef {
    let (keys, names) = (Int8Array::from(vec![0; num_rows]), BinaryArray::from_vec(vec![name.as_bytes()]));
    Arc::new(DictionaryArray::<Int8Type>::new(keys, Arc::new(names)))
}

/// One of several datasets that are read side by side.
#[derive(Clone)]
pub struct Member {
    /// What a user calls it.
    pub name: String,
    /// Its data.
    pub shards: Arc<Shards>,
    /// The row id of its first row: above those of all members before it.
    pub first_row: u64,
    /// The number of its first block, likewise.
    pub first_block: u32,
}

/// Where the numbers of a member's shards, blocks and rows begin.
struct Placed {
    name: String,
    shards: Arc<Shards>,
    first_row: u64,
    /// Of the blocks that orders speak of.
    first_block: u32,
    /// Of the blocks of the data, which a selection may make others of.
    first_data_block: u32,
    first_shard: usize,
}

/// A dataset opened for reading some of its columns; or several, whose blocks stand behind each other.
///
/// Blocks in places are those that orders speak of. The cache knows blocks of the data.
pub struct Table {
    members: Vec<Placed>,
    schema: SchemaRef,
    /// Whether the last column says of which member a row is.
    tells_origin: bool,
    on_error: OnError,
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
        Self::of_shards(Shards::new(manifest, layout, projection, io), on_error)
    }

    /// A table of one dataset.
    pub fn of_shards(shards: Shards, on_error: OnError) -> Self {
        let schema = Arc::clone(shards.schema());
        let shards = Arc::new(shards);
        let name = String::new();
        let only = Placed { name, shards, first_row: 0, first_block: 0, first_data_block: 0, first_shard: 0 };
        Self::assemble(vec![only], schema, on_error)
    }

    /// Several datasets as one, in ascending order of their rows and blocks. `origin` names one column more, in which
    /// each row has the name of its dataset.
    ///
    /// # Errors
    /// `SchemaMismatch` where their columns differ; `InvalidArgument` where they have 2^32 blocks together.
    pub fn of_members(members: Vec<Member>, on_error: OnError, origin: Option<&str>) -> Result<Self> {
        let schemas: Vec<_> =
            members.iter().map(|member| (member.name.as_str(), member.shards.schema())).collect();
        let schema = common_schema(&schemas)?;
        let schema = origin.map_or_else(|| Arc::clone(&schema), |origin| with_origin(&schema, origin));
        let (mut placed, mut first_data_block, mut first_shard) = (Vec::new(), 0_u64, 0);
        for Member { name, shards, first_row, first_block } in members {
            let too_many = |_| Error::InvalidArgument("the sources have 2^32 blocks or more".to_owned());
            let first = u32::try_from(first_data_block).map_err(too_many)?;
            first_data_block += shards.manifest().num_blocks() as u64;
            u32::try_from(first_data_block).map_err(too_many)?;
            let num_shards = shards.manifest().num_shards();
            placed.push(Placed {
                name,
                shards,
                first_row,
                first_block,
                first_data_block: first,
                first_shard,
            });
            first_shard += num_shards;
        }
        let tells_origin = origin.is_some();
        Ok(Self { tells_origin, ..Self::assemble(placed, schema, on_error) })
    }

    fn assemble(members: Vec<Placed>, schema: SchemaRef, on_error: OnError) -> Self {
        Self {
            members,
            schema,
            tells_origin: false,
            on_error,
            cache: BlockCache::new(CACHE_FLOOR, (MEMORY_SHARE * memory_bytes()) as u64),
            skipped_rows: AtomicU64::new(0),
            skipped_reports: Mutex::default(),
        }
    }

    /// The same with a fraction of the memory for decoded blocks, where so many tables are read side by side.
    #[must_use]
    pub fn one_of(self, num_tables: u64) -> Self {
        let share = |bytes: u64| bytes / num_tables.max(1);
        let cache = BlockCache::new(share(CACHE_FLOOR), share((MEMORY_SHARE * memory_bytes()) as u64));
        Self { cache, ..self }
    }

    /// The same data, of which only these rows are read: places and row ids are theirs from here on. Of a table of one
    /// dataset that nothing else holds.
    #[must_use]
    pub fn with_selection(self, selection: Arc<Selection>) -> Self {
        let on_error = self.on_error;
        let shards = self.members.into_iter().next().and_then(|member| Arc::into_inner(member.shards));
        let shards = shards.expect("a new table has one dataset, which is its own");
        Self::of_shards(shards.with_selection(selection), on_error)
    }

    /// The columns read, as they are handed out.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How files are read; of `auto`, what it means for the first shard.
    pub fn io(&self) -> IoMode {
        self.members[0].shards.io()
    }

    /// What is known of the data without reading it, where it is one dataset; else of the first one.
    pub fn manifest(&self) -> &Manifest {
        self.members[0].shards.manifest()
    }

    /// The rows that are read, where it is one dataset; else those of the first one.
    pub fn layout(&self) -> &Arc<Layout> {
        self.members[0].shards.layout()
    }

    /// Number of files.
    pub fn num_shards(&self) -> usize {
        self.members.iter().map(|member| member.shards.manifest().num_shards()).sum()
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        let bytes = self.members.iter().map(|member| member.shards.manifest().total_bytes());
        bytes.fold(0, u64::saturating_add)
    }

    /// Bytes of a row in the files, on average.
    pub fn row_bytes(&self) -> u64 {
        let rows: u64 = self.members.iter().map(|member| member.shards.manifest().num_rows()).sum();
        self.total_bytes() / rows.max(1)
    }

    /// Bytes of a decoded row, on average, as far as the indexes say; 0 where some columns are not read, or rows lie in
    /// their files.
    pub fn row_memory(&self) -> u64 {
        let bytes = self.members.iter().map(|member| member.shards.decoded_bytes().unwrap_or(0));
        let rows: u64 = self.members.iter().map(|member| member.shards.manifest().num_rows()).sum();
        bytes.fold(0, u64::saturating_add) / rows.max(1)
    }

    /// What the blocks of each dataset take.
    pub fn sizes(&self) -> impl Iterator<Item = BlockSizes> + '_ {
        self.members.iter().map(|member| member.shards.sizes())
    }

    /// The block at a table-wide index, of the data and not of a selection.
    pub fn block(&self, index: usize) -> Result<Arc<Block>> {
        self.cache.get(index as u64, || {
            let member = self.member_of(index as u32, |member| member.first_data_block);
            let mut block = member.shards.decode(index - member.first_data_block as usize)?;
            if self.members.len() > 1 {
                conform(&mut block, &self.schema)?;
            }
            if self.tells_origin {
                block.push_dictionary(origin_of(&member.name, block.num_rows));
            }
            Ok(block)
        })
    }

    /// Adds the row at `place` to `rows`; `false` where it is skipped for damage.
    pub fn push_row(&self, place: Place, rows: &mut RowSet, recent: &mut RecentBlocks) -> Result<bool> {
        let place = self.in_data(place);
        if let Some(block) = recent.get(place.block) {
            rows.push(&block, place.row);
            return Ok(true);
        }
        let block = match self.block(place.block as usize) {
            Ok(block) => block,
            Err(error) => return self.skip(error, 1),
        };
        rows.push(&block, place.row);
        recent.put(place.block, &block);
        Ok(true)
    }

    /// The rows with these row ids, in this order.
    ///
    /// # Errors
    /// `InvalidArgument` for an id outside of the dataset, otherwise what reading raises.
    pub fn fetch(&self, row_ids: &[u64]) -> Result<RowSet> {
        let (mut rows, mut recent) = (RowSet::default(), RecentBlocks::default());
        for row_id in row_ids {
            self.push_row(self.locate(*row_id)?, &mut rows, &mut recent)?;
        }
        rows.ensure()?;
        Ok(rows)
    }

    /// Where the row with an id lies.
    ///
    /// # Errors
    /// `InvalidArgument` for an id outside of the dataset.
    pub fn locate(&self, row_id: u64) -> Result<Place> {
        let at = self.members.partition_point(|member| member.first_row <= row_id).max(1) - 1;
        let member = &self.members[at];
        let layout = member.shards.layout();
        let own = row_id.checked_sub(member.first_row).filter(|own| *own < layout.num_rows());
        let place = own.map(|own| layout.locate(own)).ok_or_else(|| {
            let num_rows =
                self.members.last().map_or(0, |last| last.first_row + last.shards.layout().num_rows());
            Error::InvalidArgument(format!(
                "row id {row_id} is out of range; the dataset has {num_rows} rows"
            ))
        })?;
        Ok(Place { block: place.block + member.first_block, ..place })
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
        self.members.iter().flat_map(|member| member.shards.open_sources())
    }

    /// The parts of files that the columns of a block of the layout lie in, in pieces that can be read one after the
    /// other; none where its rows lie in many blocks.
    pub fn parts(&self, block: usize) -> Result<Vec<Part>> {
        let (member, own) = self.data_block(block);
        let Some(block) = own else { return Ok(Vec::new()) };
        let is_decoded = || self.cache.contains(u64::from(member.first_data_block) + block as u64);
        if member.shards.is_remote() && is_decoded() {
            // Nobody would take what is fetched, nor let go of it.
            return Ok(Vec::new());
        }
        member.shards.parts(block)
    }

    /// Whether shards of any dataset are objects on a network.
    pub fn is_remote(&self) -> bool {
        self.members.iter().any(|member| member.shards.is_remote())
    }

    /// Lets go of what was fetched ahead, as nobody reads on.
    pub fn forget_ahead(&self) {
        self.open_sources().for_each(|source| source.release_all());
    }

    /// Whether blocks of any dataset are decoded into memory of their own, as long as formats tell beforehand.
    pub fn owns_memory(&self) -> bool {
        self.members.iter().any(|member| member.shards.owns_memory())
    }

    /// What each block takes beside its data.
    pub fn block_overhead(&self) -> u64 {
        cache::overhead(self.schema.fields().len())
    }

    /// Lets go of the decoded blocks that these rows lie in, where each row lies in a block of its own run.
    pub fn forget(&self, rows: Range<u64>) {
        let last = rows.end.saturating_sub(1).max(rows.start);
        let (Ok(first), Ok(last)) = (self.locate(rows.start), self.locate(last)) else { return };
        let cached = (first.block..=last.block).filter_map(|block| self.cached(block as usize));
        cached.for_each(|block| self.cache.remove(block));
    }

    /// Notes that a lane has come to a block: with memory of its own, it stays until the lane has gone past it.
    pub fn is_needed(&self, block: usize) {
        if let Some(block) = self.cached(block) {
            self.cache.need(block);
        }
    }

    /// Notes that a lane has gone past a block: of blocks with memory of their own, such go first.
    pub fn is_done(&self, block: usize) {
        if let Some(block) = self.cached(block) {
            self.cache.done(block);
        }
    }

    /// How often rows were reached through pages before them, for want of a page index.
    pub fn num_rescans(&self) -> u64 {
        self.members.iter().map(|member| member.shards.num_rescans()).sum()
    }

    /// The row group of each block of a shard; empty where its format has none.
    pub fn row_groups_of(&self, shard: usize) -> Result<Vec<u64>> {
        let at = self.members.partition_point(|member| member.first_shard <= shard).max(1) - 1;
        self.members[at].shards.row_groups_of(shard - self.members[at].first_shard)
    }

    /// The shard of a block of the layout, and its place in it; `None` where its rows lie in many.
    pub fn shard_of(&self, block: u32) -> Option<(usize, usize)> {
        let (member, own) = self.data_block(block as usize);
        let (shard, at) = member.shards.shard_of(own?);
        Some((member.first_shard + shard, at))
    }

    /// Tells the system that a block of the layout is done with.
    pub fn drop_behind(&self, block: usize) {
        let (member, Some(own)) = self.data_block(block) else { return };
        // Decoded again, the block brings its pages back in bulk instead of one fault a page.
        self.cache.remove(u64::from(member.first_data_block) + own as u64);
        member.shards.drop_behind(own);
    }

    /// Where the row at a place of the layout lies among the blocks of the data.
    #[inline]
    fn in_data(&self, place: Place) -> Place {
        if let [only] = &*self.members {
            return only.shards.locate(place);
        }
        let member = self.member_of(place.block, |member| member.first_block);
        let own = member.shards.locate(Place { block: place.block - member.first_block, ..place });
        Place { block: own.block + member.first_data_block, ..own }
    }

    /// The dataset of a block of the layout, and the one block of its data behind it; `None` where its rows lie in many.
    fn data_block(&self, block: usize) -> (&Placed, Option<usize>) {
        let member = self.member_of(block as u32, |member| member.first_block);
        let own = member.shards.data_block(block as u32 - member.first_block);
        (member, own.map(|block| block as usize))
    }

    /// What the cache calls a block of the layout.
    fn cached(&self, block: usize) -> Option<u64> {
        let (member, own) = self.data_block(block);
        Some(u64::from(member.first_data_block) + own? as u64)
    }

    /// The dataset of a block, by where the blocks of each begin: of several that begin there all but the last are empty.
    fn member_of(&self, block: u32, first: impl Fn(&Placed) -> u32) -> &Placed {
        &self.members[self.members.partition_point(|member| first(member) <= block).max(1) - 1]
    }
}

/// Blocks that one thread reads at present, found without a lock; a lane read in turn comes back to its own few.
pub struct RecentBlocks(Vec<Option<(u32, Recent)>>);

#[derive(Clone)]
enum Recent {
    /// It lies in a map and takes next to nothing.
    Kept(Arc<Block>),
    /// It has memory of its own, and is the cache's to keep or drop.
    Seen(Weak<Block>),
}

impl Default for RecentBlocks {
    fn default() -> Self {
        Self(vec![None; NUM_RECENT])
    }
}

impl RecentBlocks {
    fn get(&self, index: u32) -> Option<Arc<Block>> {
        match self.0[index as usize % NUM_RECENT].as_ref()? {
            (known, Recent::Kept(block)) if *known == index => Some(Arc::clone(block)),
            (known, Recent::Seen(block)) if *known == index => block.upgrade(),
            _ => None,
        }
    }

    fn put(&mut self, index: u32, block: &Arc<Block>) {
        let recent = if block.is_mapped() {
            Recent::Kept(Arc::clone(block))
        } else {
            Recent::Seen(Arc::downgrade(block))
        };
        self.0[index as usize % NUM_RECENT] = Some((index, recent));
    }
}
