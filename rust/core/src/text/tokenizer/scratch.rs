//! Buffers that one thread keeps from text to text.

use tokenizers_fast::pipeline::PipelineToken;

/// Tokens of more texts than this are not kept room for: one huge document must not pin memory for good.
const MAX_KEPT: usize = 1 << 20;

/// Buffers of one thread, kept from text to text.
#[derive(Default)]
pub struct Scratch {
    pub(super) tokens: Vec<PipelineToken>,
}

impl Scratch {
    /// Empty, with no more room than a usual piece of text needs.
    pub(super) fn clear(&mut self) {
        self.tokens.clear();
        self.tokens.shrink_to(MAX_KEPT);
    }
}

/// Empties a buffer of ids that is kept from text to text, within the same bounds.
pub fn clear_ids(ids: &mut Vec<u32>) {
    ids.clear();
    ids.shrink_to(MAX_KEPT);
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("capacity", &self.tokens.capacity()).finish()
    }
}
