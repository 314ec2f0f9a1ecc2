//! The counts of all that documents come from: those of one dataset, or of each source of a mix.

use std::ops::Range;
use std::sync::Arc;

use super::file::TokenCounts;
use crate::error::{Error, Result};

/// Counts by the row ids of a whole that may be made of several datasets.
#[derive(Debug, Clone)]
pub struct DocumentCounts {
    /// The row id of each dataset's first row, ascending, and the dataset's counts.
    parts: Vec<(u64, Arc<TokenCounts>)>,
}

impl DocumentCounts {
    /// Those of one dataset.
    pub fn new(counts: TokenCounts) -> Self {
        Self { parts: vec![(0, Arc::new(counts))] }
    }

    /// Those of several: of each the row id of its first row in the whole, ascending. A dataset may be missing.
    pub fn joined<'a>(parts: impl IntoIterator<Item = (u64, &'a Self)>) -> Self {
        let shifted = |(first, counts): (u64, &'a Self)| {
            counts.parts.iter().map(move |(own, counts)| (first + own, Arc::clone(counts)))
        };
        Self { parts: parts.into_iter().flat_map(shifted).collect() }
    }

    /// The counts of each dataset.
    pub fn parts(&self) -> impl Iterator<Item = &TokenCounts> {
        self.parts.iter().map(|(_, counts)| &**counts)
    }

    /// Tokens of a row; `None` where it was left out for damage.
    ///
    /// # Errors
    /// `CorruptShard` where the file is damaged; `InvalidArgument` for a row that was not counted.
    #[inline]
    pub fn row(&self, row: u64) -> Result<Option<u64>> {
        let (first, counts) = self.part(row)?;
        counts.row(row - first)
    }

    /// Tokens of consecutive rows of one dataset together.
    ///
    /// # Errors
    /// As of [`DocumentCounts::row`].
    pub fn sum(&self, rows: Range<u64>) -> Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        let (first, counts) = self.part(rows.start)?;
        if rows.end - first > counts.num_rows() {
            return Err(uncounted(rows.end - 1));
        }
        counts.sum(rows.start - first..rows.end - first)
    }

    #[inline]
    fn part(&self, row: u64) -> Result<(u64, &TokenCounts)> {
        let at = self.parts.partition_point(|(first, _)| *first <= row);
        let part = self.parts[..at].last().filter(|(first, counts)| row - first < counts.num_rows());
        part.map(|(first, counts)| (*first, &**counts)).ok_or_else(|| uncounted(row))
    }
}

#[cold]
fn uncounted(row: u64) -> Error {
    Error::InvalidArgument(format!(
        "the tokens of row {row} were not counted: these are counts of other data"
    ))
}
