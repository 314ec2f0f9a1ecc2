//! What the fast engine keeps from text to text, for one thread at a time.

use tokenizers_fast::pipeline::{
    Model, PipelineModel, PipelineToken, PipelineTokenizer, PreTokenizer, PreTokenizerScratch, Span,
};

use super::words::Words;

/// Texts of more bytes than this leave no room behind: one huge document must not pin memory for good.
const MAX_KEPT: usize = 1 << 20;

/// What the parts of a tokenizer work in, and the words that were met before.
pub(super) struct Buffers {
    pre_tokenizer: PreTokenizerScratch,
    spans: Vec<Span>,
    words: Words,
    model: <PipelineModel as Model>::Scratch,
    tokens: Vec<PipelineToken>,
}

impl Buffers {
    /// Buffers for this model, which must not meet another: it would get the words of this one.
    pub(super) fn new(model: &PipelineModel) -> Self {
        Self {
            pre_tokenizer: PreTokenizerScratch::default(),
            spans: Vec::new(),
            words: Words::default(),
            model: model.init_scratch(),
            tokens: Vec::new(),
        }
    }

    /// Appends the ids of a text without added tokens, normalised.
    pub(super) fn encode(
        &mut self,
        tokenizer: &PipelineTokenizer,
        text: &str,
        out: &mut Vec<u32>,
    ) -> tokenizers_fast::Result<()> {
        if u32::try_from(text.len()).is_err() {
            let length = text.len();
            return Err(format!("a text of {length} bytes that cannot be cut; spans count 2^32").into());
        }
        let Self { pre_tokenizer, spans, words, model, tokens } = self;
        spans.clear();
        tokenizer.get_pre_tokenizer().pre_tokenize(text, pre_tokenizer, spans)?;
        let encoded = words.encode(text, spans, out, |word, out| {
            tokens.clear();
            tokenizer.get_model().tokenize_pipeline(word, model, tokens)?;
            out.extend_from_slice(PipelineToken::cast_slice(tokens));
            Ok(())
        });
        if text.len() > MAX_KEPT {
            (*pre_tokenizer, *spans, *tokens) = Default::default();
        }
        encoded
    }
}
