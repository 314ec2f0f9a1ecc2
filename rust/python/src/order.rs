//! The order of a dataset's rows, asked without reading one.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rowmill_core::loader::Epochs;
use rowmill_core::order::{Layout, OrderSettings, quality};

use crate::interpreter::detached;

/// The orders of all epochs, by one set of settings.
#[pyclass(frozen, module = "rowmill._rust", name = "Order")]
pub struct PyOrder(pub Arc<Epochs>);

impl PyOrder {
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
        Ok(Self(Arc::new(Epochs::new(layout, settings))))
    }
}

#[pymethods]
impl PyOrder {
    /// Rows of an epoch.
    #[getter]
    fn num_rows(&self) -> u64 {
        self.0.layout().num_rows()
    }

    /// Row ids at positions `[start, stop)` of an epoch.
    fn row_ids(&self, py: Python<'_>, epoch: u64, start: u64, stop: u64) -> PyResult<Vec<u64>> {
        detached(py, || {
            let mut reader = self.0.order(epoch).reader();
            Ok((start..stop.min(self.0.layout().num_rows()))
                .map(|position| reader.row_id(position))
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
        let (measured, overlap) = detached(py, || {
            let (first, second) = (self.0.order(epoch), self.0.order(epoch + 1));
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
        let settings = self.0.settings();
        format!("Order({}, seed={}, num_lanes={})", settings.mode, settings.seed, settings.num_lanes)
    }
}
