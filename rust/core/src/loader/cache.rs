//! Decoded blocks, each decoded once while it is needed, bounded by bytes.
//!
//! The budget is made of what the index says that blocks take, which is a guess where a file does not tell: texts
//! behind a dictionary may take ten times as much. Rows of all open windows come in turns, so that with one block
//! too few every row would have its block decoded anew. Hence blocks that an open window needs stay, what they really
//! take is counted, and all others leave first; only beyond a bound of its own the newest are not kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
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
    entries: RwLock<HashMap<u64, Arc<Entry>, RandomState>>,
    clock: AtomicU64,
    bytes: AtomicU64,
    budget: AtomicU64,
    /// What blocks that are needed may take where they take more than the budget.
    bound: u64,
    decoded: AtomicU64,
    /// How many open windows need each block.
    needed: Mutex<HashMap<u64, u32>>,
    /// Blocks that were decoded for a window that is not finished.
    wanted: Mutex<HashSet<u64>>,
    again: AtomicU64,
}

impl BlockCache {
    /// A cache that evicts what was not used for longest once it holds more than `budget` bytes; what open windows
    /// need stays until that takes more than `bound` bytes, and twice the budget.
    pub fn new(budget: u64, bound: u64) -> Self {
        Self {
            entries: RwLock::default(),
            clock: AtomicU64::new(1),
            bytes: AtomicU64::new(0),
            budget: AtomicU64::new(budget),
            bound,
            decoded: AtomicU64::new(0),
            needed: Mutex::default(),
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
        drop(entry);
        if held > self.budget.load(Ordering::Relaxed) {
            self.evict(index);
        }
        Ok(block)
    }

    /// Whether a block is at hand, or being decoded.
    pub fn contains(&self, index: u64) -> bool {
        self.entries.read().contains_key(&index)
    }

    /// Forgets a block, where it is not being decoded and no window needs it.
    pub fn remove(&self, index: u64) {
        if !self.needed.lock().contains_key(&index) {
            self.take_out(&mut self.entries.write(), index);
        }
    }

    /// Notes that a window needs a block until [`BlockCache::done`] is said of it as often.
    pub fn need(&self, index: u64) {
        *self.needed.lock().entry(index).or_default() += 1;
    }

    /// Notes that a window needs a block no more: without another, it leaves before any that is needed. Not at once:
    /// other threads may still be at rows of the window's end.
    pub fn done(&self, index: u64) {
        let mut needed = self.needed.lock();
        if let Some(windows) = needed.get_mut(&index) {
            *windows -= 1;
            if *windows > 0 {
                return;
            }
            needed.remove(&index);
        }
        drop(needed);
        self.wanted.lock().remove(&index);
    }

    fn entry(&self, index: u64) -> Arc<Entry> {
        if let Some(entry) = self.entries.read().get(&index) {
            return Arc::clone(entry);
        }
        Arc::clone(self.entries.write().entry(index).or_default())
    }

    /// Drops what was not used for longest: of many small blocks some at once, so that evictions are rare.
    fn evict(&self, newest: u64) {
        let mut entries = self.entries.write();
        let needed = self.needed.lock();
        let age = |entry: &Entry| entry.last_used.load(Ordering::Relaxed);
        let is_free = |index: &u64| *index != newest && !needed.contains_key(index);
        let free = entries.iter().filter(|(index, _)| is_free(index));
        let mut ages: Vec<(u64, u64)> = free.map(|(index, entry)| (age(entry), *index)).collect();
        ages.sort_unstable();
        let budget = self.budget.load(Ordering::Relaxed);
        let target = if ages.len() > MANY_BLOCKS { budget / 64 * 63 } else { budget };
        for (_, index) in ages {
            if self.num_bytes() <= target {
                return;
            }
            self.take_out(&mut entries, index);
        }
        // The first stay and are used to their end: the newest ones would drive each other out in turns.
        let bound = self.bound.max(budget.saturating_mul(2));
        if self.num_bytes() > bound && needed.contains_key(&newest) && entries.len() > 1 {
            self.take_out(&mut entries, newest);
        }
    }

    /// Takes out a block whose entry no thread holds: what a thread decodes into an entry that the others no
    /// longer find would be counted for ever.
    fn take_out(&self, entries: &mut HashMap<u64, Arc<Entry>, RandomState>, index: u64) {
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
