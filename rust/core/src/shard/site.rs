//! Where in a file something was found, for error texts.

use std::path::Path;

use crate::error::Error;

/// A place in a shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'a> {
    pub path: &'a Path,
    /// Of the message.
    pub offset: u64,
    /// Index of the block, where it is one.
    pub block: Option<u64>,
}

impl<'a> Site<'a> {
    pub fn new(path: &'a Path, offset: u64) -> Self {
        Self { path, offset, block: None }
    }

    pub fn corrupt(&self, problem: impl Into<String>) -> Error {
        Error::CorruptShard {
            path: self.path.to_owned(),
            block: self.block,
            offset: Some(self.offset),
            problem: problem.into(),
        }
    }

    pub fn unsupported(&self, message: impl Into<String>) -> Error {
        Error::Unsupported { path: self.path.to_owned(), message: message.into() }
    }
}
