//! Which rows an item holds: their numbers in the stream and their ids, as receipts tell of them.

use super::length_groups::length_at;
use super::receipt::Receipt;
use crate::assemble::RowSet;
use crate::text::pack::Segment;

/// The number of a row that stands in an item only to fill it up.
const PADDING: u64 = u64::MAX;

/// The rows of a [`RowSet`], one each: (number in the stream, row id).
#[derive(Clone, Default)]
pub struct Delivered(Vec<(u64, u64)>);

impl Delivered {
    /// Adds a row.
    #[inline]
    pub fn push(&mut self, number: u64, row_id: u64) {
        self.0.push((number, row_id));
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The id of the row at `index`.
    pub fn row_id(&self, index: usize) -> u64 {
        self.0[index].1
    }

    /// The rows from `index` on were delivered before, and are there once more to fill the item up.
    pub fn pads_from(&mut self, index: usize) {
        self.0.iter_mut().skip(index).for_each(|(number, _)| *number = PADDING);
    }

    /// Takes the newest rows off again, down to this number.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Leaves out what [`RowSet::without_damaged`] does.
    pub fn leave_out_damaged(&mut self, rows: &RowSet) {
        let mut index = 0;
        self.0.retain(|_| {
            index += 1;
            !rows.is_damaged(index - 1)
        });
    }

    /// The receipt of each row; `tokens` are the numbers of tokens made of each, where any are.
    pub fn receipts(&self, seed: u64, first_epoch: u64, tokens: &[u64]) -> impl Iterator<Item = Receipt> {
        self.0.iter().enumerate().map(move |(index, &(number, row_id))| {
            if number == PADDING {
                return Receipt::default();
            }
            let len = tokens.get(index).map_or(0, |tokens| *tokens as usize);
            Receipt::of_row(seed, first_epoch, number, Segment { row_id, offset: 0, len })
        })
    }
}

/// How many tokens have been made of each row; they are the first column.
pub fn token_counts(rows: &RowSet) -> Vec<u64> {
    (0..rows.len()).map(|index| length_at(rows.cell(0, index))).collect()
}
