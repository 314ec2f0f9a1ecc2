//! The token counts of a dataset's rows, and what lanes make of them.

use std::path::PathBuf;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rowmill_core::loader::counts::{
    CountSpec, CountsKey, DocumentCounts, LaneQuestion, TokenCounts, count_tokens, lane_samples, lane_tokens,
};
use rowmill_core::loader::packed::Content;

use crate::error::{log_skipped, raise};
use crate::interpreter::detached;
use crate::order::PyOrder;
use crate::table::PyTable;

/// The tokens of each row, kept in a file.
#[pyclass(frozen, module = "rowmill._rust", name = "TokenCounts")]
pub struct PyTokenCounts {
    /// By row id.
    pub counts: DocumentCounts,
    num_counted: u64,
}

#[pymethods]
impl PyTokenCounts {
    /// The counts in a file; None where there is none. `key` is 128 bits in hex.
    #[staticmethod]
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn open(py: Python<'_>, path: PathBuf, key: &str, num_rows: u64) -> PyResult<Option<Self>> {
        let key = key_of(key, num_rows)?;
        let counts = detached(py, || TokenCounts::open(&path, key))?;
        Ok(counts.map(|counts| Self { counts: DocumentCounts::new(counts), num_counted: 0 }))
    }

    /// Those of several datasets, of each of which the row id of its first row is given, ascending.
    #[staticmethod]
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn joined(parts: Vec<(u64, Py<Self>)>) -> Self {
        let counts = DocumentCounts::joined(parts.iter().map(|(first, part)| (*first, &part.get().counts)));
        Self { counts, num_counted: parts.iter().map(|(_, part)| part.get().num_counted).sum() }
    }

    /// Rows that were counted.
    #[getter]
    fn num_rows(&self) -> u64 {
        self.counts.parts().map(TokenCounts::num_rows).sum()
    }

    /// Tokens of all of them.
    #[getter]
    fn num_tokens(&self) -> u64 {
        self.counts.parts().map(TokenCounts::num_tokens).sum()
    }

    /// Rows left out for damage.
    #[getter]
    fn num_left_out(&self) -> u64 {
        self.counts.parts().map(TokenCounts::num_left_out).sum()
    }

    /// Rows that the call which made this counted, not counting those that were known.
    #[getter]
    fn num_counted(&self) -> u64 {
        self.num_counted
    }

    /// Bytes of the file.
    #[getter]
    fn num_bytes(&self) -> u64 {
        self.counts.parts().map(TokenCounts::num_bytes).sum()
    }

    /// The files.
    #[getter]
    fn paths(&self) -> Vec<PathBuf> {
        self.counts.parts().map(|counts| counts.path().to_owned()).collect()
    }

    /// Tokens of a row; None where it was left out for damage.
    fn row(&self, py: Python<'_>, row_id: u64) -> PyResult<Option<u64>> {
        self.counts.row(row_id).map_err(|error| raise(py, error))
    }

    /// Tokens of the rows `[start, stop)` of one dataset together.
    fn sum(&self, py: Python<'_>, start: u64, stop: u64) -> PyResult<u64> {
        self.counts.sum(start..stop).map_err(|error| raise(py, error))
    }

    /// Samples that each lane gives in a pass.
    #[pyo3(signature = (order, *, mode, seq_len, first_epoch, num_epochs, positions))]
    #[expect(clippy::too_many_arguments, reason = "what decides the samples of a pass, one each")]
    fn lane_samples(
        &self,
        py: Python<'_>,
        order: &PyOrder,
        mode: &str,
        seq_len: usize,
        first_epoch: u64,
        num_epochs: u64,
        positions: (u64, u64),
    ) -> PyResult<Vec<u64>> {
        let mode = mode.parse().map_err(|error| raise(py, error))?;
        self.ask(py, order, first_epoch, num_epochs, positions, &|question, watch| {
            lane_samples(question, mode, seq_len, watch)
        })
    }

    /// Tokens of each lane in a pass.
    #[pyo3(signature = (order, *, first_epoch, num_epochs, positions))]
    fn lane_tokens(
        &self,
        py: Python<'_>,
        order: &PyOrder,
        first_epoch: u64,
        num_epochs: u64,
        positions: (u64, u64),
    ) -> PyResult<Vec<u64>> {
        self.ask(py, order, first_epoch, num_epochs, positions, &lane_tokens)
    }

