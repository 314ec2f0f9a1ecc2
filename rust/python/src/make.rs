//! What the engine hands over, made into what the consumer asked for.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use rowmill_core::assemble::{
    Batch, BatchRequest, Column, ColumnPlan, Dtype, Pool, PoolBuffer, RowSet, plan_columns, record_batch,
};
use rowmill_core::loader::{Output, Step, Table};
use rowmill_core::text::padded::{PADDED_NAMES, PadPlan, assemble_batch};

use crate::arrow_export::PyRecordBatch;
use crate::error::{raise, raise_conversion};
use crate::padding::PyPadding;
use crate::table::{PyTable, dict, dicts};
use crate::tensors::Tensors;
use crate::values::RowConverter;

/// Idle batch buffers kept for reuse.
pub const POOL_BYTES: usize = 64 << 20;

/// The type of what is handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rows,
    RowLists,
    Lists,
    Torch,
    NumPy,
    Arrow,
}

/// Makes items; compiled once for a stream.
pub struct Maker {
    kind: Kind,
    table: Arc<Table>,
    /// The columns that are handed out.
    schema: SchemaRef,
    converter: Arc<RowConverter>,
    keys: Vec<Py<PyString>>,
    plans: Arc<[ColumnPlan]>,
    names: Arc<[String]>,
    pad: Option<Arc<PadPlan>>,
    pool: Pool,
    /// pyarrow's `record_batch`, where batches are Arrow's.
    wrap: Option<Py<PyAny>>,
    /// Makes batches' columns, where those are tensors.
    tensors: Option<Tensors>,
}

impl Maker {
    /// Compiles `output` (`rows`, `row_lists`, `python`, `torch`, `numpy`, `arrow`) over a table's columns.
    ///
    /// Tensors and arrays are padded where that is asked for.
    #[expect(clippy::too_many_arguments, reason = "what decides a batch, one each")]
    pub fn try_new(
        py: Python<'_>,
        table: &PyTable,
        output: &str,
        dtypes: Vec<(String, String)>,
        fills: Vec<(String, f64)>,
        padding: Option<&PyPadding>,
        wrap: Option<Py<PyAny>>,
        pin: Option<(Py<PyAny>, Py<PyAny>)>,
    ) -> PyResult<Self> {
        let kind = kind_of(output);
        let request = request(kind, dtypes, fills).map_err(|error| raise(py, error))?;
        let schema = table.schema_ref();
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let (plans, pad) = if matches!(kind, Kind::Torch | Kind::NumPy) {
            plan(schema, &names, &request, padding).map_err(|error| raise(py, error))?
        } else {
            (vec![ColumnPlan::Objects; names.len()], None)
        };
        let shown = pad.as_ref().map_or(&names[..], |pad| pad.names());
        let (wrap, tensors) = match kind {
            Kind::Torch | Kind::NumPy => (None, Some(Tensors::try_new(py, kind == Kind::Torch, wrap, pin)?)),
            _ => (wrap, None),
        };
        Ok(Self {
            kind,
            table: Arc::clone(&table.table),
            schema: Arc::clone(schema),
            converter: Arc::clone(&table.converter),
            keys: shown.iter().map(|name| PyString::intern(py, name).unbind()).collect(),
            plans: plans.into(),
            names: names.into(),
            pad: pad.map(Arc::new),
            pool: Pool::new(POOL_BYTES),
            wrap,
            tensors,
        })
    }

    /// What the engine must hand over for this.
    pub fn output(&self) -> Output {
        match self.kind {
            Kind::Rows => Output::Rows,
            Kind::Torch | Kind::NumPy => Output::Batches {
                plans: Arc::clone(&self.plans),
                names: Arc::clone(&self.names),
                pad: self.pad.clone(),
                pool: self.pool.clone(),
            },
            Kind::RowLists | Kind::Lists => Output::RowSets { gathers: true },
            Kind::Arrow => Output::RowSets { gathers: false },
        }
    }

    /// Whether the consumer's thread turns every row into Python objects.
    pub fn makes_objects(&self) -> bool {
        matches!(self.kind, Kind::Rows | Kind::RowLists | Kind::Lists)
    }

    /// Whether what is read must be decoded first.
    pub fn is_decoded(&self) -> bool {
        self.table.owns_memory()
    }

