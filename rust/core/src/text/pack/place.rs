//! Where a lane goes on after a sample: two integers, whatever the mode.

/// What a lane needs to go on right after a sample, without a token of payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// The element of the lane to begin at, as it was given to [`begin`](super::Packer::begin): the first
    /// document that is not wholly emitted ("concat"), or the first of the group ("`best_fit`").
    pub element: u64,
    /// What was emitted from there: tokens of that document ("concat"), or samples of the group ("`best_fit`").
    pub taken: u64,
}

/// A document that has begun and not ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenDocument {
    pub row_id: u64,
    pub element: u64,
    /// Tokens of it that the packer has seen.
    pub seen: u64,
}

impl OpenDocument {
    pub fn new(row_id: u64, element: u64) -> Self {
        Self { row_id, element, seen: 0 }
    }
}
