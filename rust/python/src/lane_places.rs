//! Where the lanes of a consumer of packed samples stand.

use parking_lot::Mutex;
use pyo3::prelude::*;
use rowmill_core::loader::Receipt;
use rowmill_core::loader::packed::LanePlace;
use rowmill_core::text::pack::PackStats;

use crate::receipt::{Counted, ReceiptParts};

/// Where the lanes of a pass stand; outlives the stream that moves them.
#[pyclass(frozen, module = "rowmill._rust", name = "LanePlaces")]
pub struct PyLanePlaces(pub(crate) Mutex<Places>);

/// What they say.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) lanes: Vec<LanePlace>,
    pub(crate) num_steps: u64,
    pub(crate) num_skipped: u64,
    pub(crate) stats: PackStats,
    pub(crate) receipt: Counted,
    pub(crate) is_finished: bool,
    pub(crate) on_finish: Option<Py<PyAny>>,
}

#[pymethods]
impl PyLanePlaces {
    /// (epoch, row, emitted, samples) of each lane.
    #[getter]
    fn lanes(&self) -> Vec<(u64, u64, u64, u64)> {
        let places = self.0.lock();
        places.lanes.iter().map(|lane| (lane.epoch, lane.row, lane.emitted, lane.num_samples)).collect()
    }

    /// (row, taken) of each source of each lane, where the schedule of a mix does not say it.
    #[getter]
    fn sources(&self) -> Vec<Vec<(u64, u64)>> {
        let places = self.0.lock();
        let of_lane = |lane: &LanePlace| lane.sources.iter().map(|own| (own.row, own.taken)).collect();
        places.lanes.iter().map(of_lane).collect()
    }

    /// Steps that were returned.
    #[getter]
    pub(crate) fn num_steps(&self) -> u64 {
        self.0.lock().num_steps
    }

    /// Rows left out for damage.
    #[getter]
    fn num_skipped(&self) -> u64 {
        self.0.lock().num_skipped
    }

    /// (digest in hex, samples, tokens, position from which it counts) of what was delivered.
    #[getter]
    fn receipt(&self) -> ReceiptParts {
        self.0.lock().receipt.parts()
    }

    /// Sets what is called when the pass has been read to its end.
    fn on_finish(&self, callback: Py<PyAny>) {
        self.0.lock().on_finish = Some(callback);
    }

    fn __repr__(&self) -> String {
        format!("LanePlaces({} lanes)", self.0.lock().lanes.len())
    }
}

/// What a step moves once it is returned.
pub(crate) struct Moved {
    pub(crate) places: Vec<(usize, LanePlace)>,
    pub(crate) skipped: u64,
    pub(crate) stats: PackStats,
    pub(crate) receipt: Receipt,
}

impl PyLanePlaces {
    /// Counts a step as returned.
    pub(crate) fn moved(&self, moved: Moved) {
        let mut places = self.0.lock();
        for (at, place) in moved.places {
            places.lanes[at] = place;
        }
        places.num_steps += 1;
        places.num_skipped += moved.skipped;
        places.stats += moved.stats;
        places.receipt.receipt += moved.receipt;
    }

    /// The pass has been read to its end.
    pub(crate) fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let callback = {
            let mut places = self.0.lock();
            places.is_finished = true;
            places.on_finish.take()
        };
        callback.map_or(Ok(()), |callback| callback.call0(py).map(drop))
    }
}
