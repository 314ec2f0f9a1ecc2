//! Opened datasets that are mixed: one table over all of them, and one order.

use std::sync::Arc;

use pyo3::prelude::*;
use rowmill_core::Error;
use rowmill_core::loader::{Epochs, Member, MixedSource, OnError, Projection, Shards, Table};
use rowmill_core::mix::{Draws, LaneRows};
use rowmill_core::order::{Layout, OrderSettings};
use rowmill_core::source::IoMode;

use crate::error::raise;
use crate::interpreter::detached;
use crate::kept::KeptTables;
use crate::mix::PySchedule;
use crate::order::PyOrder;
use crate::source::{Opened, PySource};
use crate::table::PyTable;

/// How a source is ordered: mode, seed, `window_bytes`, `reshuffle_each_epoch`, its rows and positions.
type PlainOrder = (String, u64, u64, bool, (u64, u64), (u64, u64));

/// One source; without data where it gave samples once and does no more.
struct Source {
    name: String,
    opened: Option<Opened>,
    first_row: u64,
    first_block: u32,
}

/// What is known of the sources of a mix without their rows.
#[pyclass(frozen, module = "rowmill._rust", name = "Mixture")]
pub struct PyMixture {
    sources: Vec<Source>,
    num_rows: u64,
    on_error: OnError,
    tables: KeptTables<(Vec<Projection>, IoMode, Option<String>)>,
}

#[pymethods]
impl PyMixture {
    /// Sources by name, in the order of the schedule; one that is no more is None and so many rows.
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn new(py: Python<'_>, sources: Vec<(String, Option<Py<PySource>>, u64)>) -> PyResult<Self> {
        let (mut placed, mut num_rows, mut num_blocks) = (Vec::new(), 0_u64, 0_u32);
        let too_many = || {
            raise(py, Error::InvalidArgument("the sources have 2^32 blocks or 2^63 rows, or more".to_owned()))
        };
        for (name, source, rows) in &sources {
            let opened = source.as_ref().map(|source| source.get().opened());
            let layout = opened.as_ref().map(|opened| &opened.layout);
            placed.push(Source {
                name: name.clone(),
                opened: opened.clone(),
                first_row: num_rows,
                first_block: num_blocks,
            });
            let rows = layout.map_or(*rows, |layout| layout.num_rows());
            num_rows = num_rows.checked_add(rows).filter(|rows| *rows < 1 << 63).ok_or_else(too_many)?;
            let blocks = u32::try_from(layout.map_or(0, |layout| layout.num_blocks())).unwrap_or(u32::MAX);
            num_blocks = num_blocks.checked_add(blocks).ok_or_else(too_many)?;
        }
        let skips = placed.iter().flat_map(|source| &source.opened).map(|opened| opened.on_error);
        let on_error = skips.clone().next().unwrap_or_default();
        if skips.clone().any(|other| other != on_error) {
            return Err(raise(py, Error::InvalidArgument(
                "some sources of the mix were opened with on_error=\"skip\" and others were not; open all of them alike"
                    .to_owned(),
            )));
        }
        Ok(Self { sources: placed, num_rows, on_error, tables: KeptTables::default() })
    }

    /// Rows of all sources.
    #[getter]
    fn num_rows(&self) -> u64 {
        self.num_rows
    }

