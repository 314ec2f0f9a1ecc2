//! Objects on a network: what this process may ask for and say, and what it has cost.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rowmill_core::Error;
use rowmill_core::source::remote::settings::{self, CacheSettings};
use rowmill_core::source::remote::{self, Known};
use rowmill_core::source::{FileIdentity, Source};

use crate::error::raise;
use crate::interpreter::detached;

/// Bare URL, bytes, tag, and whether the URL never means other bytes.
pub type KnownObject = (PathBuf, u64, Option<String>, bool);

/// An object that a caller knows, as the manifest takes it.
pub fn identity_of((path, size, tag, is_immutable): KnownObject) -> (PathBuf, FileIdentity) {
    (path, Known { size, tag, is_immutable }.identity())
}

/// URLs as they may be written down; what is secret in them stays in this process.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
pub fn bare_urls(py: Python<'_>, urls: Vec<String>) -> PyResult<Vec<String>> {
    let bare = urls.iter().map(|url| remote::bare(url)).collect::<rowmill_core::Result<Vec<_>>>();
    let bare = bare.map_err(|error| raise(py, error))?;
    let whole = bare.iter().filter_map(|url| Some((url.path.clone(), url.whole.clone()?)));
    settings::keep_whole(whole);
    Ok(bare.iter().map(|url| text_of(&url.path)).collect())
}

/// (URL, bytes, tag) of the objects below an `s3://`, `gs://` or `az://` URL.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
pub fn list_store(py: Python<'_>, url: String) -> PyResult<Vec<(String, u64, Option<String>)>> {
    let listed = detached(py, || remote::list(&url))?;
    Ok(listed.into_iter().map(|(path, known)| (text_of(&path), known.size, known.tag)).collect())
}

fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A path as Python has it: a `pathlib.Path` of a URL would lose one of its slashes.
pub fn python_path<'py>(py: Python<'py>, path: &Path) -> PyResult<Bound<'py, PyAny>> {
    if remote::is_remote(path) { text_of(path).into_bound_py_any(py) } else { path.into_bound_py_any(py) }
}

/// What tells one version of an object from another, as a short text.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
pub fn version_of(py: Python<'_>, url: PathBuf) -> PyResult<String> {
    let FileIdentity { size, mtime_ns, inode } = detached(py, || remote::probe(&url))?;
    Ok(format!("{size}-{mtime_ns}-{inode:016x}"))
}

/// Copies an object into a file, which appears when all of it is there.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
pub fn download(py: Python<'_>, url: PathBuf, path: PathBuf) -> PyResult<()> {
    detached(py, || remote::download(&url, &path))
}

/// Asks for a part of what is at a URL and writes it to the same place of a file; how many bytes came, which may be none.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
pub fn fetch_piece(
    py: Python<'_>,
    url: String,
    headers: Vec<(String, String)>,
    start: u64,
    stop: u64,
    path: PathBuf,
    timeout: f64,
) -> PyResult<u64> {
    let timeout = Duration::try_from_secs_f64(timeout).unwrap_or(Duration::MAX);
    detached(py, || remote::fetch_piece(&url, &headers, start..stop, &path, timeout))
}

/// Sends these headers with requests for objects below a URL, and with no others; None takes back what was set.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
pub fn set_remote_headers(
    py: Python<'_>,
    prefix: String,
    headers: Option<Vec<(String, String)>>,
) -> PyResult<()> {
    settings::set_headers(&prefix, headers).map_err(|error| raise(py, error))
}

/// One version of an object, read by ranges.
#[pyclass(frozen, module = "rowmill._rust", name = "RemoteObject")]
pub struct PyRemoteObject(pub Arc<dyn Source>);

#[pymethods]
impl PyRemoteObject {
    /// Its bytes from `start` on; fewer than `len` where it ends.
    fn read<'py>(&self, py: Python<'py>, start: u64, len: usize) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = detached(py, || {
            let len = (len as u64).min(self.0.len().saturating_sub(start)) as usize;
            self.0.buffer(start, len)
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn __len__(&self) -> usize {
        self.0.len() as usize
    }

    fn __repr__(&self) -> String {
        format!("RemoteObject({})", self.0.path().display())
    }
}

/// Changes limits of this process; those that are None stay.
#[pyfunction]
#[pyo3(signature = (*, connections=None, ahead_bytes=None, requests_per_second=None, max_attempts=None, patience=None,
    first_wait=None, longest_wait=None, timeout=None))]
#[expect(clippy::too_many_arguments, reason = "the limits, one each")]
pub fn set_remote_limits(
    py: Python<'_>,
    connections: Option<usize>,
    ahead_bytes: Option<u64>,
    requests_per_second: Option<f64>,
    max_attempts: Option<u32>,
    patience: Option<f64>,
    first_wait: Option<f64>,
    longest_wait: Option<f64>,
    timeout: Option<f64>,
) -> PyResult<()> {
    let seconds =
        |name: &str, value: Option<f64>, before: Duration| match value.map(Duration::try_from_secs_f64) {
            None => Ok(before),
            Some(Ok(wait)) => Ok(wait),
            Some(Err(_)) => {
                let text = format!("{name} must be a number of seconds, not {}", value.unwrap_or_default());
                Err(raise(py, Error::InvalidArgument(text)))
            }
        };
    let mut limits = settings::limits();
    limits.connections = connections.unwrap_or(limits.connections).max(1);
    limits.ahead_bytes = ahead_bytes.or(limits.ahead_bytes);
    limits.requests_per_second =
        requests_per_second.filter(|rate| *rate > 0.0).unwrap_or(limits.requests_per_second);
    limits.max_attempts = max_attempts.unwrap_or(limits.max_attempts).max(1);
    limits.patience = seconds("patience", patience, limits.patience)?;
    limits.first_wait = seconds("first_wait", first_wait, limits.first_wait)?;
    limits.longest_wait = seconds("longest_wait", longest_wait, limits.longest_wait)?;
    limits.timeout = seconds("timeout", timeout, limits.timeout)?;
    settings::set_limits(limits);
    Ok(())
}

/// Says where fetched bytes are kept on disk, and how many; None for what suits the machine.
#[pyfunction]
#[pyo3(signature = (*, is_on, folder, budget, keeps_blocks))]
pub fn set_remote_cache(
    is_on: bool,
    folder: Option<PathBuf>,
    budget: Option<u64>,
    keeps_blocks: Option<bool>,
) {
    settings::set_cache(CacheSettings { folder, budget, keeps_blocks, is_on });
}

/// What reading over networks has cost this process so far.
#[pyfunction]
pub fn remote_stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let stats = remote::stats();
    let dict = PyDict::new(py);
    dict.set_item("requests", stats.requests)?;
    dict.set_item("fetched_bytes", stats.bytes)?;
    dict.set_item("retries", stats.retries)?;
    dict.set_item("redirects", stats.redirects)?;
    dict.set_item("waits", stats.waits)?;
    dict.set_item("wait_seconds", stats.waited.as_secs_f64())?;
    dict.set_item("cache_hits", stats.cache_hits)?;
    dict.set_item("cache_bytes", stats.cache_bytes)?;
    Ok(dict)
}
