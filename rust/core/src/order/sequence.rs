//! The blocks of one epoch in their order, consecutive ones grouped into windows.

use std::ops::Range;

use super::key::{Key, Level};
use super::layout::Layout;
use super::settings::{Mode, OrderSettings};

/// Sizes fetched at once: a loop that does nothing else waits for many cache misses together.
const GATHERED: usize = 1_024;

/// Part of a window: a block of the dataset, and its rows that belong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowBlock {
    /// The block's index in the whole dataset.
    pub block: u32,
    /// Its rows in the window: all of them, unless the layout is clipped inside the block.
    pub rows: Range<u32>,
}

/// A window as one lane meets it: what must be in memory to read these elements of the lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowSpan {
    /// The window's number in the epoch's sequence.
    pub window: u64,
    /// The elements of the sequence that the window holds, also those of a neighbouring lane.
    pub sequence: Range<u64>,
    /// The elements of this lane among them.
    pub elements: Range<u64>,
    /// The blocks of the window, in the order in which they were permuted.
    pub blocks: Vec<WindowBlock>,
}

/// Permuted blocks, grouped into windows. Without rows to permute each block is a window.
#[derive(Debug)]
pub(super) struct BlockSequence {
    /// Indices into the layout; empty blocks are left out, so that they change no order.
    blocks: Vec<u32>,
    /// First of `blocks` of each window, and their number at the end.
    first_slot: Vec<u32>,
    /// First element of the sequence of each window, and their number at the end.
    start: Vec<u64>,
}

impl BlockSequence {
    pub(super) fn new(layout: &Layout, settings: &OrderSettings, epoch: u64) -> Self {
        let key = |level| Key::new(settings.seed, settings.keyed_epoch(epoch), level, 0);
        match settings.mode {
            Mode::Shard => Self::group(layout, shuffled_shards(layout, key(Level::Shards)), 0),
            Mode::Window => {
                let mut blocks = filled_blocks(layout);
                key(Level::Blocks).stream().shuffle(&mut blocks);
                Self::group(layout, blocks, settings.window_bytes)
            }
            Mode::None | Mode::Row => Self::group(layout, filled_blocks(layout), 0),
        }
    }

    /// Fills windows up to a budget; a block larger than that stands alone.
    fn group(layout: &Layout, blocks: Vec<u32>, budget: u64) -> Self {
        // Below the largest size there is, so that a block whose size is not known stands alone.
        let budget = budget.min(u64::from(u32::MAX) - 1);
        let mut first_slot = Vec::with_capacity(blocks.len() + 1);
        let mut start = Vec::with_capacity(blocks.len() + 1);
        let (mut slot, mut sequence, mut bytes) = (0, 0, 0);
        let mut sizes = Vec::with_capacity(GATHERED);
        for some in blocks.chunks(GATHERED) {
            sizes.clear();
            sizes.extend(some.iter().map(|&block| layout.size_at(block)));
            for size in &sizes {
                bytes += u64::from(size.bytes);
                if slot == 0 || budget == 0 || bytes > budget {
                    first_slot.push(slot);
                    start.push(sequence);
                    bytes = u64::from(size.bytes);
                }
                sequence += u64::from(size.rows);
                slot += 1;
            }
        }
        first_slot.push(slot);
        start.push(sequence);
        Self { blocks, first_slot, start }
    }

    /// The window that holds an element of the sequence.
    pub(super) fn window_of(&self, sequence: u64) -> usize {
        self.start.partition_point(|&start| start <= sequence) - 1
    }

    /// The elements of a window.
    pub(super) fn span(&self, window: usize) -> Range<u64> {
        self.start[window]..self.start[window + 1]
    }

    /// The blocks of a window, as indices into the layout.
    pub(super) fn blocks_of(&self, window: usize) -> &[u32] {
        &self.blocks[self.first_slot[window] as usize..self.first_slot[window + 1] as usize]
    }
}

fn filled_blocks(layout: &Layout) -> Vec<u32> {
    (0..layout.num_blocks() as u32).filter(|&block| layout.rows_at(block) > 0).collect()
}

fn shuffled_shards(layout: &Layout, key: Key) -> Vec<u32> {
    let is_filled = |&block: &u32| layout.rows_at(block) > 0;
    let mut shards: Vec<Range<u32>> =
        layout.shard_blocks().filter(|blocks| blocks.clone().any(|block| is_filled(&block))).collect();
    key.stream().shuffle(&mut shards);
    let mut blocks = Vec::with_capacity(layout.num_blocks());
    for shard in shards {
        blocks.extend(shard.filter(is_filled));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(bytes: &[u64], budget: u64) -> Vec<usize> {
        let layout = Layout::try_new(vec![1; bytes.len()], bytes.to_vec(), vec![0]).unwrap();
        let sequence = BlockSequence::group(&layout, filled_blocks(&layout), budget);
        (0..sequence.start.len() - 1).map(|window| sequence.blocks_of(window).len()).collect()
    }

    #[test]
    fn windows_fill_up_to_the_budget_and_large_blocks_stand_alone() {
        assert_eq!(windows(&[4, 4, 4, 4], 8), [2, 2]);
        assert_eq!(windows(&[4, 4, 4, 4], 11), [2, 2]);
        assert_eq!(windows(&[9, 1, 9, 1, 1], 8), [1, 1, 1, 2]);
        assert_eq!(windows(&[1, 9, 1], 0), [1, 1, 1]);
        assert_eq!(windows(&[u64::MAX, 1, 1, 1 << 33], u64::MAX), [1, 2, 1]);
        assert_eq!(windows(&[0, 0, 0], 1), [3]);
        assert_eq!(windows(&[], 8), [0_usize; 0]);
    }
}