    fn __repr__(&self) -> String {
        format!("TokenCounts({} rows, {} tokens)", self.num_rows(), self.num_tokens())
    }
}

type Answer<'a> = &'a (
        dyn Fn(&LaneQuestion<'_>, &mut dyn FnMut() -> bool) -> rowmill_core::Result<Option<Vec<u64>>> + Sync
    );

impl PyTokenCounts {
    fn ask(
        &self,
        py: Python<'_>,
        order: &PyOrder,
        first_epoch: u64,
        num_epochs: u64,
        positions: (u64, u64),
        answer: Answer<'_>,
    ) -> PyResult<Vec<u64>> {
        let epochs = order.epochs();
        // An order over rows that were not counted is told before any number comes of it.
        let ends = epochs.row_ids().filter(|rows| !rows.is_empty()).map(|rows| self.counts.row(rows.end - 1));
        ends.collect::<rowmill_core::Result<Vec<_>>>().map_err(|error| raise(py, error))?;
        let num_threads = num_cores();
        let question = LaneQuestion {
            counts: &self.counts,
            epochs: &epochs,
            first_epoch,
            num_epochs,
            positions,
            num_threads,
        };
        let mut signals = Signals::default();
        let made = detached(py, || answer(&question, &mut || signals.go_on(|_| Ok(()))))?;
        signals.or_else_raise(made)
    }
}

impl PyTable {
    /// Counts the tokens of all rows, or finds them counted; see `Table.count_tokens`.
    #[expect(clippy::too_many_arguments, reason = "what is counted, and where it is kept, one each")]
    pub fn counted(
        &self,
        py: Python<'_>,
        token_column: &str,
        eos: Option<u32>,
        path: PathBuf,
        key: &str,
        num_threads: Option<usize>,
        force: bool,
        progress: Option<&Py<PyAny>>,
    ) -> PyResult<PyTokenCounts> {
        let content = Content::of(self.encoder.as_ref(), self.table.schema(), token_column, eos)
            .map_err(|error| raise(py, error))?;
        let spec = CountSpec {
            table: &self.table,
            content: &content,
            path,
            key: key_of(key, self.table.layout().num_rows())?,
            num_threads: num_threads.unwrap_or_else(num_cores),
            force,
        };
        let mut signals = Signals::default();
        let made = detached(py, || {
            count_tokens(&spec, &mut |now| {
                signals.go_on(|py| {
                    progress.map_or(Ok(()), |progress| progress.call1(py, (now.done, now.total)).map(|_| ()))
                })
            })
        })?;
        log_skipped(py, &self.table.take_reports())?;
        let (counts, num_counted) = signals.or_else_raise(made)?;
        Ok(PyTokenCounts { counts: DocumentCounts::new(counts), num_counted })
    }
}

/// What Python raised while work went on without it.
#[derive(Default)]
pub struct Signals(Mutex<Option<PyErr>>);

impl Signals {
    /// Lets signal handlers run, and `tell`; whether to go on.
    pub fn go_on(&mut self, tell: impl FnOnce(Python<'_>) -> PyResult<()>) -> bool {
        let told = Python::attach(|py| py.check_signals().and_then(|()| tell(py)));
        *self.0.get_mut() = told.err();
        self.0.get_mut().is_none()
    }

    /// What came of it, or why there is nothing.
    pub fn or_else_raise<T>(self, made: Option<T>) -> PyResult<T> {
        let stopped = || PyValueError::new_err("counting was stopped");
        match (self.0.into_inner(), made) {
            (Some(error), _) => Err(error),
            (None, made) => made.ok_or_else(stopped),
        }
    }
}

fn key_of(key: &str, num_rows: u64) -> PyResult<CountsKey> {
    let digest = u128::from_str_radix(key, 16)
        .map_err(|error| PyValueError::new_err(format!("{key:?} is no key of token counts: {error}")))?;
    Ok(CountsKey { digest, num_rows })
}

/// Cores that may be used.
pub fn num_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
