//! Chosen rows as a dataset of their own: blocks that the order can permute, and where their rows really lie.

use std::ops::Range;
use std::sync::Arc;

use super::chosen::Chosen;
use super::layout::{Layout, Place};
use crate::error::Result;

/// Rows of a block where the chosen rows lie too scattered to follow the blocks of the data.
const SCATTERED_ROWS: u64 = 1_000;

/// Rows that must stay together, on average, for the blocks of the data to be worth following.
const MIN_ROWS_TOGETHER: u64 = 16;

/// Some rows of a dataset in an order of their own; its row ids are places in that order.
///
/// Its blocks are a function of the rows and of the data's blocks alone. Where consecutive rows lie together, as a
/// filter leaves them, a block is what they take of one block of the data: reads stay local. Where they do not, as
/// after a shuffle, it is a run of 1,000 rows: no order could read them locally.
#[derive(Clone, Debug)]
pub struct Selection {
    data: Arc<Layout>,
    layout: Arc<Layout>,
    chosen: Chosen,
    is_local: bool,
}

impl Selection {
    /// Cuts `chosen`, rows of `data`, into blocks.
    pub fn try_new(data: Arc<Layout>, chosen: Chosen) -> Result<Self> {
        let most = data.num_blocks() as u64 + chosen.len() / MIN_ROWS_TOGETHER;
        let is_local = Pieces::new(&data, &chosen).take(most as usize + 1).count() as u64 <= most;
        let parts = if is_local { local_blocks(&data, &chosen) } else { scattered_blocks(&data, &chosen) };
        let layout = Layout::try_new(parts.rows, parts.bytes, parts.shards)?;
        Ok(Self { data, layout: Arc::new(layout), chosen, is_local })
    }

    /// Blocks and rows as the order sees them.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The chosen rows.
    pub fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// Where the row at a place of [`Selection::layout`] lies in the data.
    #[inline]
    pub fn locate(&self, place: Place) -> Place {
        self.data.locate(self.chosen.get(self.layout.row_id(place.block, place.row)))
    }

    /// The block of the data behind a block of [`Selection::layout`]; `None` where it is scattered over many.
    pub fn block(&self, block: u32) -> Option<u32> {
        self.is_local.then(|| self.locate(Place { block, row: 0 }).block)
    }
}

/// What a [`Layout`] is made of.
#[derive(Default)]
struct Parts {
    rows: Vec<u64>,
    bytes: Vec<u64>,
    shards: Vec<u32>,
}

impl Parts {
    fn push(&mut self, rows: u64, bytes: u64, begins_shard: bool) {
        if begins_shard {
            self.shards.push(self.rows.len() as u32);
        }
        self.rows.push(rows);
        self.bytes.push(bytes);
    }
}

fn local_blocks(data: &Layout, chosen: &Chosen) -> Parts {
    let (mut parts, mut shard) = (Parts::default(), None);
    for (block, rows) in Pieces::new(data, chosen) {
        let own = Some(data.shard_of(block));
        // The whole block is read for them, however few they are.
        parts.push(rows, u64::from(data.size_at(block).bytes), own != shard);
        shard = own;
    }
    parts
}

fn scattered_blocks(data: &Layout, chosen: &Chosen) -> Parts {
    let bytes: u64 = (0..data.num_blocks() as u32).map(|block| u64::from(data.size_at(block).bytes)).sum();
    let row_bytes = bytes / data.num_rows().max(1);
    let mut parts = Parts::default();
    for first in (0..chosen.len()).step_by(SCATTERED_ROWS as usize) {
        let rows = SCATTERED_ROWS.min(chosen.len() - first);
        parts.push(rows, rows * row_bytes, true);
    }
    parts
}

/// The chosen rows, cut where the block of the data changes: its index, and how many rows.
struct Pieces<'a, R> {
    data: &'a Layout,
    runs: R,
    /// What is left of a run.
    left: Range<u64>,
}

impl<'a> Pieces<'a, std::iter::Empty<Range<u64>>> {
    fn new(data: &'a Layout, chosen: &'a Chosen) -> Pieces<'a, impl Iterator<Item = Range<u64>> + use<'a>> {
        Pieces { data, runs: chosen.runs(), left: 0..0 }
    }
}

