//! Which documents packed samples are made of, asked without making them.

use std::sync::Arc;

use pyo3::prelude::*;
use rowmill_core::loader::counts::{DocumentCounts, SegmentQuestion, Wanted, group_lens, sample_segments};
use rowmill_core::loader::packed::{Content, Documents};
use rowmill_core::text::pack::{PackMode, Segment};

use crate::counts::{PyTokenCounts, Signals, num_cores};
use crate::error::raise;
use crate::interpreter::detached;
use crate::order::PyOrder;
use crate::packed_sources::{PlainPlace, PyTokenShares, place_of};
use crate::table::PyTable;

/// Documents of a sample: row id, first token, number of tokens.
type SampleDocuments = Vec<(u64, u64, u64)>;

/// The documents of a packed stream, by their counts or by reading them.
#[pyclass(frozen, module = "rowmill._rust", name = "PackedDocuments")]
pub struct PyPackedDocuments {
    documents: Documents,
    mode: PackMode,
    seq_len: usize,
    counts: Option<DocumentCounts>,
}

#[pymethods]
impl PyPackedDocuments {
    /// What decides the samples of a pass; a table that is not tokenized holds ids in `token_column`, ended by `eos`.
    #[new]
    #[pyo3(signature = (table, order, *, counts, token_column, eos, mode, seq_len, first_epoch, num_epochs, positions,
                        shares))]
    #[expect(clippy::too_many_arguments, reason = "what decides the samples of a pass, one each")]
    fn new(
        py: Python<'_>,
        table: &PyTable,
        order: &PyOrder,
        counts: Option<&PyTokenCounts>,
        token_column: &str,
        eos: Option<u32>,
        mode: &str,
        seq_len: usize,
        first_epoch: u64,
        num_epochs: Option<u64>,
        positions: (u64, u64),
        shares: Option<&PyTokenShares>,
    ) -> PyResult<Self> {
        let made = || {
            let content = Content::of(table.encoder.as_ref(), table.table.schema(), token_column, eos)?;
            Ok((content, mode.parse()?))
        };
        let (content, mode) = made().map_err(|error| raise(py, error))?;
        let (table, epochs) = (Arc::clone(&table.table), order.epochs());
        let shares = shares.map(|shares| Arc::clone(&shares.0));
        let documents = Documents { table, epochs, content, first_epoch, num_epochs, positions, shares };
        Ok(Self { documents, mode, seq_len, counts: counts.map(|counts| counts.counts.clone()) })
    }

    /// The documents of samples of lanes: of each lane its place, the first sample wanted, and how many.
    fn samples(
        &self,
        py: Python<'_>,
        wanted: Vec<(PlainPlace, (u64, u64))>,
    ) -> PyResult<Vec<Vec<SampleDocuments>>> {
        let of_lane = |(place, samples)| Wanted { place: place_of(place), samples };
        let wanted: Vec<_> = wanted.into_iter().map(of_lane).collect();
        let mut signals = Signals::default();
        let question = self.question();
        let found = detached(py, || sample_segments(&question, &wanted, &mut || signals.go_on(|_| Ok(()))))?;
        let found = signals.or_else_raise(found)?;
        let document = |segment: &Segment| (segment.row_id, segment.offset, segment.len as u64);
        let sample = |segments: Vec<Segment>| segments.iter().map(document).collect();
        Ok(found.into_iter().map(|samples| samples.into_iter().map(sample).collect()).collect())
    }

    /// How many documents make the group that each lane stands in, from the one on that its place names.
    fn group_lens(&self, py: Python<'_>, places: Vec<PlainPlace>) -> PyResult<Vec<u64>> {
        let places: Vec<_> = places.into_iter().map(place_of).collect();
        let mut signals = Signals::default();
        let question = self.question();
        let found = detached(py, || group_lens(&question, &places, &mut || signals.go_on(|_| Ok(()))))?;
        signals.or_else_raise(found)
    }

    fn __repr__(&self) -> String {
        format!("PackedDocuments({}, {})", self.mode, self.seq_len)
    }
}

impl PyPackedDocuments {
    fn question(&self) -> SegmentQuestion<'_> {
        SegmentQuestion {
            documents: &self.documents,
            mode: self.mode,
            seq_len: self.seq_len,
            counts: self.counts.as_ref(),
            num_threads: num_cores(),
        }
    }
}
