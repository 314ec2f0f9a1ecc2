//! A finished sequence: its tokens in one run, and which document each stretch of them is from.

use super::place::Place;
use super::stats::PackStats;

/// Consecutive tokens of one document inside a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The document's row id.
    pub row_id: u64,
    /// Where in the document the first of these tokens stands.
    pub offset: u64,
    /// How many tokens.
    pub len: usize,
}

/// One sequence of at most `seq_len` tokens; what is missing to `seq_len` is padding at its end.
///
/// A sample owns its tokens, so that any thread may write it into any batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub(super) seq_len: usize,
    pub(super) tokens: Vec<u32>,
    pub(super) segments: Vec<Segment>,
    pub(super) next: Option<u32>,
    pub(super) place: Place,
}

impl Sample {
    /// The length of every column of this sample, padding included.
    pub fn seq_len(&self) -> usize {
        self.seq_len
    }

    /// The real tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The documents that the tokens are from, in order and without gaps.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The token that follows the last one in the same document, where that goes on in a later sample.
    pub fn next(&self) -> Option<u32> {
        self.next
    }

    /// Where the lane goes on when this sample is the last that was delivered.
    pub fn place(&self) -> Place {
        self.place
    }

    /// How many places are padded.
    pub fn num_padded(&self) -> usize {
        self.seq_len - self.tokens.len()
    }

    /// What this sample holds in memory.
    pub fn num_bytes(&self) -> usize {
        size_of::<Self>()
            + self.tokens.capacity() * size_of::<u32>()
            + self.segments.capacity() * size_of::<Segment>()
    }

    /// This sample's share of the counts; the sum over delivered samples counts every document once.
    pub fn stats(&self) -> PackStats {
        let begun = self.segments.iter().filter(|segment| segment.offset == 0).count() as u64;
        let last_begins = self.segments.last().is_some_and(|segment| segment.offset == 0);
        PackStats {
            samples: 1,
            tokens: self.tokens.len() as u64,
            padding: self.num_padded() as u64,
            documents: begun,
            cut_documents: u64::from(self.next.is_some() && last_begins),
        }
    }
}
