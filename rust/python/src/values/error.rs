//! What can go wrong while one value becomes a Python object.

use pyo3::PyErr;
use pyo3::prelude::*;

/// A value that could not be made.
///
/// Not a `PyErr` alone: damage belongs to a file, which only the caller knows.
#[derive(Debug)]
pub enum ConvertError {
    /// Python refused: out of memory, a date outside its range, an unknown time zone.
    Python(PyErr),
    /// The stored bytes are not what the schema promises.
    Damaged {
        /// The top-level column, once known.
        column: String,
        /// What is wrong with the bytes.
        problem: String,
    },
}

/// The result of every conversion.
pub type Result<T> = std::result::Result<T, ConvertError>;

impl ConvertError {
    /// Damage whose column the caller will name.
    #[cold]
    pub fn damaged(problem: impl Into<String>) -> Self {
        Self::Damaged { column: String::new(), problem: problem.into() }
    }

    /// The same error with the top-level column named.
    #[cold]
    #[must_use]
    pub fn in_column(self, py: Python<'_>, name: &str) -> Self {
        match self {
            Self::Damaged { problem, .. } => Self::Damaged { column: name.to_owned(), problem },
            Self::Python(error) => {
                // The note is a courtesy: without it the error itself still stands.
                let _ = error.add_note(py, format!("in column {name:?}"));
                Self::Python(error)
            }
        }
    }
}

impl From<PyErr> for ConvertError {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}
