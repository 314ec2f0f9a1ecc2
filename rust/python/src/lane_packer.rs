//! One lane's documents packed as Python hands them over, for pipelines whose documents Python functions make.

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rowmill_core::loader::packed::ColumnKind;
use rowmill_core::text::pack::{Labels, Packer, Sample};

use crate::error::raise;

/// A sample's columns as bytes of int64, the place after it (element, what was taken of it), and its documents: (row id,
/// first token, number of tokens).
type Popped<'py> = (Vec<Bound<'py, PyBytes>>, u64, u64, Vec<(u64, u64, usize)>);

/// Packs the documents of one lane.
#[pyclass(frozen, module = "rowmill._rust", name = "LanePacker")]
pub struct PyLanePacker {
    packer: Mutex<Packer>,
    seq_len: usize,
    labels: Labels,
    pad_id: u32,
    columns: Vec<ColumnKind>,
}

#[pymethods]
impl PyLanePacker {
    /// A packer that leaves out what was `taken` of the first document (of the first group with "`best_fit`").
    #[new]
    #[pyo3(signature = (*, mode, seq_len, taken, labels, pad_id, columns))]
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn new(
        py: Python<'_>,
        mode: &str,
        seq_len: usize,
        taken: u64,
        labels: Option<&str>,
        pad_id: u32,
        columns: Vec<String>,
    ) -> PyResult<Self> {
        let made = || {
            Ok(Self {
                packer: Mutex::new(Packer::resume(mode.parse()?, seq_len, taken)?),
                seq_len,
                labels: labels.unwrap_or("shifted").parse()?,
                pad_id,
                columns: columns.iter().map(|name| name.parse()).collect::<rowmill_core::Result<_>>()?,
            })
        };
        made().map_err(|error| raise(py, error))
    }

    /// The next document: its row id, its place in the lane, and its ids as bytes of uint32.
    fn document(&self, py: Python<'_>, row_id: u64, element: u64, ids: &[u8]) -> PyResult<()> {
        let (ids, rest) = ids.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(PyValueError::new_err("ids are four bytes each"));
        }
        let ids: Vec<u32> = ids.iter().map(|id| u32::from_ne_bytes(*id)).collect();
        self.packer.lock().document(row_id, element, &ids).map_err(|error| raise(py, error))
    }

    /// There is no document any more: what waits becomes samples.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.packer.lock().finish().map_err(|error| raise(py, error))
    }

    /// The next finished sample, if there is one.
    fn pop<'py>(&self, py: Python<'py>) -> PyResult<Option<Popped<'py>>> {
        let Some(sample) = self.packer.lock().pop() else { return Ok(None) };
        let column = |kind: &ColumnKind| {
            let mut values = vec![0_i64; self.seq_len];
            self.write(&sample, *kind, &mut values).map_err(|error| raise(py, error))?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
            Ok(PyBytes::new(py, &bytes))
        };
        let columns = self.columns.iter().map(column).collect::<PyResult<_>>()?;
        let documents = sample.segments().iter().map(|part| (part.row_id, part.offset, part.len)).collect();
        Ok(Some((columns, sample.place().element, sample.place().taken, documents)))
    }

    fn __repr__(&self) -> String {
        format!("LanePacker({})", self.seq_len)
    }
}

impl PyLanePacker {
    fn write(&self, sample: &Sample, kind: ColumnKind, out: &mut [i64]) -> rowmill_core::Result<()> {
        match kind {
            ColumnKind::InputIds => sample.write_input_ids(self.pad_id, out),
            ColumnKind::Labels => sample.write_labels(self.labels, out),
            ColumnKind::PositionIds => sample.write_position_ids(out),
            ColumnKind::DocumentIds => sample.write_document_ids(out),
            ColumnKind::LossMask => {
                sample.write_loss_mask(Some(self.labels), out);
                Ok(())
            }
        }
    }
}
