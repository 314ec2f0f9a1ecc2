//! What the caller chooses about a tokenizer.

/// How text is read, and by which engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizerOptions {
    /// Whether the spelling of a special token in a text is that token; else it is plain text, so that a
    /// document which contains `<|endoftext|>` does not end a document.
    pub allow_special: bool,
    /// Which engine serves.
    pub engine: EngineChoice,
}

/// Which engine serves; anything but `Auto` is for tests and measurements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The fast one where it agrees with the reference.
    #[default]
    Auto,
    /// The fast one, or an error that says why it cannot.
    Fast,
    /// The reference.
    Reference,
}
