//! Chunks of lanes on demand, for pipelines whose filters decide what comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rowmill_core::assemble::RowSet;
use rowmill_core::loader::{
    Chunk, ChunkRows, Epochs, FileSpec, Files, Lanes, OfFile, Pruned, Table, token_counts,
};
use rowmill_core::prefetch::Limits;
use rowmill_core::text::encoder::Encoder;

use crate::arrow_export::PyRecordBatch;
use crate::error::{log_skipped, raise};
use crate::files::PyFiles;
use crate::interpreter::{detached, wait};
use crate::make::{Maker, stats};
use crate::order::PyOrder;
use crate::padding::PyPadding;
use crate::stream::{PREFETCH_BYTES, default_threads};
use crate::table::{PyTable, dict};

/// Threads that read files over a network by default.
const FETCHING_THREADS: usize = 16;

/// Reads chunks of lanes, ahead of need where they are submitted.
#[pyclass(frozen, module = "rowmill._rust", name = "Lanes")]
pub struct PyLanes {
    table: Arc<Table>,
    encoder: Option<Arc<Encoder>>,
    epochs: Arc<Epochs>,
    pruned: Arc<Pruned>,
    maker: Arc<Maker>,
    converter: Arc<crate::values::RowConverter>,
    limits: Limits,
    engine: Mutex<Option<Arc<Lanes>>>,
    /// Of lanes over files: the files.
    files: Option<FileSpec>,
    skipped: AtomicU64,
}

#[pymethods]
impl PyLanes {
    /// A reader of a table's columns in an order; starts no thread. With `files` chunks are of these, the numbers of
    /// lanes are those of files, and the table's columns say what the files' must be.
    #[new]
    #[pyo3(signature = (*, table, order, output, dtypes, fill_null, padding, num_threads, prefetch_bytes, wrap, pin, files=None))]
    #[expect(clippy::too_many_arguments, reason = "the keywords of Dataset.loader and with_format, one each")]
    fn new(
        py: Python<'_>,
        table: &PyTable,
        order: &PyOrder,
        output: &str,
        dtypes: Vec<(String, String)>,
        fill_null: Vec<(String, f64)>,
        padding: Option<&PyPadding>,
        num_threads: Option<usize>,
        prefetch_bytes: Option<usize>,
        wrap: Option<Py<PyAny>>,
        pin: Option<(Py<PyAny>, Py<PyAny>)>,
        files: Option<&PyFiles>,
    ) -> PyResult<Self> {
        let maker = Maker::try_new(py, table, output, dtypes, fill_null, padding, wrap, pin)?;
        let epochs = order.epochs();
        let num_lanes = epochs.num_lanes() as usize;
        let files = files.map(|files| files.spec.clone());
        let is_remote = match &files {
            Some(files) => files.is_remote(),
            None => table.table.is_remote(),
        };
        let usual = default_threads(&maker);
        // Threads that open files wait for one answer after the other.
        let usual =
            if files.is_some() && is_remote { usual.max(FETCHING_THREADS.min(num_lanes)) } else { usual };
        Ok(Self {
            table: Arc::clone(&table.table),
            encoder: table.encoder.clone(),
            epochs,
            pruned: Arc::new(Pruned::new(table.table.num_shards())),
            converter: Arc::clone(&table.converter),
            limits: Limits {
                num_threads: num_threads.unwrap_or(usual),
                // Of each lane the chunk that is read, the next one, and the first of the next file.
                slots: num_lanes * 3 + 2,
                bytes: prefetch_bytes.unwrap_or(PREFETCH_BYTES),
                help: !is_remote,
            },
            files,
            maker: Arc::new(maker),
            engine: Mutex::default(),
            skipped: AtomicU64::new(0),
        })
    }

    /// Asks for a chunk that will be taken soon.
    fn submit(&self, py: Python<'_>, epoch: u64, lane: u32, start: u64, len: u64) -> PyResult<()> {
        self.engine().submit(Chunk { epoch, lane, start, len }).map_err(|error| raise(py, error))
    }

    /// The rows of a chunk.
    fn take(&self, py: Python<'_>, epoch: u64, lane: u32, start: u64, len: u64) -> PyResult<PyRows> {
        let engine = self.engine();
        let chunk = Chunk { epoch, lane, start, len };
        let taken = wait(py, &mut |timeout| engine.take(chunk, timeout))?;
        log_skipped(py, &self.table.take_reports())?;
        let ChunkRows { rows, offsets, num_pruned, of_file } = taken.unwrap_or_default();
        let tokens = if self.encoder.is_some() { token_counts(&rows) } else { Vec::new() };
        if of_file.is_none() {
            self.skipped.fetch_add(len.saturating_sub(rows.len() as u64 + num_pruned), Ordering::Relaxed);
        }
        let (maker, converter) = (Arc::clone(&self.maker), Arc::clone(&self.converter));
        Ok(PyRows { rows, offsets, tokens, of_file: of_file.unwrap_or_default(), maker, converter })
    }

