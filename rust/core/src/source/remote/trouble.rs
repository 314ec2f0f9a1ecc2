//! What goes wrong between us and a server, and the error it becomes.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use crate::error::Error;

/// Why a request failed. Texts name no URL but the bare one that [`Trouble::into_error`] adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may go well next time.
    Passing {
        /// What happened.
        what: String,
        /// How long the server asks us to wait.
        wait: Option<Duration>,
    },
    /// It went wrong until patience ended.
    Unreachable(String),
    /// The server refuses us.
    Denied(String),
    /// There is no such object.
    Missing(String),
    /// It is not the version that was indexed.
    Changed(String),
    /// The server does not do what ranges need.
    Unsupported(String),
    /// The reader was asked to stop.
    Stopped,
}

impl Trouble {
    pub fn passing(what: impl Into<String>) -> Self {
        Self::Passing { what: what.into(), wait: None }
    }

    /// The error of reading the object at `path`, which is a bare URL.
    pub fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Passing { what, .. } | Self::Unreachable(what) => {
                Error::Unreachable { path: path.to_owned(), problem: what }
            }
            Self::Denied(what) => Error::Io {
                action: "read",
                path: path.to_owned(),
                source: io::Error::new(ErrorKind::PermissionDenied, what),
            },
            Self::Missing(what) => Error::MissingShard { path: path.to_owned(), problem: what },
            Self::Changed(what) => Error::corrupt(path, format!("{what}; open the dataset again")),
            Self::Unsupported(message) => Error::Unsupported { path: path.to_owned(), message },
            Self::Stopped => Error::Closed,
        }
    }
}
