//! Documents to be packed, as Python names them, and how their sources are mixed.

use std::sync::Arc;

use pyo3::prelude::*;
use rowmill_core::loader::counts::DocumentCounts;
use rowmill_core::loader::packed::deal::{Steps, left_at};
use rowmill_core::loader::packed::{
    Content, Deal, Documents, LanePlace, PackSpec, PackedSource, Sequences, SourcePlace,
};
use rowmill_core::loader::{Epochs, Table};
use rowmill_core::mix::{Schedule, Step, TokenShares};

use crate::counts::PyTokenCounts;
use crate::interpreter::detached;
use crate::mix::{PlainStep, from_plain};
use crate::order::PyOrder;
use crate::table::PyTable;

/// A table, its order, the column of ids where it is not tokenized, the id that ends a document there, the way
/// documents are packed, the id that pads, and the documents' tokens where they are needed.
pub type PlainSource =
    (Py<PyTable>, Py<PyOrder>, String, Option<u32>, String, u32, Option<Py<PyTokenCounts>>);

/// Lane, epoch, row, emitted, samples, and of each source of a mix (row, taken) where the schedule does not say it.
pub type PlainPlace = (u32, u64, u64, u64, u64, Vec<(u64, u64)>);

/// Ranks, this one, each lane's first sample and the one after its last, and the samples of all that were taken.
pub type PlainDeal = (u32, u32, Vec<(u64, u64)>, u64);

/// What is the same of all sources.
pub struct Packing {
    /// Tokens of a sample.
    pub seq_len: usize,
    /// What `labels` hold.
    pub labels: Option<String>,
    /// Whether cuts are wanted.
    pub cu_seqlens: bool,
}

/// Documents, without what a pass adds to it.
pub struct Source {
    /// The opened data.
    pub table: Arc<Table>,
    epochs: Arc<Epochs>,
    content: Content,
    pack: PackSpec,
    counts: Option<DocumentCounts>,
}

impl Source {
    /// Reads what Python says.
    pub fn try_new(source: &PlainSource, packing: &Packing) -> rowmill_core::Result<Self> {
        let (table, order, token_column, eos, mode, pad_id, counts) = source;
        let table = table.get();
        let content = Content::of(table.encoder.as_ref(), table.table.schema(), token_column, *eos)?;
        let pack = PackSpec {
            mode: mode.parse()?,
            seq_len: packing.seq_len,
            labels: packing.labels.as_deref().unwrap_or("shifted").parse()?,
            pad_id: *pad_id,
            cu_seqlens: packing.cu_seqlens,
        };
        let counts = counts.as_ref().map(|counts| counts.get().counts.clone());
        Ok(Self { table: Arc::clone(&table.table), epochs: order.get().epochs(), content, pack, counts })
    }

    /// How many lanes there are.
    pub fn num_lanes(&self) -> u32 {
        self.epochs.num_lanes()
    }

    /// The source in a pass.
    pub fn of_pass(
        &self,
        first_epoch: u64,
        num_epochs: Option<u64>,
        positions: (u64, u64),
        shares: Option<Arc<TokenShares>>,
    ) -> PackedSource {
        let documents = Documents {
            table: Arc::clone(&self.table),
            epochs: Arc::clone(&self.epochs),
            content: self.content.clone(),
            first_epoch,
            num_epochs,
            positions,
            shares,
        };
        PackedSource { documents, pack: self.pack.clone(), counts: self.counts.clone() }
    }
}

/// How packed sources are mixed in a pass, where they are.
pub fn sequences(schedule: Option<&Arc<Schedule>>, epoch_samples: &[u64]) -> Option<Arc<Sequences>> {
    let schedule = Arc::clone(schedule?);
    Some(Arc::new(Sequences { schedule, epoch_samples: epoch_samples.to_vec() }))
}

/// How ranks deal the samples of all lanes.
pub fn deal_of((num_ranks, rank, ranges, position): PlainDeal) -> Deal {
    Deal { num_ranks: num_ranks.max(1), rank, ranges, position }
}

/// The samples (lane, number) of each rank in step `step` of a deal, as `Packed.begin` takes it.
#[pyfunction]
#[pyo3(signature = (deal, batch_size, step))]
pub fn dealt_step(deal: PlainDeal, batch_size: usize, step: u64) -> Vec<Vec<(u32, u64)>> {
    let deal = deal_of(deal).after(step, batch_size);
    let ranks = Steps::new(&deal).next_step(deal.num_ranks as usize, batch_size);
    ranks.into_iter().map(|rank| rank.kept.into_iter().chain(rank.taken).collect()).collect()
}

/// How many samples of each lane are behind the first `position` of all lanes.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
pub fn lane_samples_at(ranges: Vec<(u64, u64)>, position: u64) -> Vec<u64> {
    left_at(&ranges, position).into_iter().map(|(first, _)| first).collect()
}

/// A place of a lane, as Python keeps it.
pub fn place_of((lane, epoch, row, emitted, num_samples, sources): PlainPlace) -> LanePlace {
    let sources = sources.into_iter().map(|(row, taken)| SourcePlace { row, taken }).collect();
    LanePlace { lane, epoch, row, emitted, num_samples, sources }
}

/// Whose document a lane takes next, in a mix by tokens.
#[pyclass(frozen, module = "rowmill._rust", name = "TokenShares")]
pub struct PyTokenShares(pub Arc<TokenShares>);

#[pymethods]
impl PyTokenShares {
    /// The shares that steps of weights are; their starts count tokens of all lanes.
    #[new]
    #[pyo3(signature = (steps, *, num_lanes, seed))]
    fn new(py: Python<'_>, steps: Vec<PlainStep>, num_lanes: u32, seed: u64) -> PyResult<Self> {
        let steps: Vec<Step> = from_plain(steps);
        Ok(Self(Arc::new(detached(py, || TokenShares::try_new(&steps, num_lanes, seed))?)))
    }

    /// The source of a lane's next document, by what it has taken of each.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn next_source(&self, lane: u32, tokens: Vec<u64>) -> Option<usize> {
        let fits = lane < self.0.num_lanes() && tokens.len() == self.0.num_sources();
        fits.then(|| self.0.next_source(lane, &tokens))
    }

    fn __repr__(&self) -> String {
        format!("TokenShares({} sources, num_lanes={})", self.0.num_sources(), self.0.num_lanes())
    }
}