    /// The pool that batches are assembled in.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Makes one item; also its number of rows and of bytes.
    pub fn make(&self, py: Python<'_>, step: Step) -> PyResult<(Py<PyAny>, usize, usize)> {
        match step {
            Step::Row(rows, index) => {
                Ok((dict(py, &self.converter, &rows, index)?.into_any().unbind(), 1, 0))
            }
            Step::Batch(batch) => {
                let (num_rows, num_bytes) = (batch.num_rows, batch.num_bytes());
                Ok((self.columns(py, batch)?.into_any().unbind(), num_rows, num_bytes))
            }
            Step::Rows(rows) => Ok((self.row_set(py, &rows)?, rows.len(), 0)),
        }
    }

    /// Assembles rows that a laned pipeline has picked.
    pub fn assemble(&self, py: Python<'_>, rows: RowSet) -> PyResult<Py<PyAny>> {
        if !matches!(self.kind, Kind::Torch | Kind::NumPy) {
            return self.row_set(py, &rows);
        }
        let batch = crate::interpreter::detached(py, || {
            assemble_batch(rows, &self.plans, &self.names, self.pad.as_deref(), &self.pool)
        })?;
        Ok(self.columns(py, batch)?.into_any().unbind())
    }

    /// These rows of these columns as an Arrow record batch.
    pub fn arrow(&self, py: Python<'_>, rows: &RowSet, columns: &[usize]) -> PyResult<PyRecordBatch> {
        crate::interpreter::detached(py, || record_batch(rows, &self.schema, columns)).map(PyRecordBatch::new)
    }

    /// Indices of the columns with these names.
    pub fn columns_named(&self, names: &[String]) -> Vec<usize> {
        (0..self.names.len()).filter(|index| names.contains(&self.names[*index])).collect()
    }

    fn row_set(&self, py: Python<'_>, rows: &RowSet) -> PyResult<Py<PyAny>> {
        match self.kind {
            Kind::Arrow => {
                let all: Vec<usize> = (0..self.names.len()).collect();
                let batch = Bound::new(py, self.arrow(py, rows, &all)?)?;
                match &self.wrap {
                    Some(wrap) => wrap.call1(py, (batch,)),
                    None => Ok(batch.into_any().unbind()),
                }
            }
            Kind::Lists => {
                let columns = PyDict::new(py);
                for (index, key) in self.keys.iter().enumerate() {
                    columns.set_item(key.bind(py), self.values(py, rows, index)?)?;
                }
                Ok(columns.into_any().unbind())
            }
            _ => Ok(dicts(py, &self.converter, rows)?.into_any().unbind()),
        }
    }

    fn columns<'py>(&self, py: Python<'py>, batch: Batch) -> PyResult<Bound<'py, PyDict>> {
        let columns = PyDict::new(py);
        for (index, column) in batch.columns.into_iter().enumerate() {
            let made = match column {
                Column::Tensor { buffer, dtype, shape } => self.tensor(py, buffer, dtype, &shape)?,
                Column::Ragged { rows, dtype } => {
                    let list = PyList::empty(py);
                    for (buffer, shape) in rows {
                        list.append(self.tensor(py, buffer, dtype, &shape)?)?;
                    }
                    list.into_any()
                }
                Column::Objects => self.values(py, &batch.rows, index)?.into_any(),
            };
            columns.set_item(self.keys[index].bind(py), made)?;
        }
        Ok(columns)
    }

    fn tensor<'py>(
        &self,
        py: Python<'py>,
        buffer: PoolBuffer,
        dtype: Dtype,
        shape: &[usize],
    ) -> PyResult<Bound<'py, PyAny>> {
        match &self.tensors {
            Some(tensors) => tensors.make(py, buffer, dtype, shape),
            None => Err(pyo3::exceptions::PyRuntimeError::new_err("the format has no tensors")),
        }
    }

    fn values<'py>(&self, py: Python<'py>, rows: &RowSet, column: usize) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for index in 0..rows.len() {
            let (array, row) = rows.cell(column, index);
            let value = self.converter.value(py, column, array.as_ref(), row);
            list.append(value.map_err(|error| raise_conversion(py, error, rows.locate(index).0))?)?;
        }
        Ok(list)
    }
}

