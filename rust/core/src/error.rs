//! What can go wrong, each variant naming the file, the place and the remedy.

use std::path::{Path, PathBuf};

/// The result of every fallible call in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Every failure that a caller can see.
///
/// Deliberately exhaustive: the binding maps each variant to one Python class, and a new
/// variant must not slip through a `_` arm there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file's bytes are not what its format promises.
    #[error("{}", corrupt_text(path, *block, *offset, problem))]
    CorruptShard {
        /// The damaged file.
        path: PathBuf,
        /// Index of the block inside the file, where known.
        block: Option<u64>,
        /// Byte offset inside the file, where known.
        offset: Option<u64>,
        /// What is wrong, and what would mend it.
        problem: String,
    },
    /// A shard that was asked for by name is not there.
    #[error("shard {} is missing: {problem}", path.display())]
    MissingShard {
        /// The file that is not there.
        path: PathBuf,
        /// Where it was expected, and what to do.
        problem: String,
    },
    /// Two shards, or a shard and a request, disagree about columns.
    #[error("{message}")]
    SchemaMismatch {
        /// The file at fault, where there is one.
        path: Option<PathBuf>,
        /// Both sides and the field.
        message: String,
    },
    /// A cursor does not belong to this data, order or pipeline.
    #[error("{0}")]
    StateMismatch(String),
    /// Ranks, workers, lanes or batch sizes do not fit together.
    #[error("{0}")]
    Topology(String),
    /// An argument is out of its range.
    #[error("{0}")]
    InvalidArgument(String),
    /// The operating system refused; `source` says why.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "open", "read", "map".
        action: &'static str,
        /// The file it was tried on.
        path: PathBuf,
        /// The system's own error.
        #[source]
        source: std::io::Error,
    },
    /// A server does not answer, or not as it should, until patience ends.
    #[error("{} cannot be read: {problem}", path.display())]
    Unreachable {
        /// The URL, without anything secret.
        path: PathBuf,
        /// What happened in the last try, and what to do.
        problem: String,
    },
    /// A sound file uses something this version does not read.
    #[error("{}: {message}", path.display())]
    Unsupported {
        /// The file at fault.
        path: PathBuf,
        /// What is not read, and what to do instead.
        message: String,
    },
    /// The loader was closed while it was being read.
    #[error("the loader is closed; make a new iterator to read on")]
    Closed,
    /// A worker thread panicked: a bug of ours, never the user's.
    #[error("internal error, please report it: {0}")]
    Internal(String),
}

impl Error {
    /// A corrupt shard whose place is not known more closely than the file.
    pub fn corrupt(path: &Path, problem: impl Into<String>) -> Self {
        Self::CorruptShard { path: path.to_owned(), block: None, offset: None, problem: problem.into() }
    }

    /// A corrupt shard at a byte offset.
    pub fn corrupt_at(path: &Path, offset: u64, problem: impl Into<String>) -> Self {
        Self::CorruptShard {
            path: path.to_owned(),
            block: None,
            offset: Some(offset),
            problem: problem.into(),
        }
    }

    /// The same error with the block named, where it is one that has a block and does not name it yet.
    #[must_use]
    pub fn in_block(mut self, index: u64) -> Self {
        if let Self::CorruptShard { block: block @ None, .. } = &mut self {
            *block = Some(index);
        }
        self
    }

    /// An I/O failure; a missing file becomes [`Error::MissingShard`].
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::NotFound {
            return Self::MissingShard {
                path: path.to_owned(),
                problem: "no such file; it was moved or deleted, restore it or open the dataset again"
                    .to_owned(),
            };
        }
        Self::Io { action, path: path.to_owned(), source }
    }
}

fn corrupt_text(path: &Path, block: Option<u64>, offset: Option<u64>, problem: &str) -> String {
    let block = block.map_or_else(String::new, |block| format!(", block {block}"));
    let offset = offset.map_or_else(String::new, |offset| format!(", byte {offset}"));
    format!("{} is damaged{block}{offset}: {problem}", path.display())
}
