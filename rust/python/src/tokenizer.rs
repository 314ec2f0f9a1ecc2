//! A tokenizer, for the stages that name it and the tests that compare its ids.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyDict};
use rowmill_core::Error;
use rowmill_core::prefetch::fork_generation;
use rowmill_core::text::tokenizer::{EngineChoice, Tokenizer, TokenizerOptions};

use crate::error::raise;
use crate::interpreter::detached;

/// How many loaded tokenizers are kept for the next stage that asks for one: loading takes some tenths of a second.
const KEPT: usize = 2;

/// A loaded tokenizer, and what it was made from.
struct Kept {
    generation: u64,
    content: Vec<u8>,
    options: TokenizerOptions,
    tokenizer: Tokenizer,
}

impl Kept {
    fn is_of(&self, json: &[u8], origin: &str, options: &TokenizerOptions) -> bool {
        let is_ours = self.generation == fork_generation();
        is_ours && self.tokenizer.origin() == origin && self.options == *options && self.content == json
    }
}

// Locked only with the interpreter attached and never across an encoding, so never held over a fork.
static LOADED: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// The tokenizer of this file, where this process has loaded it lately.
fn kept(json: &[u8], origin: &str, options: &TokenizerOptions) -> Option<Tokenizer> {
    LOADED.lock().iter().find(|kept| kept.is_of(json, origin, options)).map(|kept| kept.tokenizer.clone())
}

fn keep(new: Kept) {
    let mut loaded = LOADED.lock();
    // What a parent's threads may have been in is leaked in a child, never touched.
    let (mut ours, inherited): (Vec<_>, Vec<_>) =
        std::mem::take(&mut *loaded).into_iter().partition(|kept| kept.generation == new.generation);
    std::mem::forget(inherited);
    ours.retain(|kept| !kept.is_of(&new.content, new.tokenizer.origin(), &new.options));
    if ours.len() >= KEPT {
        ours.remove(0);
    }
    ours.push(new);
    *loaded = ours;
}

/// Text to ids.
#[pyclass(frozen, module = "rowmill._rust", name = "Tokenizer")]
pub struct PyTokenizer {
    /// The tokenizer itself.
    pub tokenizer: Tokenizer,
}

#[pymethods]
impl PyTokenizer {
    /// A tokenizer from the content of a `tokenizer.json`; the engines are compared on `probes`, too.
    #[staticmethod]
    #[pyo3(signature = (json, *, origin, allow_special, engine, probes))]
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn from_json(
        py: Python<'_>,
        json: &[u8],
        origin: &str,
        allow_special: bool,
        engine: &str,
        probes: Vec<String>,
    ) -> PyResult<Self> {
        let engine = choice(engine).map_err(|error| raise(py, error))?;
        let options = TokenizerOptions { allow_special, engine };
        let probes: Vec<&str> = probes.iter().map(String::as_str).collect();
        let known = kept(json, origin, &options);
        let (tokenizer, is_new) = detached(py, || match known {
            Some(known) if known.agrees_on(&probes) => Ok((known, false)),
            _ => Ok((Tokenizer::from_json(json, origin, &options, &probes)?, true)),
        })?;
        // One that served only because the texts of some data do not agree is none for those of others.
        if is_new && tokenizer.engine().reason.is_none() {
            keep(Kept {
                generation: fork_generation(),
                content: json.to_vec(),
                options,
                tokenizer: tokenizer.clone(),
            });
        }
        Ok(Self { tokenizer })
    }

    /// The tokenizer whose ids are the bytes of the text.
    #[staticmethod]
    fn bytes() -> Self {
        Self { tokenizer: Tokenizer::bytes() }
    }

    /// The ids of a text, with what the file's post-processor adds.
    fn encode(&self, py: Python<'_>, text: &str) -> PyResult<Vec<u32>> {
        detached(py, || {
            let mut ids = Vec::new();
            self.tokenizer.encode(text, &mut ids)?;
            Ok(ids)
        })
    }

    /// The ids of many texts as little-endian 32-bit numbers, one text after the other, and how many each has.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn encode_many<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<String>,
    ) -> PyResult<(Bound<'py, PyBytes>, Vec<usize>)> {
        let (ids, counts) = detached(py, || {
            let (mut ids, mut counts) = (Vec::new(), Vec::new());
            for text in &texts {
                let before = ids.len();
                self.tokenizer.encode(text, &mut ids)?;
                counts.push(ids.len() - before);
            }
            Ok((ids.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>(), counts))
        })?;
        Ok((PyBytes::new(py, &ids), counts))
    }

    /// How many ids texts have together: what the engine does, and nothing else.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn num_tokens(&self, py: Python<'_>, texts: Vec<PyBackedStr>) -> PyResult<usize> {
        detached(py, || {
            let (mut ids, mut num_tokens) = (Vec::new(), 0);
            for text in &texts {
                ids.clear();
                self.tokenizer.encode(text, &mut ids)?;
                num_tokens += ids.len();
            }
            Ok(num_tokens)
        })
    }

    /// The text cut where the ids stay the same, in pieces of at most `max_bytes` where that can be had.
    fn pieces<'t>(&self, text: &'t str, max_bytes: usize) -> Vec<&'t str> {
        self.tokenizer.pieces(text, max_bytes).collect()
    }

    /// The id of a token by its spelling.
    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The token that the file itself pads with.
    #[getter]
    fn pad_token(&self) -> Option<&str> {
        self.tokenizer.pad_token()
    }

    /// The largest id and one.
    #[getter]
    fn vocab_size(&self) -> u32 {
        self.tokenizer.vocab_size()
    }

    /// Ids that the file's post-processor puts before every text.
    #[getter]
    fn prefix(&self) -> Vec<u32> {
        self.tokenizer.frame().prefix.clone()
    }

    /// Ids that the file's post-processor puts after every text.
    #[getter]
    fn suffix(&self) -> Vec<u32> {
        self.tokenizer.frame().suffix.clone()
    }

    /// 128 bits in hex: file, options, engine and versions.
    #[getter]
    fn fingerprint(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.tokenizer.fingerprint()))
    }

    /// Where it comes from.
    #[getter]
    fn origin(&self) -> &str {
        self.tokenizer.origin()
    }

    /// The engine that serves: "name", "version", "unicode", and the "reason" why it is not the fast one.
    #[getter]
    fn engine<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let info = self.tokenizer.engine();
        let dict = PyDict::new(py);
        dict.set_item("name", info.name)?;
        dict.set_item("version", info.version)?;
        dict.set_item("unicode", info.unicode)?;
        dict.set_item("reason", &info.reason)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        format!("Tokenizer({:?}, engine={:?})", self.tokenizer.origin(), self.tokenizer.engine().name)
    }
}

fn choice(name: &str) -> rowmill_core::Result<EngineChoice> {
    match name {
        "auto" => Ok(EngineChoice::Auto),
        "fast" => Ok(EngineChoice::Fast),
        "reference" => Ok(EngineChoice::Reference),
        _ => Err(Error::InvalidArgument(format!(
            "engine must be \"auto\", \"fast\" or \"reference\", but got {name:?}"
        ))),
    }
}
