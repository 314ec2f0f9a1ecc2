//! Files that lanes are over, and what of files is known without opening them.

use std::path::PathBuf;

use pyo3::prelude::*;
use rowmill_core::loader::FileSpec;
use rowmill_core::manifest;
use rowmill_core::order::OrderSettings;
use rowmill_core::source::remote::is_remote;

use crate::error::raise;
use crate::interpreter::detached;
use crate::remote::{KnownObject, identity_of, python_path};

/// Files, each of which is opened when a lane comes to it.
#[pyclass(frozen, module = "rowmill._rust", name = "Files")]
pub struct PyFiles {
    /// What they are and how they are read.
    pub spec: FileSpec,
}

#[pymethods]
impl PyFiles {
    /// Opens none of them.
    #[new]
    #[pyo3(signature = (paths, *, sizes, known, columns, mode, seed, window_bytes, reshuffle_each_epoch, io, total_bytes, num_lanes))]
    #[expect(clippy::too_many_arguments, reason = "what decides the rows of a file, one each")]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        sizes: Vec<Option<u64>>,
        known: Vec<KnownObject>,
        columns: Vec<(String, String)>,
        mode: &str,
        seed: u64,
        window_bytes: u64,
        reshuffle_each_epoch: bool,
        io: &str,
        total_bytes: u64,
        num_lanes: u64,
    ) -> PyResult<Self> {
        let made = || {
            let mode = mode.parse()?;
            Ok(FileSpec {
                paths,
                sizes,
                known: known.into_iter().map(identity_of).collect(),
                columns,
                settings: OrderSettings { mode, seed, num_lanes: 1, window_bytes, reshuffle_each_epoch },
                io: io.parse()?,
                total_bytes,
                num_lanes,
            })
        };
        made().map(|spec| Self { spec }).map_err(|error| raise(py, error))
    }

    fn __len__(&self) -> usize {
        self.spec.paths.len()
    }

    fn __repr__(&self) -> String {
        format!("Files({})", self.spec.paths.len())
    }
}

/// A path, and its bytes where they are known without asking a network.
type Found<'py> = (Bound<'py, PyAny>, Option<u64>);

/// The files behind files, folders and globs in the order of their rows, remarks on how they were found, and whether
/// files of row numbers choose among their rows.
#[pyfunction]
#[pyo3(signature = (paths, *, split))]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
pub fn list_files(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    split: Option<String>,
) -> PyResult<(Vec<Found<'_>>, Vec<String>, bool)> {
    let (listing, sizes) = detached(py, || {
        let listing = manifest::resolve_split(&paths, split.as_deref())?;
        let size =
            |path: &PathBuf| (!is_remote(path)).then(|| std::fs::metadata(path).map(|known| known.len()));
        let sizes: Vec<_> = listing.files.iter().map(|path| size(path).and_then(Result::ok)).collect();
        Ok((listing, sizes))
    })?;
    let files = listing.files.iter().zip(sizes).map(|(path, size)| Ok((python_path(py, path)?, size)));
    Ok((files.collect::<PyResult<_>>()?, listing.warnings, !listing.indices.is_empty()))
}
