//! Which consecutive documents of a lane are fitted together: a pure rule of those seen since the group's start.
//!
//! Padding is about one sequence a group, whatever the lengths (0.7 % of 128 sequences on short documents,
//! 0.4 % on the sources and books of the benches), so a group is as long as a lane's memory allows. All tokens
//! count, not only those that wait: a lane of long documents pads little anyway, and would else have groups
//! that take long to come back to.

/// A group never closes before this many documents: a promise to users.
const MIN_DOCUMENTS: u64 = 64;

/// Sequences in a group.
const SEQUENCES: u64 = 128;

/// Short sequences come in larger groups, which cost little (1 MiB a lane) and pad less.
const MIN_TOKENS: u64 = 1 << 18;

/// Long sequences come in smaller ones: 4 MiB a lane.
const MAX_TOKENS: u64 = 1 << 20;

/// But never in fewer than these, which pad some 6 %.
const MIN_SEQUENCES: u64 = 16;

/// How many tokens a group of sequences of this length has at least.
fn target_tokens(seq_len: usize) -> u64 {
    let seq_len = seq_len as u64;
    (SEQUENCES * seq_len).clamp(MIN_TOKENS, MAX_TOKENS).max(MIN_SEQUENCES * seq_len)
}

/// What a group has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Documents that have ended, empty ones too.
    pub documents: u64,
    /// Tokens of theirs, emitted at once or waiting.
    pub tokens: u64,
}

impl Seen {
    /// One more document has ended.
    pub fn add(&mut self, num_tokens: u64) {
        self.documents += 1;
        self.tokens += num_tokens;
    }

    /// Whether the group is closed by what it has seen.
    pub fn is_full(self, seq_len: usize) -> bool {
        self.has_enough_documents() && self.tokens >= target_tokens(seq_len)
    }

    /// Whether it may close at all.
    pub fn has_enough_documents(self) -> bool {
        self.documents >= MIN_DOCUMENTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_grows_with_its_sequences_within_bounds() {
        for (seq_len, tokens) in
            [(1, 1 << 18), (2_048, 1 << 18), (4_096, 1 << 19), (32_768, 1 << 20), (1 << 20, 1 << 24)]
        {
            assert_eq!(target_tokens(seq_len), tokens, "{seq_len}");
        }
    }

    #[test]
    fn a_group_closes_by_documents_and_tokens_together() {
        let is_full = |documents, tokens| Seen { documents, tokens }.is_full(2_048);
        assert!(is_full(64, 1 << 18));
        assert!(!is_full(63, 1 << 30) && !is_full(1_000_000, (1 << 18) - 1));
    }
}
