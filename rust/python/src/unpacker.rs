//! Packed samples back to documents.

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rowmill_core::text::pack::Unpacker;

use crate::error::raise;

/// Puts documents together again; gets each lane's samples in their order.
#[pyclass(frozen, module = "rowmill._rust", name = "Unpacker")]
pub struct PyUnpacker(Mutex<Unpacker<i64>>);

#[pymethods]
impl PyUnpacker {
    /// One without a document yet.
    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    /// The next sample, or several laid end to end: ids and row ids as bytes of int64, and the cuts, if known.
    #[pyo3(signature = (input_ids, document_ids, cu_seqlens))]
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn push(
        &self,
        py: Python<'_>,
        input_ids: &[u8],
        document_ids: &[u8],
        cu_seqlens: Option<Vec<i32>>,
    ) -> PyResult<()> {
        let (input_ids, document_ids) = (integers(input_ids)?, integers(document_ids)?);
        let pushed = self.0.lock().push(&input_ids, &document_ids, cu_seqlens.as_deref());
        pushed.map_err(|error| raise(py, error))
    }

    /// Row ids and ids as bytes of int64, in the order in which the documents were first met.
    fn finish<'py>(&self, py: Python<'py>) -> Vec<(u64, Bound<'py, PyBytes>)> {
        let unpacker = std::mem::take(&mut *self.0.lock());
        let bytes = |ids: Vec<i64>| ids.into_iter().flat_map(i64::to_ne_bytes).collect::<Vec<u8>>();
        unpacker.finish().into_iter().map(|(row_id, ids)| (row_id, PyBytes::new(py, &bytes(ids)))).collect()
    }

    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __repr__(&self) -> &'static str {
        "Unpacker()"
    }
}

fn integers(bytes: &[u8]) -> PyResult<Vec<i64>> {
    let (integers, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(PyValueError::new_err("integers are eight bytes each"));
    }
    Ok(integers.iter().map(|integer| i64::from_ne_bytes(*integer)).collect())
}
