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

/// Numbers that say of which row a sample is: its number in the job, its lane's epoch, the rows and the samples of a group
/// that the lane has gone past with it, and the sample's tokens.
const MARK: usize = 5;

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

/// `parts` and what samples of rows say of themselves, five numbers each; the rows' ids are those of `order`, of whose
/// lanes `firsts` are the first elements that are read. In groups of rows a sample is told by the group's first row.
#[pyfunction]
#[pyo3(signature = (parts, rows, *, order, firsts, is_grouped, seed, first_epoch))]
#[expect(clippy::too_many_arguments, reason = "a receipt's parts, one each")]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
pub fn add_rows(
    py: Python<'_>,
    parts: ReceiptParts,
    rows: Vec<u64>,
    order: &PyOrder,
    firsts: Vec<u64>,
    is_grouped: bool,
    seed: u64,
    first_epoch: u64,
) -> PyResult<ReceiptParts> {
    let (counted, epochs) = (Counted::try_new(parts)?, order.epochs());
    detached(py, || {
        let mut readers = EpochReaders::default();
        let num_lanes = u64::from(epochs.num_lanes());
        let marks = rows.chunks_exact(MARK).filter_map(|mark| mark.first_chunk());
        let receipt = marks.map(|&[number, epoch, row, emitted, tokens]: &[u64; MARK]| {
            let lane = number % num_lanes;
            // Which rows of a group made a sample only its functions know: its first row, and the sample's place.
            let (row, offset, len) = if is_grouped {
                (row, emitted.saturating_sub(1), 0)
            } else {
                (row.saturating_sub(1), 0, tokens)
            };
            let element = firsts.get(lane as usize).copied().unwrap_or(0) + row;
            let row_id = readers.row_id(&epochs, &epochs.spot(epoch, lane as u32, element));
            Receipt::of_row(seed, first_epoch, number, Segment { row_id, offset, len: len as usize })
        });
        Ok(counted.plus(receipt.sum()).parts())
    })
}
