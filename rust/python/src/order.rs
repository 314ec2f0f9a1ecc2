//! The order of a dataset's rows, asked without reading one.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rowmill_core::Error;
use rowmill_core::loader::Epochs;
use rowmill_core::loader::epochs::EpochReaders;
use rowmill_core::order::{Layout, OrderSettings, quality};
use rowmill_core::prefetch::fork_generation;

use crate::error::raise;
use crate::interpreter::detached;

/// The orders of all epochs, by one set of settings.
#[pyclass(frozen, module = "rowmill._rust", name = "Order")]
pub struct PyOrder(Mutex<(u64, Arc<Epochs>)>);

impl PyOrder {
    /// The orders. A forked child makes its own: a thread of the parent may hold the lock of the others for ever.
    pub fn epochs(&self) -> Arc<Epochs> {
        let generation = fork_generation();
        // Locked only with the interpreter attached and for a moment, so never held over a fork.
        let mut kept = self.0.lock();
        if kept.0 != generation {
            let fresh = (generation, Arc::new(kept.1.afresh()));
            std::mem::forget(std::mem::replace(&mut *kept, fresh));
        }
        Arc::clone(&kept.1)
    }

    /// Checks the settings; no order is made yet.
    pub fn try_new(
        layout: Arc<Layout>,
        mode: &str,
        seed: u64,
        num_lanes: u32,
        window_bytes: u64,
        reshuffle_each_epoch: bool,
    ) -> rowmill_core::Result<Self> {
        let settings =
            OrderSettings { mode: mode.parse()?, seed, num_lanes, window_bytes, reshuffle_each_epoch };
        settings.validate()?;
        Ok(Self::of(Epochs::new(layout, settings)))
    }

    /// These orders; none is made yet.
    pub fn of(epochs: Epochs) -> Self {
        Self(Mutex::new((fork_generation(), Arc::new(epochs))))
    }
}

#[pymethods]
impl PyOrder {
    /// The order of files, whose numbers are then the row ids: permuted, or as they stand, and dealt to lanes.
    #[staticmethod]
    #[pyo3(signature = (num_files, *, is_shuffled, seed, num_lanes, reshuffle_each_epoch))]
    fn of_files(
        py: Python<'_>,
        num_files: u32,
        is_shuffled: bool,
        seed: u64,
        num_lanes: u32,
        reshuffle_each_epoch: bool,
    ) -> PyResult<Self> {
        // A file is a shard of one row.
        let ones = vec![1; num_files as usize];
        let mode = if is_shuffled { "shard" } else { "none" };
        Layout::try_new(ones.clone(), ones, (0..num_files).collect())
            .and_then(|layout| {
                Self::try_new(Arc::new(layout), mode, seed, num_lanes, 1, reshuffle_each_epoch)
            })
            .map_err(|error| raise(py, error))
    }

    /// Rows that an epoch is drawn from.
    #[getter]
    fn num_rows(&self) -> u64 {
        self.epochs().num_rows()
    }

    /// Positions of an epoch; None where it has no end.
    #[getter]
    fn num_positions(&self) -> Option<u64> {
        self.epochs().num_positions()
    }

    /// Row ids at positions `[start, stop)` of an epoch.
    fn row_ids(&self, py: Python<'_>, epoch: u64, start: u64, stop: u64) -> PyResult<Vec<u64>> {
        let epochs = self.epochs();
        detached(py, || {
            let mut readers = EpochReaders::default();
            let stop = stop.min(epochs.num_positions().unwrap_or(u64::MAX));
            Ok((start..stop)
                .map(|position| readers.row_id(&epochs, &epochs.spot_at(epoch, position)))
                .collect())
        })
    }

    /// Measures of the shuffle over the first `num_positions` positions of two epochs, in batches of `batch_size`.
    fn quality<'py>(
        &self,
        py: Python<'py>,
        epoch: u64,
        num_positions: u64,
        batch_size: u64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let epochs = self.epochs();
        let (measured, overlap) = detached(py, || {
            if epochs.draws().is_some() {
                let text = "how well an order mixes is measured of one source; ask each of those of a mix";
                return Err(Error::InvalidArgument(text.to_owned()));
            }
            let (first, second) = (epochs.order(epoch), epochs.order(epoch.saturating_add(1)));
            let stop = num_positions.min(first.num_rows());
            Ok((quality::measure(&first, 0..stop, batch_size), quality::overlap(&first, &second, batch_size)))
        })?;
        let dict = PyDict::new(py);
        dict.set_item("entropy_bits", measured.entropy.bits)?;
        dict.set_item("entropy_normalised", measured.entropy.normalised)?;
        dict.set_item("mean_displacement", measured.displacement.mean)?;
        dict.set_item("max_displacement", measured.displacement.max)?;
        dict.set_item("mean_blocks_per_batch", measured.blocks_per_batch.mean)?;
        dict.set_item("max_blocks_per_batch", measured.blocks_per_batch.max)?;
        dict.set_item("mean_shards_per_batch", measured.shards_per_batch.mean)?;
        dict.set_item("batch_pairs_again", overlap.batch_pairs)?;
        dict.set_item("same_lane_again", overlap.same_lane)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        let epochs = self.epochs();
        if let Some(draws) = epochs.draws() {
            let (seed, sources) = (draws.schedule().seed(), draws.sources().len());
            return format!("Order(mix of {sources}, seed={seed}, num_lanes={})", epochs.num_lanes());
        }
        let settings = epochs.settings();
        format!("Order({}, seed={}, num_lanes={})", settings.mode, settings.seed, settings.num_lanes)
    }
}