/// How the columns become those of a batch, padded where that is asked for.
fn plan(
    schema: &SchemaRef,
    names: &[String],
    request: &BatchRequest,
    padding: Option<&PyPadding>,
) -> rowmill_core::Result<(Vec<ColumnPlan>, Option<PadPlan>)> {
    let Some(padding) = padding else { return Ok((plan_columns(schema, request)?, None)) };
    // Columns that padding adds have dtypes of their own to ask for.
    let mut known = request.clone();
    known.dtypes.retain(|(name, _)| names.contains(name) || !PADDED_NAMES.contains(&name.as_str()));
    let mut plans = plan_columns(schema, &known)?;
    let pad = PadPlan::try_new(&padding.request, names, &mut plans, request)?;
    Ok((plans, Some(pad)))
}

fn kind_of(output: &str) -> Kind {
    match output {
        "rows" => Kind::Rows,
        "row_lists" => Kind::RowLists,
        "torch" => Kind::Torch,
        "numpy" => Kind::NumPy,
        "arrow" => Kind::Arrow,
        _ => Kind::Lists,
    }
}

fn request(
    kind: Kind,
    dtypes: Vec<(String, String)>,
    fills: Vec<(String, f64)>,
) -> rowmill_core::Result<BatchRequest> {
    let parsed = dtypes.into_iter().map(|(name, dtype)| Ok((name, dtype.parse()?)));
    Ok(BatchRequest {
        dtypes: parsed.collect::<rowmill_core::Result<_>>()?,
        fills,
        tokens_as_int64: kind == Kind::Torch,
    })
}

/// Statistics of a consumer, as Python's `stats()` gives them.
pub fn stats<'py>(
    py: Python<'py>,
    engine: Option<rowmill_core::prefetch::ProducerStats>,
    maker: &Maker,
) -> PyResult<Bound<'py, PyDict>> {
    engine_stats(py, engine, &[&maker.table], &maker.pool)
}

/// The same of an engine over a table, with batches in a pool.
pub fn engine_stats<'py>(
    py: Python<'py>,
    engine: Option<rowmill_core::prefetch::ProducerStats>,
    tables: &[&Table],
    pool: &Pool,
) -> PyResult<Bound<'py, PyDict>> {
    let sum = |of: fn(&Table) -> u64| tables.iter().map(|table| of(table)).sum::<u64>();
    let engine = engine.unwrap_or_default();
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "wait_seconds"), engine.waited_ns as f64 / 1e9)?;
    dict.set_item(intern!(py, "busy_seconds"), engine.busy_ns as f64 / 1e9)?;
    dict.set_item(intern!(py, "cpu_seconds"), engine.cpu_ns as f64 / 1e9)?;
    dict.set_item(intern!(py, "ring_items"), engine.ring_items)?;
    dict.set_item(intern!(py, "ring_bytes"), engine.ring_bytes)?;
    dict.set_item(intern!(py, "peak_ring_bytes"), engine.peak_ring_bytes)?;
    dict.set_item(intern!(py, "num_threads"), engine.num_threads)?;
    dict.set_item(intern!(py, "jobs"), engine.produced)?;
    dict.set_item(intern!(py, "helped_jobs"), engine.helped)?;
    dict.set_item(intern!(py, "blocks_decoded"), sum(|table| table.cache.num_decoded()))?;
    dict.set_item(intern!(py, "blocks_decoded_again"), sum(|table| table.cache.num_again()))?;
    dict.set_item(intern!(py, "row_groups_scanned_again"), sum(Table::num_rescans))?;
    dict.set_item(intern!(py, "cache_bytes"), sum(|table| table.cache.num_bytes()))?;
    dict.set_item(intern!(py, "skipped_rows"), sum(Table::num_skipped))?;
    dict.set_item(intern!(py, "io"), tables.first().map(|table| table.io().to_string()))?;
    let (mut mapped, mut read) = (0_u64, 0_u64);
    for source in tables.iter().flat_map(|table| table.open_sources()) {
        if source.is_mapped() {
            mapped += source.bytes_read();
        } else {
            read += source.bytes_read();
        }
    }
    dict.set_item(intern!(py, "mapped_bytes"), mapped)?;
    dict.set_item(intern!(py, "read_bytes"), read)?;
    if tables.iter().flat_map(|table| table.open_sources()).any(|source| source.is_remote()) {
        dict.set_item(intern!(py, "remote"), crate::remote::remote_stats(py)?)?;
    }
    let pool = pool.stats();
    dict.set_item(intern!(py, "pool_bytes"), pool.bytes_out + pool.bytes_idle)?;
    dict.set_item(intern!(py, "pool_allocations"), pool.allocations)?;
    Ok(dict)
}