impl<R: Iterator<Item = Range<u64>>> Iterator for Pieces<'_, R> {
    type Item = (u32, u64);

    fn next(&mut self) -> Option<Self::Item> {
        self.fill()?;
        let block = self.data.locate(self.left.start).block;
        let first = self.data.row_id(block, 0);
        let own = first..first + u64::from(self.data.rows_at(block));
        // The same row may be chosen any number of times, but a block holds fewer than 2^32.
        let most = u64::from(self.data.rows_at(block)).max(SCATTERED_ROWS);
        let mut rows = 0;
        while own.contains(&self.left.start) && rows < most {
            let taken = (own.end.min(self.left.end) - self.left.start).min(most - rows);
            self.left.start += taken;
            rows += taken;
            if self.fill().is_none() {
                break;
            }
        }
        Some((block, rows))
    }
}

impl<R: Iterator<Item = Range<u64>>> Pieces<'_, R> {
    /// Goes on to the next run where this one is used up; `None` after the last.
    fn fill(&mut self) -> Option<()> {
        while self.left.is_empty() {
            self.left = self.runs.next()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: [u64; 6] = [30, 0, 50, 20, 40, 60];

    fn data() -> Arc<Layout> {
        let bytes = BLOCKS.iter().map(|rows| rows * 10).collect();
        Arc::new(Layout::try_new(BLOCKS.to_vec(), bytes, vec![0, 3, 3]).unwrap())
    }

    fn selection(rows: impl IntoIterator<Item = u64>) -> Selection {
        let mut chosen = Chosen::new(200);
        for row in rows {
            chosen.push_run(row..row + 1).unwrap();
        }
        Selection::try_new(data(), chosen).unwrap()
    }

    fn block_rows(selection: &Selection) -> Vec<u32> {
        (0..selection.layout.num_blocks() as u32).map(|block| selection.layout.rows_at(block)).collect()
    }

    #[test]
    fn every_place_leads_to_the_row_that_was_chosen() {
        let cases: [Vec<u64>; 6] = [
            (0..200).collect(),
            (0..200).filter(|row| row % 3 == 1).collect(),
            (0..200).rev().collect(),
            (0..200).map(|row| row * 77 % 200).collect(),
            [vec![5; 4000], (90..120).collect(), vec![0, 199, 0]].concat(),
            vec![],
        ];
        for rows in cases {
            let selection = selection(rows.clone());
            assert_eq!(selection.layout.num_rows(), rows.len() as u64);
            for (place, row) in rows.iter().enumerate() {
                let real = selection.locate(selection.layout.locate(place as u64));
                assert_eq!(real, selection.data.locate(*row));
            }
        }
    }

    #[test]
    fn rows_that_lie_together_follow_the_blocks_of_the_data() {
        let even = selection((0..200).filter(|row| row % 2 == 0));
        assert_eq!(block_rows(&even), [15, 25, 10, 20, 30]);
        let blocks: Vec<_> = (0..5).map(|block| even.block(block)).collect();
        assert_eq!(blocks, [Some(0), Some(2), Some(3), Some(4), Some(5)]);
        assert_eq!(even.layout.shard_blocks().collect::<Vec<_>>(), [0..2, 2..5]);
        assert_eq!(
            even.layout.size_at(0).bytes,
            300,
            "a block is read whole for the rows of it that are used"
        );
        let again = selection((100..200).chain(0..150));
        assert_eq!(block_rows(&again), [40, 60, 30, 50, 20, 40, 10]);
    }

    #[test]
    fn scattered_rows_come_in_runs() {
        let far = selection((0..2500).map(|row| row * 77 % 200));
        assert_eq!(block_rows(&far), [1000, 1000, 500]);
        assert!(far.block(0).is_none());
        assert_eq!(far.layout.size_at(0).bytes, 10_000);
        assert_eq!(far.layout.num_shards(), 3);
    }

    #[test]
    fn a_row_that_is_chosen_again_and_again_does_not_fill_one_block() {
        assert_eq!(block_rows(&selection(vec![7; 2500])), [1000, 1000, 500]);
    }
}
