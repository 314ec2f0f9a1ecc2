//! One table from the core's errors to Python's classes.

use std::path::Path;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyType;
use rowmill_core::Error;
use rowmill_core::shard::Block;

use crate::values::ConvertError;

/// The Python error for a core error.
#[cold]
pub fn raise(py: Python<'_>, error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::CorruptShard { path, block, offset, .. } => {
            ours(py, "CorruptShardError", &text, Some(&path), block, offset)
        }
        Error::MissingShard { path, .. } => ours(py, "MissingShardError", &text, Some(&path), None, None),
        Error::SchemaMismatch { path, .. } => {
            ours(py, "SchemaMismatchError", &text, path.as_deref(), None, None)
        }
        Error::Unreachable { path, .. } => ours(py, "UnreachableError", &text, Some(&path), None, None),
        Error::Unsupported { path, .. } => ours(py, "CorruptShardError", &text, Some(&path), None, None),
        Error::StateMismatch(_) => ours(py, "StateMismatchError", &text, None, None, None),
        Error::Topology(_) => ours(py, "TopologyError", &text, None, None, None),
        Error::InvalidArgument(_) | Error::Closed => PyValueError::new_err(text),
        Error::Io { path, source, .. } => io(py, &text, &path, &source),
        Error::Internal(_) => PyRuntimeError::new_err(text),
    }
}

/// The Python error for a value that could not be made; damage names the block that the caller knows.
#[cold]
pub fn raise_conversion(py: Python<'_>, error: ConvertError, block: &Block) -> PyErr {
    match error {
        ConvertError::Python(error) => error,
        ConvertError::Damaged { column, problem } => {
            raise(py, block.corrupt(format!("column {column:?}: {problem}")))
        }
    }
}

/// Logs what was left out for damage, to the logger "rowmill".
pub fn log_skipped(py: Python<'_>, reports: &[String]) -> PyResult<()> {
    if reports.is_empty() {
        return Ok(());
    }
    let logger = py.import("logging")?.call_method1("getLogger", ("rowmill",))?;
    for text in reports {
        logger.call_method1("warning", ("rows are left out: %s", text))?;
    }
    Ok(())
}

fn io(py: Python<'_>, text: &str, path: &Path, source: &std::io::Error) -> PyErr {
    if source.kind() == std::io::ErrorKind::PermissionDenied {
        return ours(py, "AccessDeniedError", text, Some(path), None, None);
    }
    match source.raw_os_error() {
        Some(code) => PyOSError::new_err((code, text.to_owned(), path.to_path_buf())),
        None => PyOSError::new_err(text.to_owned()),
    }
}

fn ours(
    py: Python<'_>,
    class: &str,
    text: &str,
    path: Option<&Path>,
    block: Option<u64>,
    offset: Option<u64>,
) -> PyErr {
    let made = py
        .import("rowmill.exceptions")
        .and_then(|module| module.getattr(class))
        .and_then(|class| Ok(class.cast_into::<PyType>()?));
    match made {
        Ok(class) => PyErr::from_type(
            class,
            (text.to_owned(), path.map(|path| path.display().to_string()), block, offset),
        ),
        Err(error) => error,
    }
}
