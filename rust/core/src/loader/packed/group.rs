//! What one job of a packed stream makes: some steps' samples, and where their lanes then stand.

use std::collections::VecDeque;

use super::batch::PackedBatch;
use crate::error::Error;
use crate::loader::receipt::Receipt;
use crate::prefetch::Weigh;
use crate::text::pack::PackStats;

/// Where a source of a mix stands in a lane, where that is not the schedule's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourcePlace {
    /// Index among the source's documents of the lane, counted over its epochs, of the one that comes next; of a source
    /// that is packed by itself as in [`LanePlace::row`].
    pub row: u64,
    /// Tokens that the lane has taken of the source; of a source that is packed by itself as in [`LanePlace::emitted`].
    pub taken: u64,
}

/// Where a lane stands: what a cursor says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LanePlace {
    /// Which lane.
    pub lane: u32,
    /// Epoch of the document below.
    pub epoch: u64,
    /// Index in the lane of the first document that is not wholly emitted, or of the first one of the group.
    pub row: u64,
    /// What was emitted of it: tokens of that document, or samples of that group.
    pub emitted: u64,
    /// Samples emitted since the stream began.
    pub num_samples: u64,
    /// Where each source stands, of mixes by tokens and of packed sources; at its beginning where it is not here.
    pub sources: Vec<SourcePlace>,
}

/// What came of one lane's turn.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The lane, by its place among the consumer's; behind them the lanes of other ranks.
    pub at: usize,
    /// Where it stands after the turn.
    pub place: LanePlace,
    /// Whether a sample came of it, the next one of the batch.
    pub is_sample: bool,
    /// Whether the lane has ended.
    pub is_over: bool,
    /// What was packed for it.
    pub stats: PackStats,
    /// What was delivered by it.
    pub receipt: Receipt,
    /// Rows left out for damage on the way.
    pub skipped: u64,
}

/// The turns of as many samples as a step has, and the samples that came of them.
pub struct Round {
    /// The samples.
    pub batch: PackedBatch,
    /// The turns, in order.
    pub turns: VecDeque<Turn>,
    /// Samples that were taken out already.
    pub taken: usize,
}

/// Some consecutive rounds, and what stands in the place of the one after them.
pub struct Rounds {
    /// Those that were made.
    pub made: Vec<Round>,
    /// Why the next one was not.
    pub failed: Option<Error>,
}

impl Weigh for Rounds {
    fn weight(&self) -> usize {
        self.made.iter().map(|round| round.batch.held_bytes()).sum()
    }
}
