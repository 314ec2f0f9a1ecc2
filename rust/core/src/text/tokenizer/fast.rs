//! The fast engine: the next major release of `tokenizers`, given only what decides a text's ids.

use tokenizers_fast::pipeline::{EncodeOptions, Override, PipelineToken, PipelineTokenizer};

use super::definition::Definition;
use super::scratch::Scratch;
use super::slim::slim;
use crate::panics::guarded;

/// The library behind it.
pub(super) const VERSION: &str = "tokenizers 1.0.0-rc.3";

/// A loaded fast tokenizer.
pub(super) struct Fast {
    tokenizer: PipelineTokenizer,
    options: EncodeOptions,
}

/// Why a text was not encoded: the reference has to.
pub(super) struct Failure {
    /// Whether the engine may be in any state now.
    pub is_panic: bool,
    pub problem: String,
}

impl Fast {
    /// Loads it, or says why it cannot serve.
    pub(super) fn load(definition: Definition, allow_special: bool) -> Result<Self, String> {
        let json = slim(definition, allow_special)?;
        let tokenizer = guarded(|| tokenizers_fast::from_json(&json))?.map_err(|error| error.to_string())?;
        let options = EncodeOptions {
            add_special_tokens: false,
            encode_special_tokens: !allow_special,
            padding: Override::Off,
            truncation: Override::Off,
        };
        Ok(Self { tokenizer, options })
    }

    /// Appends the ids of a text, without what the post-processor adds; nothing where it fails.
    pub(super) fn encode(
        &self,
        text: &str,
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) -> Result<(), Failure> {
        scratch.clear();
        let tokens = &mut scratch.tokens;
        match guarded(|| self.tokenizer.encode_into(text, &self.options, tokens)) {
            Ok(Ok(())) => {
                out.extend_from_slice(PipelineToken::cast_slice(tokens));
                Ok(())
            }
            Ok(Err(error)) => Err(Failure { is_panic: false, problem: error.to_string() }),
            Err(problem) => Err(Failure { is_panic: true, problem }),
        }
    }
}
