//! How much of what was packed is padding, and how many documents were cut.

use std::ops::AddAssign;

/// Counts over samples; those of two runs, lanes or ranks are added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PackStats {
    /// Sequences.
    pub samples: u64,
    /// Real tokens in them.
    pub tokens: u64,
    /// Padded places in them.
    pub padding: u64,
    /// Documents that begin in them; empty ones leave no trace.
    pub documents: u64,
    /// Those of them that go on in another sequence.
    pub cut_documents: u64,
}

impl PackStats {
    /// Padded places among all; 0 where there are none.
    pub fn padding_share(&self) -> f64 {
        let places = self.tokens + self.padding;
        if places == 0 { 0.0 } else { self.padding as f64 / places as f64 }
    }
}

impl AddAssign for PackStats {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.tokens += other.tokens;
        self.padding += other.padding;
        self.documents += other.documents;
        self.cut_documents += other.cut_documents;
    }
}
