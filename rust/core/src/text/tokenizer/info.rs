//! Which engine serves a tokenizer, and in which version: "exact" names a version.

use std::fmt;

/// The engine behind a tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// "fast", "reference" or "bytes".
    pub name: &'static str,
    /// The library and its version; empty where there is none.
    pub version: &'static str,
    /// The version of Unicode that decides what is a letter.
    pub unicode: &'static str,
    /// Why the fast engine does not serve; `None` where it does, or where nobody asked it.
    pub reason: Option<String>,
}

impl EngineInfo {
    pub(super) fn bytes() -> Self {
        Self { name: "bytes", version: "", unicode: "", reason: None }
    }

    /// Characters younger than the reference's Unicode go to the reference, so its version counts here, too.
    pub(super) fn fast() -> Self {
        Self { name: "fast", version: super::fast::VERSION, unicode: super::reference::UNICODE, reason: None }
    }

    pub(super) fn reference(reason: Option<String>) -> Self {
        use super::reference::{UNICODE, VERSION};
        Self { name: "reference", version: VERSION, unicode: UNICODE, reason }
    }
}

impl fmt::Display for EngineInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if !self.version.is_empty() {
            write!(f, " ({}, Unicode {})", self.version, self.unicode)?;
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}