    /// For each row id the index of its source, and its row id there.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn own_row_ids(&self, row_ids: Vec<u64>) -> Vec<(usize, u64)> {
        let own = |row_id: &u64| {
            let source = self.sources.partition_point(|source| source.first_row <= *row_id).max(1) - 1;
            (source, row_id - self.sources[source].first_row)
        };
        row_ids.iter().map(own).collect()
    }

    /// The table that reads these (stored name, name) columns of each source that has data, in their order; and says in
    /// a column `origin` behind them which source a row is of.
    #[pyo3(signature = (columns, io, origin=None))]
    fn table(
        &self,
        py: Python<'_>,
        columns: Vec<Vec<(String, String)>>,
        io: &str,
        origin: Option<String>,
    ) -> PyResult<PyTable> {
        let made = || {
            let io = io.parse()?;
            let opened = self.sources.iter().filter_map(|source| source.opened.as_ref());
            let projections = opened.zip(columns).map(|(opened, columns)| opened.projection(columns));
            let projections = projections.collect::<rowmill_core::Result<_>>()?;
            self.tables.get((projections, io, origin), |key| self.made(key))
        };
        let table = made().map_err(|error| raise(py, error))?;
        PyTable::try_new(py, table, None)
    }

    /// The order of the mix: each source's own, drawn from as the schedule says until `stopping` ends it.
    fn order(
        &self,
        py: Python<'_>,
        schedule: &PySchedule,
        stopping: &str,
        orders: Vec<PlainOrder>,
    ) -> PyResult<PyOrder> {
        let schedule = Arc::clone(schedule.schedule());
        detached(py, || {
            let num_lanes = schedule.num_lanes();
            let (mut sources, mut rows) = (Vec::new(), Vec::new());
            for (source, order) in self.sources.iter().zip(orders) {
                let positions = order.5;
                sources.push(source.ordered(order, num_lanes, source.first_block)?);
                rows.push(LaneRows::new(num_lanes, positions.0..positions.1));
            }
            let draws =
                Draws::try_new(schedule, rows, stopping.parse()?).map_err(|error| self.with_names(error))?;
            Ok(PyOrder::of(Epochs::mixed(sources, Arc::new(draws))))
        })
    }

    /// The order of one source alone, whose rows are counted among those of all.
    fn own_order(
        &self,
        py: Python<'_>,
        source: usize,
        order: PlainOrder,
        num_lanes: u32,
    ) -> PyResult<PyOrder> {
        let found = self.sources.get(source).ok_or_else(|| {
            Error::InvalidArgument(format!("the mix has no source {source}, but {}", self.sources.len()))
        });
        let made = found.and_then(|found| found.ordered(order, num_lanes, 0));
        Ok(PyOrder::of(Epochs::of_source(made.map_err(|error| raise(py, error))?)))
    }

    fn __repr__(&self) -> String {
        format!("Mixture({} sources, {} rows)", self.sources.len(), self.num_rows)
    }
}

impl PyMixture {
    fn made(&self, key: &(Vec<Projection>, IoMode, Option<String>)) -> rowmill_core::Result<Table> {
        let opened = self.sources.iter().filter_map(|source| Some((source, source.opened.as_ref()?)));
        let members = opened.zip(&key.0).map(|((source, opened), projection)| Member {
            name: source.name.clone(),
            shards: Arc::new(opened.some_columns(projection.clone(), key.1)),
            first_row: source.first_row,
            first_block: source.first_block,
        });
        Table::of_members(members.collect(), self.on_error, key.2.as_deref())
    }

    /// The core counts sources, a user names them.
    fn with_names(&self, error: Error) -> Error {
        let Error::Topology(mut text) = error else { return error };
        for (at, source) in self.sources.iter().enumerate().rev() {
            text = text.replace(&format!("source {at} "), &format!("source '{}' ", source.name));
        }
        Error::Topology(text)
    }
}

impl Source {
    /// What is ordered, and how.
    fn ordered(
        &self,
        (mode, seed, window_bytes, reshuffle_each_epoch, kept, _): PlainOrder,
        num_lanes: u32,
        first_block: u32,
    ) -> rowmill_core::Result<MixedSource> {
        let settings =
            OrderSettings { mode: mode.parse()?, seed, num_lanes, window_bytes, reshuffle_each_epoch };
        settings.validate()?;
        Ok(MixedSource { layout: self.layout(kept)?, settings, first_row: self.first_row, first_block })
    }

    fn layout(&self, (start, stop): (u64, u64)) -> rowmill_core::Result<Arc<Layout>> {
        match &self.opened {
            None => Ok(Arc::new(Layout::try_new(vec![], vec![], vec![])?)),
            Some(opened) if (start, stop) == (0, opened.layout.num_rows()) => Ok(Arc::clone(&opened.layout)),
            Some(opened) => Ok(Arc::new(opened.layout.clipped(start..stop))),
        }
    }
}

impl Opened {
    fn some_columns(&self, projection: Projection, io: IoMode) -> Shards {
        let layout = Arc::clone(&self.layout);
        let shards = Shards::new(self.manifest.clone(), layout, projection, io);
        match &self.selection {
            Some(selection) => shards.with_selection(Arc::clone(selection)),
            None => shards,
        }
    }
}
