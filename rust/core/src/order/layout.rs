//! What the order knows of the data: rows and bytes of each block, and where shards begin.

use std::ops::Range;

use crate::error::{Error, Result};

/// Where a row lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The block's index in the whole dataset.
    pub block: u32,
    /// The row's index in that block.
    pub row: u32,
}

/// Rows and bytes of the blocks of a dataset, or of a range of its rows.
///
/// ```
/// use rowmill_core::order::{Layout, Place};
///
/// let layout = Layout::try_new(vec![3, 0, 2], vec![30, 0, 20], vec![0, 2])?;
/// assert_eq!(layout.locate(4), Place { block: 2, row: 1 });
/// assert_eq!(layout.clipped(1..4).num_rows(), 3);
/// # Ok::<(), rowmill_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    blocks: Vec<BlockSize>,
    /// Row id of each block's first row, and one past the last row at the end.
    first_row: Vec<u64>,
    /// First block of each shard, as an index of the whole dataset.
    shard_first_block: Vec<u32>,
    /// What stands at index 0 here is this block of the dataset ...
    first_block: u32,
    /// ... without its first rows, where a range starts inside it.
    rows_skipped: u32,
    guide: Guide,
}

/// Eight bytes, because an epoch reads all of them at random places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockSize {
    /// Of the whole block, even where it is clipped: it is still read whole. The largest number stands
    /// for all that are larger.
    pub(super) bytes: u32,
    pub(super) rows: u32,
}

impl Layout {
    /// The layout of a dataset: rows and bytes of each block, and the first block of each shard.
    pub fn try_new(block_rows: Vec<u64>, block_bytes: Vec<u64>, shard_first_block: Vec<u32>) -> Result<Self> {
        check_lengths(&block_rows, &block_bytes)?;
        check_shards(&shard_first_block, block_rows.len())?;
        let mut blocks = Vec::with_capacity(block_rows.len());
        for (index, (rows, bytes)) in block_rows.into_iter().zip(block_bytes).enumerate() {
            let rows = u32::try_from(rows).map_err(|_| {
                invalid(&format!("block {index} has {rows} rows; a block holds fewer than 2^32"))
            })?;
            blocks.push(BlockSize { bytes: u32::try_from(bytes).unwrap_or(u32::MAX), rows });
        }
        Ok(Self::assemble(blocks, 0, shard_first_block, 0, 0))
    }

    /// The same data cut to a range of row ids; rows and blocks keep the ids they have in the dataset.
    #[must_use]
    pub fn clipped(&self, rows: Range<u64>) -> Self {
        let own = self.row_ids();
        let start = rows.start.clamp(own.start, own.end);
        let end = rows.end.clamp(start, own.end);
        let shards = self.shard_first_block.clone();
        if start == end {
            return Self::assemble(Vec::new(), start, shards, self.first_block, 0);
        }
        let (first, last) = (self.index_of(start), self.index_of(end - 1));
        let mut blocks = self.blocks[first..=last].to_vec();
        let skipped = (start - self.first_row[first]) as u32;
        blocks[last - first].rows -= (self.first_row[last + 1] - end) as u32;
        blocks[0].rows -= skipped;
        let skipped = if first == 0 { self.rows_skipped + skipped } else { skipped };
        Self::assemble(blocks, start, shards, self.first_block + first as u32, skipped)
    }

    fn assemble(
        blocks: Vec<BlockSize>,
        base_row: u64,
        shard_first_block: Vec<u32>,
        first_block: u32,
        rows_skipped: u32,
    ) -> Self {
        let mut first_row = Vec::with_capacity(blocks.len() + 1);
        let mut next = base_row;
        first_row.push(next);
        // 2^32 blocks of 2^32 rows at most: `check_lengths` keeps the sum below 2^63.
        first_row.extend(blocks.iter().map(|block| {
            next += u64::from(block.rows);
            next
        }));
        let guide = Guide::new(&first_row);
        Self { blocks, first_row, shard_first_block, first_block, rows_skipped, guide }
    }

    /// How many rows there are.
    pub fn num_rows(&self) -> u64 {
        let own = self.row_ids();
        own.end - own.start
    }

    /// The ids of these rows.
    pub fn row_ids(&self) -> Range<u64> {
        self.first_row[0]..self.first_row[self.blocks.len()]
    }

