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
    budget: Budget,
    marks: Vec<Mark>,
}

/// A window that is known without counting from the first. New memory is what a new epoch costs most,
/// so only some are kept and the few between them are counted again.
#[derive(Debug)]
struct Mark {
    start: u64,
    window: u32,
    slot: u32,
}

/// At least so many blocks lie between two marks.
const MARKED: u32 = 64;

/// One of the windows.
pub(super) struct Found<'a> {
    pub(super) window: u64,
    /// Its elements of the sequence.
    pub(super) span: Range<u64>,
    /// Its blocks, as indices into the layout.
    pub(super) blocks: &'a [u32],
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
    fn group(layout: &Layout, blocks: Vec<u32>, window_bytes: u64) -> Self {
        let budget = Budget::new(window_bytes);
        let mut filling = budget;
        let mut marks = Vec::new();
        let (mut slot, mut sequence, mut window, mut next_mark) = (0, 0, 0, 0);
        let mut sizes = Vec::with_capacity(GATHERED);
        for some in blocks.chunks(GATHERED) {
            sizes.clear();
            sizes.extend(some.iter().map(|&block| layout.size_at(block)));
            for size in &sizes {
                if filling.begins_window(size.bytes) {
                    if slot >= next_mark {
                        marks.push(Mark { start: sequence, window, slot });
                        next_mark = slot + MARKED;
                    }
                    window += 1;
                }
                sequence += u64::from(size.rows);
                slot += 1;
            }
        }
        Self { blocks, budget, marks }
    }

    /// The window that holds an element of the sequence, which there must be.
    pub(super) fn window_of(&self, layout: &Layout, sequence: u64) -> Found<'_> {
        let mark = &self.marks[self.marks.partition_point(|mark| mark.start <= sequence) - 1];
        let marked = mark.slot as usize;
        let (mut window, mut first) = (u64::from(mark.window), marked);
        let (mut start, mut end) = (mark.start, mark.start);
        let mut filling = self.budget;
        for slot in marked..self.blocks.len() {
            let size = layout.size_at(self.blocks[slot]);
            if filling.begins_window(size.bytes) && slot > marked {
                if end > sequence {
                    return Found { window, span: start..end, blocks: &self.blocks[first..slot] };
                }
                (window, first, start) = (window + 1, slot, end);
            }
            end += u64::from(size.rows);
        }
        Found { window, span: start..end, blocks: &self.blocks[first..] }
    }
}

/// How full the window is that is being filled.
#[derive(Clone, Copy, Debug)]
struct Budget {
    limit: u64,
    /// Bytes in the window; none before the first block.
    used: Option<u64>,
}

impl Budget {
    fn new(window_bytes: u64) -> Self {
        // Below the largest size there is, so that a block whose size is not known stands alone.
        Self { limit: window_bytes.min(u64::from(u32::MAX) - 1), used: None }
    }

    /// Takes the next block, and says whether a new window begins with it.
    #[inline]
    fn begins_window(&mut self, bytes: u32) -> bool {
        let bytes = u64::from(bytes);
        match self.used {
            Some(used) if self.limit > 0 && used + bytes <= self.limit => {
                self.used = Some(used + bytes);
                false
            }
            _ => {
                self.used = Some(bytes);
                true
            }
        }
    }
}

fn filled_blocks(layout: &Layout) -> Vec<u32> {
    let mut blocks = Vec::with_capacity(layout.num_blocks());
    blocks.extend((0..layout.num_blocks() as u32).filter(|&block| layout.rows_at(block) > 0));
    blocks
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
        let mut sizes = vec![0; bytes.len()];
        for element in 0..bytes.len() as u64 {
            let found = sequence.window_of(&layout, element);
            assert!(
                found.span.contains(&element)
                    && found.span.end - found.span.start == found.blocks.len() as u64
            );
            sizes[found.window as usize] = found.blocks.len();
        }
        sizes.retain(|&size| size > 0);
        sizes
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
        assert_eq!(windows(&[4; 500], 12), [vec![3; 166], vec![2]].concat(), "windows between marks");
        assert_eq!(windows(&[4; 500], 0), [1; 500]);
        assert_eq!(windows(&[1; 500], 200), [200, 200, 100], "windows longer than the marks are apart");
    }
}
