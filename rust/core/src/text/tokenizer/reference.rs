//! The engine whose ids are right by definition: the release of `tokenizers` that Python users have, slower.

use tokenizers_reference::Tokenizer;
use tokenizers_reference::utils::parallelism::set_parallelism;

use crate::panics::guarded;

/// The library behind it.
pub(super) const VERSION: &str = "tokenizers 0.23.2";

/// The Unicode version of its regular expressions.
pub(super) const UNICODE: &str = "16.0";

/// A loaded reference tokenizer.
pub(super) struct Reference {
    tokenizer: Tokenizer,
}

impl Reference {
    /// Reads a `tokenizer.json`; truncation and padding are switched off, whatever it says.
    pub(super) fn load(json: &[u8], allow_special: bool) -> Result<Self, String> {
        guarded(|| {
            // All threads are the engine's own; those of rayon would also die in a fork.
            set_parallelism(false);
            let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
            tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
            tokenizer.with_padding(None);
            tokenizer.set_encode_special_tokens(!allow_special);
            Ok(Self { tokenizer })
        })?
    }

    /// Appends the ids of a text, without what the post-processor adds.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), String> {
        out.extend_from_slice(&self.ids(text, false)?);
        Ok(())
    }

    /// The ids of a text, `framed` by the post-processor or not.
    pub(super) fn ids(&self, text: &str, framed: bool) -> Result<Vec<u32>, String> {
        let encoding = guarded(|| self.tokenizer.encode_fast(text, framed))?;
        encoding.map(|encoding| encoding.get_ids().to_vec()).map_err(|error| error.to_string())
    }

    /// The id of a token by its spelling.
    pub(super) fn token_to_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The largest id and one; `None` where there are no tokens.
    pub(super) fn vocab_size(&self) -> Option<u32> {
        self.tokenizer.get_vocab(true).into_values().max()?.checked_add(1)
    }

    /// The tokenizer as JSON in one spelling, however its file spells it.
    pub(super) fn canonical(&self) -> Result<String, String> {
        guarded(|| self.tokenizer.to_string(false))?.map_err(|error| error.to_string())
    }
}