    /// How many blocks there are, empty ones included.
    pub fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// How many shards the whole dataset has.
    pub fn num_shards(&self) -> usize {
        self.shard_first_block.len()
    }

    /// Where a row lies; the row id must be one of [`Layout::row_ids`].
    #[inline]
    pub fn locate(&self, row_id: u64) -> Place {
        let index = self.index_of(row_id);
        self.place(index, (row_id - self.first_row[index]) as u32)
    }

    /// The id of a row of a block of the dataset; the block must be one of these.
    #[inline]
    pub fn row_id(&self, block: u32, row: u32) -> u64 {
        let index = (block - self.first_block) as usize;
        let skipped = if index == 0 { self.rows_skipped } else { 0 };
        self.first_row[index] + u64::from(row - skipped)
    }

    /// The shard of a block of the dataset.
    pub fn shard_of(&self, block: u32) -> u32 {
        self.shard_first_block.partition_point(|&first| first <= block).saturating_sub(1) as u32
    }

    /// Rows of the `index`-th block here.
    pub fn block_rows(&self, index: u32) -> u64 {
        u64::from(self.size_at(index).rows)
    }

    /// Bytes of the `index`-th block here, as far as they are known; 4 GiB stands for all that are larger.
    pub fn block_bytes(&self, index: u32) -> u64 {
        u64::from(self.size_at(index).bytes)
    }

    /// Rows and bytes of the `index`-th block here.
    #[inline]
    pub(super) fn size_at(&self, index: u32) -> BlockSize {
        self.blocks[index as usize]
    }

    /// The rows of the `index`-th block here.
    #[inline]
    pub(super) fn rows_at(&self, index: u32) -> u32 {
        self.blocks[index as usize].rows
    }

    /// The place of a row of the `index`-th block here.
    #[inline]
    pub(super) fn place(&self, index: usize, row: u32) -> Place {
        let skipped = if index == 0 { self.rows_skipped } else { 0 };
        Place { block: self.first_block + index as u32, row: row + skipped }
    }

    /// The blocks here of each shard, as indices here.
    pub(super) fn shard_blocks(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        let here = |block: u32| block.saturating_sub(self.first_block).min(self.blocks.len() as u32);
        let ends = self.shard_first_block.iter().skip(1).copied().chain([u32::MAX]);
        self.shard_first_block.iter().zip(ends).map(move |(&first, end)| here(first)..here(end))
    }

    #[inline]
    fn index_of(&self, row_id: u64) -> usize {
        let own = self.row_ids();
        assert!(own.contains(&row_id), "row {row_id} is not one of {own:?}");
        let cell = self.guide.blocks_near(row_id - own.start);
        // Of several blocks that start at this row only the last has rows.
        let offset = self.first_row[cell.start..cell.end].partition_point(|&first| first <= row_id);
        cell.start + offset - 1
    }
}

/// For each run of 2^`shift` rows the block that holds its first: a search among few blocks, not all.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Guide {
    shift: u32,
    block_at: Vec<u32>,
}

impl Guide {
    fn new(first_row: &[u64]) -> Self {
        let num_blocks = first_row.len() as u64 - 1;
        let num_rows = first_row[first_row.len() - 1] - first_row[0];
        // About one cell a block, however rows are spread.
        let shift = (num_rows / num_blocks.max(1)).max(1).ilog2();
        let cells = (num_rows >> shift) + 1;
        let mut block_at = Vec::with_capacity(cells as usize + 1);
        let mut block = 0;
        for cell in 0..cells {
            let row = first_row[0] + (cell << shift);
            while block + 1 < num_blocks && first_row[block as usize + 1] <= row {
                block += 1;
            }
            block_at.push(block as u32);
        }
        block_at.push(num_blocks as u32);
        Self { shift, block_at }
    }

    /// Blocks among which the one of `offset` rows from the start is; the end is exclusive.
    #[inline]
    fn blocks_near(&self, offset: u64) -> Range<usize> {
        let cell = (offset >> self.shift) as usize;
        let last = self.block_at.len() - 1;
        self.block_at[cell] as usize..self.block_at[(cell + 1).min(last)] as usize + 1
    }
}

