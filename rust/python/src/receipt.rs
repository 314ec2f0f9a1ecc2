//! Receipts as Python has them.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rowmill_core::loader::epochs::EpochReaders;
use rowmill_core::loader::{RECEIPT_VERSION, Receipt};
use rowmill_core::text::pack::Segment;

use crate::interpreter::detached;
use crate::order::PyOrder;

/// (digest in hex, samples, tokens, position from which it counts).
pub type ReceiptParts = (String, u64, u64, u64);

/// A sample and its documents: (its number in the job, (row id, first token, number of tokens) of each).
type SampleDocuments = (u64, Vec<(u64, u64, usize)>);

/// A sample of a row: its number in the job, and the row's epoch, lane and element of it, the sample's place among those
/// made of that row, and its tokens.
type SampleRow = (u64, u64, u32, u64, u64, usize);

/// What was delivered, and from which position on.
#[derive(Clone, Copy, Default)]
pub struct Counted {
    /// Of the whole pass, what was delivered before this iterator began included.
    pub receipt: Receipt,
    /// Position from which it counts.
    pub since: u64,
}

impl Counted {
    /// What `parts` say.
    pub fn try_new((digest, samples, tokens, since): ReceiptParts) -> PyResult<Self> {
        let digest = u128::from_str_radix(&digest, 16)
            .map_err(|error| PyValueError::new_err(format!("{digest:?} is no receipt's digest: {error}")))?;
        Ok(Self { receipt: Receipt { digest, samples, tokens }, since })
    }

    /// The same with what came on top.
    #[must_use]
    pub fn plus(mut self, receipt: Receipt) -> Self {
        self.receipt += receipt;
        self
    }

    /// As Python is told.
    pub fn parts(&self) -> ReceiptParts {
        let Receipt { digest, samples, tokens } = self.receipt;
        (format!("{digest:032x}"), samples, tokens, self.since)
    }

    /// As it stands in `stats()`.
    pub fn dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (digest, samples, tokens, since) = self.parts();
        let dict = PyDict::new(py);
        dict.set_item("version", RECEIPT_VERSION)?;
        dict.set_item("digest", digest)?;
        dict.set_item("samples", samples)?;
        dict.set_item("tokens", tokens)?;
        dict.set_item("since", since)?;
        Ok(dict)
    }
}

/// `parts` and what samples say of their documents.
#[pyfunction]
#[pyo3(signature = (parts, samples, *, seed, first_epoch))]
pub fn add_samples(
    parts: ReceiptParts,
    samples: Vec<SampleDocuments>,
    seed: u64,
    first_epoch: u64,
) -> PyResult<ReceiptParts> {
    let receipt = samples.into_iter().map(|(number, documents)| {
        let segments: Vec<_> =
            documents.into_iter().map(|(row_id, offset, len)| Segment { row_id, offset, len }).collect();
        Receipt::of_sample(seed, first_epoch, number, &segments)
    });
    Ok(Counted::try_new(parts)?.plus(receipt.sum()).parts())
}

/// `parts` and what samples of rows say of themselves; the rows' ids are those of `order`.
#[pyfunction]
#[pyo3(signature = (parts, rows, *, order, seed, first_epoch))]
pub fn add_rows(
    py: Python<'_>,
    parts: ReceiptParts,
    rows: Vec<SampleRow>,
    order: &PyOrder,
    seed: u64,
    first_epoch: u64,
) -> PyResult<ReceiptParts> {
    let (counted, epochs) = (Counted::try_new(parts)?, order.epochs());
    detached(py, || {
        let mut readers = EpochReaders::default();
        let receipt = rows.into_iter().map(|(number, epoch, lane, element, offset, len)| {
            let row_id = readers.row_id(&epochs, &epochs.spot(epoch, lane, element));
            Receipt::of_row(seed, first_epoch, number, Segment { row_id, offset, len })
        });
        Ok(counted.plus(receipt.sum()).parts())
    })
}
