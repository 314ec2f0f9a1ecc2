//! Reading everything once, with the findings as plain values.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rowmill_core::Error;
use rowmill_core::loader::{ShardVerdict, Table, verify};

use crate::interpreter::detached;
use crate::remote::python_path;

/// Verifies `table`; `progress` is called with the bytes done and all bytes, some ten times a second.
///
/// Signals are seen between these calls, and what a handler or `progress` raises ends the reading.
pub fn run<'py>(
    py: Python<'py>,
    table: &Table,
    num_threads: usize,
    progress: Option<&Py<PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let mut raised = None;
    let mut tell = |done: u64, total: u64| {
        let told = Python::attach(|py| {
            py.check_signals()?;
            progress.map_or(Ok(()), |progress| progress.call1(py, (done, total)).map(|_| ()))
        });
        raised = told.err();
        raised.is_none()
    };
    let verdicts = detached(py, || verify(table, num_threads, &mut |now| tell(now.done, now.total)))?;
    match (raised, verdicts) {
        (Some(error), _) => Err(error),
        (None, verdicts) => PyList::new(
            py,
            verdicts
                .unwrap_or_default()
                .iter()
                .map(|verdict| shard(py, verdict))
                .collect::<PyResult<Vec<_>>>()?,
        ),
    }
}

fn shard<'py>(py: Python<'py>, verdict: &ShardVerdict) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("path", python_path(py, &verdict.path)?)?;
    dict.set_item("num_bytes", verdict.num_bytes)?;
    dict.set_item("num_rows", verdict.blocks.iter().map(|block| block.num_rows).sum::<u64>())?;
    dict.set_item("checksum", verdict.checksum.map(hex))?;
    let blocks = verdict.blocks.iter().map(|block| (block.offset, block.num_rows, block.checksum.map(hex)));
    dict.set_item("blocks", blocks.collect::<Vec<_>>())?;
    dict.set_item("problems", verdict.problems.iter().map(place).collect::<Vec<_>>())?;
    Ok(dict)
}

/// Block, byte offset and text of a problem.
fn place(error: &Error) -> (Option<u64>, Option<u64>, String) {
    match error {
        Error::CorruptShard { block, offset, problem, .. } => (*block, *offset, problem.clone()),
        other => (None, None, other.to_string()),
    }
}

fn hex(checksum: u128) -> String {
    format!("{checksum:032x}")
}