fn check_lengths(block_rows: &[u64], block_bytes: &[u64]) -> Result<()> {
    if block_rows.len() != block_bytes.len() {
        let (rows, bytes) = (block_rows.len(), block_bytes.len());
        return Err(invalid(&format!("{rows} blocks have rows but {bytes} have bytes")));
    }
    if u32::try_from(block_rows.len()).is_err() {
        return Err(invalid(&format!("{} blocks are more than 2^32 - 1", block_rows.len())));
    }
    let total = block_rows.iter().try_fold(0_u64, |sum, &rows| sum.checked_add(rows));
    if total.is_none_or(|total| total >= 1 << 63) {
        return Err(invalid("the blocks hold 2^63 rows or more"));
    }
    Ok(())
}

fn check_shards(shard_first_block: &[u32], num_blocks: usize) -> Result<()> {
    if num_blocks > 0 && shard_first_block.first() != Some(&0) {
        return Err(invalid("the first shard must begin at block 0"));
    }
    if !shard_first_block.is_sorted()
        || shard_first_block.last().is_some_and(|&last| last as usize > num_blocks)
    {
        return Err(invalid(&format!("shards must begin in ascending order within {num_blocks} blocks")));
    }
    Ok(())
}

fn invalid(message: &str) -> Error {
    Error::InvalidArgument(format!("layout: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(rows: &[u64]) -> Layout {
        Layout::try_new(rows.to_vec(), rows.to_vec(), vec![0]).unwrap()
    }

    #[test]
    fn every_row_is_found_and_found_back() {
        for rows in
            [vec![3, 0, 0, 2], vec![0, 0, 5, 0], vec![1; 40], vec![1000, 1, 1, 1, 0, 700], vec![0, 1, 9000]]
        {
            let layout = layout(&rows);
            let mut expected = Vec::new();
            for (block, &count) in rows.iter().enumerate() {
                expected.extend((0..count as u32).map(|row| Place { block: block as u32, row }));
            }
            for (row_id, &place) in expected.iter().enumerate() {
                assert_eq!(layout.locate(row_id as u64), place);
                assert_eq!(layout.row_id(place.block, place.row), row_id as u64);
            }
        }
    }

    #[test]
    fn a_clipped_layout_keeps_the_ids_of_the_dataset() {
        let whole = layout(&[3, 0, 4, 2, 0, 5]);
        for start in 0..=15 {
            for end in 0..=15 {
                let clipped = whole.clipped(start..end);
                let rows = start.min(14)..end.min(14).max(start.min(14));
                assert_eq!(clipped.row_ids(), rows);
                for row_id in rows {
                    let place = clipped.locate(row_id);
                    assert_eq!(place, whole.locate(row_id));
                    assert_eq!(clipped.row_id(place.block, place.row), row_id);
                }
            }
        }
        assert_eq!(whole.clipped(1..13).clipped(2..4).locate(2), Place { block: 0, row: 2 });
        assert_eq!(whole.clipped(1..13).clipped(0..99), whole.clipped(1..13));
    }

    #[test]
    fn shards_of_a_clipped_layout_hold_its_blocks_only() {
        let whole = Layout::try_new(vec![2; 6], vec![1; 6], vec![0, 2, 2, 5]).unwrap();
        assert_eq!(whole.shard_blocks().collect::<Vec<_>>(), [0..2, 2..2, 2..5, 5..6]);
        assert_eq!(whole.clipped(3..9).shard_blocks().collect::<Vec<_>>(), [0..1, 1..1, 1..4, 4..4]);
        assert_eq!((0..6).map(|block| whole.shard_of(block)).collect::<Vec<_>>(), [0, 0, 2, 2, 2, 3]);
    }

    #[test]
    fn what_cannot_be_a_layout_is_refused() {
        let refused = |rows: Vec<u64>, bytes: usize, shards: Vec<u32>, word: &str| {
            let error = Layout::try_new(rows, vec![1; bytes], shards).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(vec![1, 2], 1, vec![0], "have bytes");
        refused(vec![1 << 32], 1, vec![0], "block 0");
        refused(vec![u64::MAX, 1], 2, vec![0], "2^63");
        refused(vec![1], 1, vec![], "block 0");
        refused(vec![1, 1], 2, vec![0, 3], "ascending");
        refused(vec![1, 1], 2, vec![0, 2, 1], "ascending");
        assert_eq!(Layout::try_new(vec![], vec![], vec![]).unwrap().num_rows(), 0);
    }
}
