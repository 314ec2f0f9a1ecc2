//! The fast engine: the next major release of `tokenizers`, given only what decides a text's ids.
//!
//! Its parts are called here one after the other, as its own `encode_into` calls them, so that words which were
//! met before do not come to its model.

use tokenizers_fast::pipeline::{
    EncodeOptions, Override, PipelineTokenizer, Segment, SpecialSegmentIterator, normalize_all,
};

use super::buffers::Buffers;
use super::definition::Definition;
use super::pool::Pool;
use super::slim::slim;
use crate::panics::guarded;

/// The library behind it.
pub(super) const VERSION: &str = "tokenizers 1.0.0-rc.3";

/// A loaded fast tokenizer.
pub(super) struct Fast {
    tokenizer: PipelineTokenizer,
    options: EncodeOptions,
    buffers: Pool<Buffers>,
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
        Ok(Self { tokenizer, options, buffers: Pool::new() })
    }

    /// Appends the ids of a text, without what the post-processor adds; nothing where it fails.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), Failure> {
        let before = out.len();
        let make = || Buffers::new(self.tokenizer.get_model());
        let encoded = guarded(|| self.buffers.with(make, |buffers| self.encode_with(buffers, text, out)));
        let failure = match encoded {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => Failure { is_panic: false, problem: error.to_string() },
            Err(problem) => Failure { is_panic: true, problem },
        };
        out.truncate(before);
        Err(failure)
    }

    fn encode_with(
        &self,
        buffers: &mut Buffers,
        text: &str,
        out: &mut Vec<u32>,
    ) -> tokenizers_fast::Result<()> {
        for segment in self.segments(text, false) {
            let (text, start) = match segment {
                Segment::SpecialToken(id) => {
                    out.push(id);
                    continue;
                }
                Segment::Text { text, input_offset } => (text, input_offset),
            };
            let normalized = normalize_all(self.tokenizer.get_normalizers(), text, start)?;
            for segment in self.segments(&normalized, true) {
                match segment {
                    Segment::SpecialToken(id) => out.push(id),
                    Segment::Text { text, .. } => buffers.encode(&self.tokenizer, text, out)?,
                }
            }
        }
        Ok(())
    }

    /// A text's added tokens, and what lies between them.
    fn segments<'t>(&self, text: &'t str, is_normalized: bool) -> impl Iterator<Item = Segment<'t>> {
        let added = self.tokenizer.get_added_vocabulary();
        SpecialSegmentIterator::new(text, added, is_normalized, self.options.encode_special_tokens)
    }
}
