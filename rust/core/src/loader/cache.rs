//! Decoded blocks, each decoded once while it is needed, bounded by bytes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::error::Result;
use crate::shard::Block;

/// What the bookkeeping of a block and of each of its columns takes beside their data, measured over small blocks.
const BLOCK_BYTES: u64 = 1024;
const COLUMN_BYTES: u64 = 2560;

/// More blocks than this are not looked through for each one that comes.
const MANY_BLOCKS: usize = 1024;

#[derive(Default)]
struct Entry {
    /// Locked while the block is decoded, so that threads that meet here decode it once.
    block: Mutex<Option<Arc<Block>>>,
    last_used: AtomicU64,
}

/// A least-recently-used cache of decoded blocks, shared by the threads of one engine.
pub struct BlockCache {
    entries: RwLock<HashMap<u64, Arc<Entry>>>,
    clock: AtomicU64,
    bytes: AtomicU64,
    budget: AtomicU64,
    decoded: AtomicU64,
    /// Blocks that a window needs, or needed before it was finished.
    wanted: Mutex<HashSet<u64>>,
    again: AtomicU64,
}

impl BlockCache {
    /// A cache that evicts what was not used for longest once it holds more than `budget` bytes.
    pub fn new(budget: u64) -> Self {
        Self {
            entries: RwLock::default(),
            clock: AtomicU64::new(1),
            bytes: AtomicU64::new(0),
            budget: AtomicU64::new(budget),
            decoded: AtomicU64::new(0),
            wanted: Mutex::default(),
            again: AtomicU64::new(0),
        }
    }

    /// Raises the budget to at least `bytes`: several streams over one table need all their windows.
    pub fn reserve(&self, bytes: u64) {
        self.budget.fetch_max(bytes, Ordering::Relaxed);
    }

    /// How many blocks were decoded so far; more than the blocks there are means some were decoded again.
    pub fn num_decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }

    /// How many of them were decoded before for the same window, and had to leave before it was finished.
    pub fn num_again(&self) -> u64 {
        self.again.load(Ordering::Relaxed)
    }

    /// Bytes held at present.
    pub fn num_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The block at `index`, decoded by `decode` where it is not at hand.
    pub fn get(&self, index: u64, decode: impl FnOnce() -> Result<Block>) -> Result<Arc<Block>> {
        let entry = self.entry(index);
        entry.last_used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut slot = entry.block.lock();
        if let Some(block) = &*slot {
            return Ok(Arc::clone(block));
        }
        let block = Arc::new(decode()?);
        self.decoded.fetch_add(1, Ordering::Relaxed);
        if !self.wanted.lock().insert(index) {
            self.again.fetch_add(1, Ordering::Relaxed);
        }
        let held = self.bytes.fetch_add(weight(&block), Ordering::Relaxed) + weight(&block);
        *slot = Some(Arc::clone(&block));
        drop(slot);
        if held > self.budget.load(Ordering::Relaxed) {
            self.evict(index);
        }
        Ok(block)
    }

    /// Forgets a block, where it is not being decoded.
    pub fn remove(&self, index: u64) {
        self.take_out(&mut self.entries.write(), index);
    }

    /// Notes that no window needs a block any more: it is the first to leave when another needs the room.
    pub fn done(&self, index: u64) {
        self.wanted.lock().remove(&index);
        if let Some(entry) = self.entries.read().get(&index) {
            entry.last_used.store(0, Ordering::Relaxed);
        }
    }

    fn entry(&self, index: u64) -> Arc<Entry> {
        if let Some(entry) = self.entries.read().get(&index) {
            return Arc::clone(entry);
        }
        Arc::clone(self.entries.write().entry(index).or_default())
    }

    /// Drops what was not used for longest: of many small blocks some at once, so that evictions are rare.
    fn evict(&self, keep: u64) {
        let mut entries = self.entries.write();
        let mut ages: Vec<(u64, u64)> =
            entries.iter().map(|(index, entry)| (entry.last_used.load(Ordering::Relaxed), *index)).collect();
        ages.sort_unstable();
        let budget = self.budget.load(Ordering::Relaxed);
        let target = if ages.len() > MANY_BLOCKS { budget / 64 * 63 } else { budget };
        for (_, index) in ages {
            if self.bytes.load(Ordering::Relaxed) <= target {
                break;
            }
            if index != keep {
                self.take_out(&mut entries, index);
            }
        }
    }

    /// Takes out a block whose entry no thread holds: what a thread decodes into an entry that the others no
    /// longer find would be counted for ever.
    fn take_out(&self, entries: &mut HashMap<u64, Arc<Entry>>, index: u64) {
        if entries.get(&index).is_none_or(|entry| Arc::strong_count(entry) > 1) {
            return;
        }
        let block = entries.remove(&index).and_then(|entry| entry.block.lock().take());
        self.bytes.fetch_sub(block.map_or(0, |block| weight(&block)), Ordering::Relaxed);
    }
}

fn weight(block: &Block) -> u64 {
    block.bytes as u64 + overhead(block.columns.len())
}

/// What a block of so many columns takes beside their data.
pub fn overhead(num_columns: usize) -> u64 {
    BLOCK_BYTES + num_columns as u64 * COLUMN_BYTES
}
