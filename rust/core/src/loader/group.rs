//! What one job makes: some consecutive items of a consumer, handed over together.

use std::collections::VecDeque;
use std::sync::Arc;

use super::delivered::Delivered;
use super::receipt::Receipt;
use crate::assemble::{Batch, RowSet};
use crate::error::{Error, Result};
use crate::prefetch::Weigh;

/// What a row reference is taken to weigh; its data belongs to the block cache.
const ROW_BYTES: usize = 64;

/// Something that stands where a row should be.
pub enum Gap {
    /// The row was left out for damage.
    Skipped,
    /// The row cannot be read.
    Failed(Error),
}

/// One item as a job made it.
pub struct Made<T> {
    /// The item, or the error in its place.
    pub item: Result<T>,
    /// Rows of it that were left out for damage.
    pub skipped: u64,
    /// What it says of the others.
    pub receipt: Receipt,
}

impl<T> Made<T> {
    /// An item, or what stands in its place, without a row to tell of.
    fn without_rows(item: Result<T>, skipped: u64) -> Self {
        Self { item, skipped, receipt: Receipt::default() }
    }
}

/// Consecutive items.
pub enum Group {
    /// One item a row; a gap `(n, ..)` stands before the n-th row that is there.
    Rows {
        /// The rows.
        rows: Arc<RowSet>,
        /// What is missing between them, in order.
        gaps: VecDeque<(usize, Gap)>,
        /// What each says of itself.
        receipts: Vec<Receipt>,
    },
    /// One item a batch; `None` where every row of it was left out.
    Batches(VecDeque<Made<Option<Batch>>>),
    /// One item a batch of rows that the consumer converts; may be empty for the same reason.
    RowSets(VecDeque<Made<RowSet>>),
}

impl Weigh for Group {
    fn weight(&self) -> usize {
        match self {
            Self::Rows { rows, receipts, .. } => weight(rows) + size_of_val(&receipts[..]),
            Self::Batches(batches) => {
                let made = batches.iter().filter_map(|batch| batch.item.as_ref().ok()?.as_ref());
                made.map(|batch| batch.held_bytes() + weight(&batch.rows)).sum()
            }
            Self::RowSets(sets) => sets.iter().filter_map(|rows| rows.item.as_ref().ok()).map(weight).sum(),
        }
    }
}

fn weight(rows: &RowSet) -> usize {
    rows.len() * ROW_BYTES + rows.gathered_bytes()
}

/// One item, as the consumer takes it.
pub enum Step {
    /// A row: the rows it is among, and which of them it is.
    Row(Arc<RowSet>, usize),
    /// A batch of tensors.
    Batch(Batch),
    /// A batch of rows.
    Rows(RowSet),
}

/// Takes a group apart, item by item.
pub struct Unpacker {
    group: Group,
    next_row: usize,
}

impl Unpacker {
    /// Starts at the group's first item.
    pub fn new(group: Group) -> Self {
        Self { group, next_row: 0 }
    }

    /// The next item: `None` after the last, one without a step was left out whole.
    pub fn next_item(&mut self) -> Option<Made<Option<Step>>> {
        match &mut self.group {
            Group::Rows { rows, gaps, receipts } => {
                if gaps.front().is_some_and(|(before, _)| *before == self.next_row) {
                    return gaps.pop_front().map(|(_, gap)| match gap {
                        Gap::Skipped => Made::without_rows(Ok(None), 1),
                        Gap::Failed(error) => Made::without_rows(Err(error), 0),
                    });
                }
                let row = self.next_row;
                self.next_row += 1;
                let receipt = *receipts.get(row)?;
                Some(Made { item: Ok(Some(Step::Row(Arc::clone(rows), row))), skipped: 0, receipt })
            }
            Group::Batches(batches) => batches.pop_front().map(|Made { item, skipped, receipt }| Made {
                item: item.map(|batch| batch.map(Step::Batch)),
                skipped,
                receipt,
            }),
            Group::RowSets(sets) => sets.pop_front().map(|Made { item, skipped, receipt }| Made {
                item: item.map(|rows| (!rows.is_empty()).then_some(Step::Rows(rows))),
                skipped,
                receipt,
            }),
        }
    }
}

/// A group in whose place stands an error.
pub(super) fn failed(error: Error) -> Group {
    let gaps = std::iter::once((0, Gap::Failed(error))).collect();
    Group::Rows { rows: Arc::default(), gaps, receipts: Vec::new() }
}

/// The rows whose files can still be read, with gaps where the others were, and how many those are.
pub(super) fn leave_out_damaged(
    rows: &RowSet,
    mut gaps: VecDeque<(usize, Gap)>,
    ids: &mut Delivered,
) -> (RowSet, VecDeque<(usize, Gap)>, u64) {
    let (sound, lost) = rows.without_damaged();
    ids.leave_out_damaged(rows);
    let (mut before, mut gaps_now) = (0, VecDeque::new());
    for index in 0..=rows.len() {
        while gaps.front().is_some_and(|(at, _)| *at == index) {
            gaps_now.extend(gaps.pop_front().map(|(_, gap)| (before, gap)));
        }
        if index < rows.len() && rows.is_damaged(index) {
            gaps_now.push_back((before, Gap::Skipped));
        } else {
            before += 1;
        }
    }
    (sound, gaps_now, lost)
}
