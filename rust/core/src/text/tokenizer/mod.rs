//! Text to token ids: exactly those of Python's `tokenizers`, at a hundred times its speed.
//!
//! Two engines read the same `tokenizer.json`. The fast one takes most files; the reference one takes every
//! file, and whatever the fast one could read differently. Which of them serves a tokenizer is decided when it
//! is loaded, by encoding the same texts with both, and stands in its fingerprint.
//!
//! - [`options`]: what the caller chooses; [`info`]: what serves, and why
//! - `definition`: the file, read with suspicion; `slim`: what of it the fast engine gets
//! - `engines`: what serves; `fast`, `reference`: the two; `gate`: whether they agree; `probes`: on which texts
//! - `frame`: what the file's post-processor puts around a text
//! - `cuts`: where a text may be cut without a change of ids; `code_points`: which characters are too new
//! - `words`: ids of words that were met before; `buffers`: what else the fast engine keeps; `pool`: who has it

mod buffers;
mod code_points;
mod cuts;
mod definition;
mod engines;
mod fast;
mod frame;
mod gate;
mod info;
mod load;
mod options;
mod pool;
mod probes;
mod reference;
mod slim;
mod words;

use std::str::Utf8Error;
use std::sync::Arc;

use crate::error::{Error, Result};
use cuts::Cuts;
pub use cuts::Pieces;
use engines::Engines;
pub use frame::Frame;
pub use info::EngineInfo;
pub use options::{EngineChoice, TokenizerOptions};

/// The id that ends a document of the byte tokenizer.
pub const BYTES_EOS: u32 = 256;

/// Texts are handed to an engine in pieces of about so many bytes, where they can be cut: both engines keep
/// buffers of several times the length of the longest text they saw, and these stay in a core's own cache.
pub const PIECE_BYTES: usize = 32 << 10;

/// Text to ids; cheap to clone, shared by all threads.
///
/// ```
/// use rowmill_core::text::tokenizer::Tokenizer;
///
/// let (tokenizer, mut ids) = (Tokenizer::bytes(), Vec::new());
/// tokenizer.encode("mill", &mut ids)?;
/// assert_eq!(ids, [109, 105, 108, 108]);
/// # Ok::<(), rowmill_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    engines: Engines,
    origin: String,
    frame: Frame,
    cuts: Cuts,
    vocab_size: u32,
    pad_token: Option<String>,
    fingerprint: [u8; 16],
    info: EngineInfo,
}

impl Tokenizer {
    /// A tokenizer from the bytes of a `tokenizer.json`; `origin` names it in errors.
    ///
    /// `probes` are texts of the data: the engines must agree on them, too, for the fast one to serve.
    ///
    /// # Errors
    /// `CorruptShard` where `json` is no tokenizer, `Unsupported` where its ids would be random or cannot be had.
    pub fn from_json(json: &[u8], origin: &str, options: &TokenizerOptions, probes: &[&str]) -> Result<Self> {
        load::from_json(json, origin, options, probes).map(|inner| Self { inner: Arc::new(inner) })
    }

    /// The tokenizer that needs no file: ids are the bytes of the text, [`BYTES_EOS`] ends a document.
    pub fn bytes() -> Self {
        Self { inner: Arc::new(load::bytes()) }
    }

    /// Appends the ids of a document, with what the file's own post-processor puts around it.
    ///
    /// # Errors
    /// `Unsupported`, naming the tokenizer and the beginning of the text, where it has no ids; `out` is then as
    /// it was.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<()> {
        let before = out.len();
        out.extend_from_slice(&self.inner.frame.prefix);
        for piece in self.pieces(text, PIECE_BYTES) {
            if let Err(problem) = self.inner.engines.encode(piece, out) {
                out.truncate(before);
                return Err(self.unencodable(text, &problem));
            }
        }
        out.extend_from_slice(&self.inner.frame.suffix);
        Ok(())
    }

    /// Appends the ids of one of the [`Self::pieces`] of a document, with nothing around them.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_piece(&self, piece: &str, out: &mut Vec<u32>) -> Result<()> {
        let before = out.len();
        self.inner.engines.encode(piece, out).map_err(|problem| {
            out.truncate(before);
            self.unencodable(piece, &problem)
        })
    }

    /// The text in pieces of at most `max_bytes`, cut only where the ids provably stay the same.
    ///
    /// A piece is longer where there is no such place, and the whole text where nothing can be proved of the
    /// tokenizer. The ids of a document are [`Self::frame`]'s prefix, those of its pieces, and the suffix.
    pub fn pieces<'t>(&self, text: &'t str, max_bytes: usize) -> Pieces<'t> {
        self.inner.cuts.pieces(text, max_bytes)
    }

    /// The first of the pieces of a text of which no more is looked at than that takes.
    ///
    /// # Errors
    /// Where what was looked at is not UTF-8.
    pub fn first_piece<'t>(
        &self,
        bytes: &'t [u8],
        max_bytes: usize,
    ) -> std::result::Result<&'t str, Utf8Error> {
        self.inner.cuts.first_piece(bytes, max_bytes)
    }

    /// What the file's post-processor puts around every text.
    pub fn frame(&self) -> &Frame {
        &self.inner.frame
    }

    /// The largest id and one, tokens added to the vocabulary included.
    pub fn vocab_size(&self) -> u32 {
        self.inner.vocab_size
    }

    /// Whether the engines agree on these texts, too, as [`Self::from_json`] asks for.
    pub fn agrees_on(&self, probes: &[&str]) -> bool {
        match &self.inner.engines {
            Engines::Bytes | Engines::Reference(_) => true,
            Engines::Both(both) => gate::compare_probes(both, probes).is_ok(),
        }
    }

    /// The token that the file itself pads with.
    pub fn pad_token(&self) -> Option<&str> {
        self.inner.pad_token.as_deref()
    }

    /// The id of a token, by its spelling in the vocabulary.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        match &self.inner.engines {
            Engines::Bytes => (token == "<|endoftext|>").then_some(BYTES_EOS),
            Engines::Reference(reference) => reference.token_to_id(token),
            Engines::Both(both) => both.reference.token_to_id(token),
        }
    }

    /// What makes ids what they are: the file, the options, the engine and its versions.
    pub fn fingerprint(&self) -> [u8; 16] {
        self.inner.fingerprint
    }

    /// Which engine serves, and why not the fast one.
    pub fn engine(&self) -> &EngineInfo {
        &self.inner.info
    }

    /// Where the tokenizer comes from, as the caller called it.
    pub fn origin(&self) -> &str {
        &self.inner.origin
    }

    #[cold]
    fn unencodable(&self, text: &str, problem: &str) -> Error {
        let start: String = text.chars().take(48).collect();
        let length = text.len();
        Error::Unsupported {
            path: self.inner.origin.clone().into(),
            message: format!(
                "this tokenizer cannot encode the document of {length} bytes that begins {start:?}: {problem}"
            ),
        }
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("origin", &self.inner.origin)
            .field("vocab_size", &self.inner.vocab_size)
            .field("engine", &self.inner.info)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
