//! A `tokenizer.json`, read with suspicion before an engine sees it.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// No vocabulary is sparser: engines keep tables as long as the largest id.
const MAX_IDS_PER_TOKEN: u64 = 64;

/// So many ids may go unused whatever the size of the vocabulary.
const SPARE_IDS: u64 = 1 << 20;

/// A parsed file, and what of it decides how it may be used.
pub(super) struct Definition {
    /// The file's content.
    pub root: Value,
    /// Tokens that are matched in the raw text.
    pub added: Vec<Added>,
    /// The text of a vocabulary of tokens and scores. Scores tie, and ties are decided by their last bit, which
    /// does not survive being parsed, written and parsed once more.
    pub scores: Option<String>,
}

/// A token added to the vocabulary.
#[derive(Debug, Clone)]
pub(super) struct Added {
    pub content: String,
    /// Where it is matched it stands for more, or less, than its own spelling.
    pub is_choosy: bool,
    pub is_special: bool,
}

impl Added {
    /// Whether it is looked for in texts.
    pub(super) fn is_active(&self, allow_special: bool) -> bool {
        allow_special || !self.is_special
    }
}

impl Definition {
    /// Reads the file.
    pub(super) fn parse(json: &[u8], origin: &str) -> Result<Self> {
        let path = Path::new(origin);
        let root: Value = serde_json::from_slice(json)
            .map_err(|error| Error::corrupt(path, format!("it is no tokenizer.json: {error}")))?;
        let Some(model) = root.get("model").filter(|model| model.is_object()) else {
            return Err(Error::corrupt(path, "it is no tokenizer.json: it has no \"model\""));
        };
        refuse_dropout(model, path)?;
        let added = added_tokens(&root);
        refuse_sparse_ids(&root, model, path)?;
        let scores = if model["vocab"].is_array() { raw_vocabulary(json) } else { None };
        Ok(Self { root, added, scores })
    }

    /// Added tokens that are looked for in texts.
    pub(super) fn active(&self, allow_special: bool) -> impl Iterator<Item = &Added> {
        self.added.iter().filter(move |token| token.is_active(allow_special))
    }
}

fn raw_vocabulary(json: &[u8]) -> Option<String> {
    let root: HashMap<String, Box<RawValue>> = serde_json::from_slice(json).ok()?;
    let model: HashMap<String, Box<RawValue>> = serde_json::from_str(root.get("model")?.get()).ok()?;
    Some(model.get("vocab")?.get().to_owned())
}

fn refuse_dropout(model: &Value, path: &Path) -> Result<()> {
    match model.get("dropout").and_then(Value::as_f64) {
        Some(dropout) if dropout != 0.0 => Err(Error::Unsupported {
            path: path.to_owned(),
            message: format!(
                "its model drops merges at random (dropout {dropout}), so that no run could be resumed; set \"dropout\" to null"
            ),
        }),
        _ => Ok(()),
    }
}

fn added_tokens(root: &Value) -> Vec<Added> {
    let entries = root.get("added_tokens").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let flag = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_bool).unwrap_or(false);
    let read = |entry: &Value| {
        Some(Added {
            content: entry.get("content")?.as_str()?.to_owned(),
            is_choosy: ["single_word", "lstrip", "rstrip"].iter().any(|name| flag(entry, name)),
            is_special: flag(entry, "special"),
        })
    };
    entries.iter().filter_map(read).collect()
}

/// Ids index tables: one id of two billion must not become an allocation of as much.
fn refuse_sparse_ids(root: &Value, model: &Value, path: &Path) -> Result<()> {
    let added = root.get("added_tokens").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let vocabulary = model.get("vocab").and_then(Value::as_object);
    let ids = vocabulary.into_iter().flat_map(|vocabulary| vocabulary.values());
    let largest = ids.chain(added.iter().filter_map(|entry| entry.get("id"))).filter_map(Value::as_u64).max();
    let num_tokens = vocabulary.map_or(0, serde_json::Map::len) + added.len();
    let limit = num_tokens as u64 * MAX_IDS_PER_TOKEN + SPARE_IDS;
    match largest {
        Some(largest) if largest > limit => Err(Error::corrupt(
            path,
            format!("it has an id of {largest}, though only {num_tokens} tokens; ids should be dense"),
        )),
        _ => Ok(()),
    }
}