    /// Shards with rows in a chunk of which `prune` or `prune_nothing` has not been told.
    fn unknown_shards(&self, epoch: u64, lane: u32, start: u64, len: u64) -> Vec<usize> {
        self.pruned.unknown(&self.table, &self.epochs, Chunk { epoch, lane, start, len })
    }

    /// Of a shard only these row groups are read: the filter keeps nothing of the others.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn prune(&self, py: Python<'_>, shard: usize, row_groups: Vec<u64>) -> PyResult<()> {
        detached(py, || self.pruned.keep(&self.table, shard, &row_groups))
    }

    /// All of a shard is read.
    fn prune_nothing(&self, shard: usize) {
        self.pruned.keep_all(shard);
    }

    /// One item of rows that were picked from chunks.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn assemble(&self, py: Python<'_>, picks: Vec<(Py<PyRows>, usize)>) -> PyResult<Py<PyAny>> {
        self.maker.assemble(py, gather(&picks))
    }

    /// Rows left out for damage in the chunks that were taken.
    #[getter]
    fn num_skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// What the engine did so far.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let engine = self.engine.lock().as_ref().map(|engine| engine.stats());
        let stats = stats(py, engine, &self.maker)?;
        stats.set_item("blocks_pruned", self.pruned.num_blocks())?;
        Ok(stats)
    }

    /// Stops the engine's threads; the next chunk starts new ones.
    fn close(&self, py: Python<'_>) {
        let engine = self.engine.lock().take();
        py.detach(|| drop(engine));
    }

    fn __repr__(&self) -> String {
        format!("Lanes({})", self.epochs.num_lanes())
    }
}

impl PyLanes {
    /// The engine, started on first use: never at construction, so that a fork finds no threads.
    fn engine(&self) -> Arc<Lanes> {
        let mut engine = self.engine.lock();
        let start = || {
            let (table, epochs) = (Arc::clone(&self.table), Arc::clone(&self.epochs));
            Arc::new(match &self.files {
                Some(files) => {
                    let files = Files::new(files.clone(), Arc::clone(self.table.schema()));
                    Lanes::over_files(Arc::new(files), self.encoder.clone(), self.limits)
                }
                None => {
                    Lanes::start(table, epochs, Arc::clone(&self.pruned), self.encoder.clone(), self.limits)
                }
            })
        };
        Arc::clone(engine.get_or_insert_with(start))
    }
}

/// Rows of one chunk.
#[pyclass(frozen, module = "rowmill._rust", name = "Rows")]
pub struct PyRows {
    rows: RowSet,
    offsets: Vec<u32>,
    /// How many tokens have been made of each row, where any have.
    tokens: Vec<u64>,
    of_file: OfFile,
    maker: Arc<Maker>,
    converter: Arc<crate::values::RowConverter>,
}

#[pymethods]
impl PyRows {
    fn __len__(&self) -> usize {
        self.rows.len()
    }

    /// Where each row stands in the chunk; rows left out for damage are missing.
    #[getter]
    fn offsets(&self) -> Vec<u32> {
        self.offsets.clone()
    }

    /// How many tokens the engine has made of each row; empty where it makes none.
    #[getter]
    fn token_counts(&self) -> Vec<u64> {
        self.tokens.clone()
    }

    /// With lanes over files: the rows of the file that these are of.
    #[getter]
    fn file_rows(&self) -> u64 {
        self.of_file.num_rows
    }

    /// With lanes over files: the id of each row.
    #[getter]
    fn row_ids(&self) -> Vec<u64> {
        self.of_file.row_ids.clone()
    }

    /// One row as a dict.
    fn row<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyDict>> {
        dict(py, &self.converter, &self.rows, index)
    }

    /// Some rows of some columns as an Arrow record batch.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn to_arrow(&self, py: Python<'_>, indices: Vec<usize>, names: Vec<String>) -> PyResult<PyRecordBatch> {
        let rows = self.rows.pick(&indices);
        self.maker.arrow(py, &rows, &self.maker.columns_named(&names))
    }

    fn __repr__(&self) -> String {
        format!("Rows({})", self.rows.len())
    }
}

fn gather(picks: &[(Py<PyRows>, usize)]) -> RowSet {
    let mut rows = RowSet::default();
    for (chunk, index) in picks {
        let (block, row) = chunk.get().rows.locate(*index);
        rows.push(block, row as u32);
    }
    rows
}
