//! Which documents of a lane are fitted together over whole windows: a pure function of the order and the counts.

use super::documents::DocumentCounts;
use super::row_id_at;
use crate::error::Result;
use crate::loader::epochs::{EpochReaders, Epochs};
use crate::text::pack::WindowGroup;

/// The documents of a lane in a pass, numbered from its first epoch on.
#[derive(Clone, Copy)]
pub struct LaneDocuments<'a> {
    /// The tokens of each.
    pub counts: &'a DocumentCounts,
    /// The orders of the epochs.
    pub epochs: &'a Epochs,
    /// The first epoch.
    pub first_epoch: u64,
    /// Epochs of the pass; `None` is endless.
    pub num_epochs: Option<u64>,
    /// Which lane.
    pub lane: u32,
    /// Its first element in each epoch, and their number.
    pub rows: (u64, u64),
    /// Tokens of a sample.
    pub seq_len: usize,
}

impl LaneDocuments<'_> {
    /// The group that begins with a document, and the number of the document after it; `None` at the lane's end.
    ///
    /// It ends with the first window that fills it, or with the epoch where that leaves it enough documents.
    ///
    /// # Errors
    /// `CorruptShard` where the counts are damaged.
    pub fn group_at(&self, readers: &mut EpochReaders, first: u64) -> Result<Option<(WindowGroup, u64)>> {
        let len = self.rows.1;
        let (mut group, mut next) = (WindowGroup::default(), first);
        while self.has(next) {
            let (epoch, row) = (self.first_epoch + next / len, next % len);
            let stop = self.window_end(epoch, row);
            for row in row..stop {
                let row_id = self.row_id(readers, epoch, row);
                group.push(self.counts.row(row_id)?.unwrap_or(0));
                next += 1;
                if group.is_largest() {
                    return Ok(Some((group, next)));
                }
            }
            if group.ends_with_window(self.seq_len) || (stop == len && group.ends_with_epoch()) {
                break;
            }
        }
        Ok((next > first).then_some((group, next)))
    }

    /// The row id of a document.
    pub fn row_id_of(&self, readers: &mut EpochReaders, number: u64) -> u64 {
        let len = self.rows.1;
        self.row_id(readers, self.first_epoch + number / len, number % len)
    }

    fn has(&self, number: u64) -> bool {
        self.rows.1 > 0 && self.num_epochs.is_none_or(|epochs| number < epochs * self.rows.1)
    }

    fn row_id(&self, readers: &mut EpochReaders, epoch: u64, row: u64) -> u64 {
        row_id_at(readers, self.epochs, epoch, self.lane, self.rows.0 + row)
    }

    /// Where the window of a row ends in the lane; where there are no windows, each row is one.
    fn window_end(&self, epoch: u64, row: u64) -> u64 {
        let (first, len) = self.rows;
        let span = self.epochs.window_at(&self.epochs.spot(epoch, self.lane, first + row));
        span.map_or(row + 1, |span| (span.elements.end - first).min(len))
    }
}
