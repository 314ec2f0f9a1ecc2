//! The schedule of a mix: which source gives which sample, asked without reading one.

use std::sync::Arc;

use pyo3::prelude::*;
use rowmill_core::Error;
use rowmill_core::mix::{LaneRows, Schedule, Step};

use crate::error::raise;
use crate::interpreter::detached;

/// A step as Python has it: the first sample, the weights, whether they go on to the next step's in a line.
pub type PlainStep = (u64, Vec<f64>, bool);

/// Which source gives which sample.
#[pyclass(frozen, module = "rowmill._rust", name = "Schedule")]
pub struct PySchedule(Arc<Schedule>);

#[pymethods]
impl PySchedule {
    /// The schedule of a history: positions, each with the steps that count from it; the first position is 0.
    #[new]
    #[pyo3(signature = (history, *, num_lanes, seed))]
    fn new(py: Python<'_>, history: Vec<(u64, Vec<PlainStep>)>, num_lanes: u32, seed: u64) -> PyResult<Self> {
        let history: Vec<_> =
            history.into_iter().map(|(position, steps)| (position, from_plain(steps))).collect();
        Ok(Self(Arc::new(detached(py, || Schedule::with_history(&history, num_lanes, seed))?)))
    }

    /// The same up to a position, and other weights from there on.
    fn remix(&self, py: Python<'_>, position: u64, steps: Vec<PlainStep>) -> PyResult<Self> {
        let steps = from_plain(steps);
        Ok(Self(Arc::new(detached(py, || self.0.remix(position, &steps))?)))
    }

    /// What the schedule was made from, for a cursor.
    #[getter]
    fn history(&self) -> Vec<(u64, Vec<PlainStep>)> {
        let plain = |step: &Step| (step.start, step.weights.clone(), step.is_ramp);
        let entries = self.0.history().iter();
        entries.map(|(position, steps)| (*position, steps.iter().map(plain).collect())).collect()
    }

    /// The shares from one position on as they were taken: the whole, and each source's part of it.
    #[getter]
    fn shares(&self) -> Vec<(u64, u32, Vec<u32>)> {
        let shares = self.0.shares().iter();
        shares.map(|(start, shares)| (*start, shares.whole(), shares.parts().to_vec())).collect()
    }

    #[getter]
    fn num_sources(&self) -> usize {
        self.0.num_sources()
    }

    #[getter]
    fn num_lanes(&self) -> u32 {
        self.0.num_lanes()
    }

    #[getter]
    fn seed(&self) -> u64 {
        self.0.seed()
    }

    #[getter]
    fn fingerprint(&self) -> String {
        format!("{:016x}", self.0.fingerprint())
    }

    /// The sources of the samples `[start, stop)`.
    fn sources(&self, py: Python<'_>, start: u64, stop: u64) -> PyResult<Vec<u64>> {
        detached(py, || Ok((start..stop).map(|position| self.0.source_of(position) as u64).collect()))
    }

    /// What each source gives before a position.
    fn counts(&self, position: u64) -> Vec<u64> {
        self.0.counts(position)
    }

    /// The position of a source's sample with this index.
    fn position_of(&self, py: Python<'_>, source: usize, index: u64) -> PyResult<Option<u64>> {
        self.check(py, source, 0)?;
        Ok(self.0.position_of(source, index))
    }

    /// The source of a lane's element, and which element of its own lane it gives.
    fn sample(&self, py: Python<'_>, lane: u32, element: u64) -> PyResult<(usize, u64)> {
        self.check(py, 0, lane)?;
        let source = self.0.source_in_lane(lane, element);
        Ok((source, self.0.lane_count_before(source, lane, element)))
    }

    /// How many of a lane's first elements a source gives.
    fn lane_count_before(&self, py: Python<'_>, source: usize, lane: u32, element: u64) -> PyResult<u64> {
        self.check(py, source, lane)?;
        Ok(self.0.lane_count_before(source, lane, element))
    }

    /// Which element of a lane is a source's sample with this index there.
    fn lane_element_of(&self, py: Python<'_>, source: usize, lane: u32, index: u64) -> PyResult<Option<u64>> {
        self.check(py, source, lane)?;
        Ok(self.0.lane_element_of(source, lane, index))
    }

    /// After how many samples the mix of sources with so many rows ends; `None` where it never does.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn end(&self, py: Python<'_>, num_rows: Vec<u64>, stopping: &str) -> PyResult<Option<u64>> {
        let lanes: Vec<_> = num_rows.iter().map(|&rows| LaneRows::new(self.0.num_lanes(), 0..rows)).collect();
        detached(py, || self.0.end(&lanes, stopping.parse()?))
    }

    /// The same of sources whose lanes have these lengths, source by source.
    fn end_of_lanes(&self, py: Python<'_>, lens: Vec<Vec<u64>>, stopping: &str) -> PyResult<Option<u64>> {
        let lanes: Vec<_> = lens.into_iter().map(LaneRows::of_lens).collect();
        detached(py, || self.0.end(&lanes, stopping.parse()?))
    }

    fn __repr__(&self) -> String {
        let (sources, lanes, seed) = (self.0.num_sources(), self.0.num_lanes(), self.0.seed());
        format!("Schedule({sources} sources, num_lanes={lanes}, seed={seed})")
    }
}

impl PySchedule {
    /// The schedule itself.
    pub fn schedule(&self) -> &Arc<Schedule> {
        &self.0
    }

    fn check(&self, py: Python<'_>, source: usize, lane: u32) -> PyResult<()> {
        if source < self.0.num_sources() && lane < self.0.num_lanes() {
            return Ok(());
        }
        Err(raise(
            py,
            Error::InvalidArgument(format!("there is no lane {lane} of source {source} in this mix")),
        ))
    }
}

/// The steps that Python gives.
pub fn from_plain(steps: Vec<PlainStep>) -> Vec<Step> {
    steps.into_iter().map(|(start, weights, is_ramp)| Step { start, weights, is_ramp }).collect()
}
