//! Blocks that hold no row a filter keeps, as the statistics of their row groups tell: they are not read.
//!
//! Which they are is found a shard at a time, by whoever understands the filter. Their rows keep their places in
//! the order, so that a lane is as long, and its cursor the same, as without.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::epochs::{EpochReaders, Epochs};
use super::lanes::Chunk;
use super::table::Table;
use crate::error::Result;

/// What is known of each shard's blocks.
#[derive(Debug)]
pub struct Pruned {
    /// Of each shard, whether its blocks hold nothing; empty where all are read.
    shards: Vec<OnceLock<Vec<bool>>>,
    num_blocks: AtomicU64,
    /// Whether there is a filter that looks at shards at all.
    is_used: AtomicBool,
}

impl Pruned {
    /// Nothing is known yet of so many shards.
    pub fn new(num_shards: usize) -> Self {
        Self {
            shards: (0..num_shards).map(|_| OnceLock::new()).collect(),
            num_blocks: AtomicU64::new(0),
            is_used: AtomicBool::new(false),
        }
    }

    /// Shards with rows in `chunk` of which nothing is known yet.
    pub fn unknown(&self, table: &Table, epochs: &Epochs, chunk: Chunk) -> Vec<usize> {
        self.is_used.store(true, Ordering::Relaxed);
        let mut readers = EpochReaders::default();
        let mut found = Vec::new();
        let mut add = |block: u32| {
            // Of rows chosen here and there nothing is told block by block.
            let Some((shard, _)) = table.shard_of(block) else { return };
            if self.shards.get(shard).is_some_and(|known| known.get().is_none()) && !found.contains(&shard) {
                found.push(shard);
            }
        };
        let end = chunk.start + chunk.len;
        let mut element = chunk.start;
        while element < end {
            let spot = epochs.spot(chunk.epoch, chunk.lane, element);
            match epochs.window_at(&spot) {
                // In a mix the next element may be another source's.
                Some(span) if epochs.draws().is_none() => {
                    span.blocks.iter().for_each(|block| add(block.block));
                    element = span.elements.end.max(element + 1);
                }
                // Rows of one permutation over everything lie anywhere.
                _ => {
                    add(readers.locate(epochs, &spot).block);
                    element += 1;
                }
            }
        }
        found
    }

    /// Notes that of a shard only these row groups hold what the filter keeps.
    pub fn keep(&self, table: &Table, shard: usize, row_groups: &[u64]) -> Result<()> {
        let blocks = table.row_groups_of(shard)?;
        let is_empty: Vec<bool> = blocks.iter().map(|group| !row_groups.contains(group)).collect();
        let num_blocks = is_empty.iter().filter(|is_empty| **is_empty).count();
        if self.shards.get(shard).is_some_and(|known| known.set(is_empty).is_ok()) {
            self.num_blocks.fetch_add(num_blocks as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Notes that all blocks of a shard are read.
    pub fn keep_all(&self, shard: usize) {
        if let Some(known) = self.shards.get(shard) {
            let _ = known.set(Vec::new());
        }
    }

    /// Whether a block holds nothing that the filter keeps.
    pub fn contains(&self, table: &Table, block: u32) -> bool {
        // Without a filter that looks at shards this is asked of every row.
        if self.num_blocks() == 0 {
            return false;
        }
        let Some((shard, at)) = table.shard_of(block) else { return false };
        let known = self.shards.get(shard).and_then(OnceLock::get);
        known.and_then(|is_empty| is_empty.get(at)).copied().unwrap_or(false)
    }

    /// Whether a block will be read, as far as is known: of shards that are still to be looked at none.
    pub fn may_read(&self, table: &Table, block: u32) -> bool {
        let is_known = table
            .shard_of(block)
            .is_none_or(|(shard, _)| self.shards.get(shard).is_some_and(|known| known.get().is_some()));
        (is_known || !self.is_used.load(Ordering::Relaxed)) && !self.contains(table, block)
    }

    /// Blocks that are not read, of the shards that are known.
    pub fn num_blocks(&self) -> u64 {
        self.num_blocks.load(Ordering::Relaxed)
    }
}
