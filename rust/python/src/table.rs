//! A dataset opened for reading some of its columns.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyList;
use rowmill_core::assemble::{BatchRequest, ColumnPlan, RowSet, plan_columns};
use rowmill_core::loader::Table;

use crate::arrow_export::PySchema;
use crate::error::raise_conversion;
use crate::interpreter::detached;
use crate::values::RowConverter;

/// Reads rows of some columns.
#[pyclass(frozen, module = "rowmill._rust", name = "Table")]
pub struct PyTable {
    /// The opened data.
    pub table: Arc<Table>,
    /// Makes its rows Python dicts.
    pub converter: Arc<RowConverter>,
}

impl PyTable {
    /// Compiles the conversion of rows.
    pub fn try_new(py: Python<'_>, table: Arc<Table>) -> PyResult<Self> {
        let converter = Arc::new(RowConverter::try_new(py, table.schema())?);
        Ok(Self { table, converter })
    }
}

#[pymethods]
impl PyTable {
    /// The columns read, under their names here.
    #[getter]
    fn schema(&self) -> PySchema {
        PySchema::new(Arc::clone(self.table.schema()))
    }

    /// (name, dtype) of the numeric columns, as batches of them have it.
    fn numeric_dtypes(&self, tokens_as_int64: bool) -> Vec<(String, &'static str)> {
        let request = BatchRequest { tokens_as_int64, ..BatchRequest::default() };
        let schema = self.table.schema();
        let plans = plan_columns(schema, &request).unwrap_or_default();
        let numeric = schema.fields().iter().zip(plans).filter_map(|(field, plan)| match plan {
            ColumnPlan::Numeric(numeric) => Some((field.name().clone(), numeric.target.name())),
            ColumnPlan::Objects => None,
        });
        numeric.collect()
    }

    /// The rows with these row ids, as dicts.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn fetch<'py>(&self, py: Python<'py>, row_ids: Vec<u64>) -> PyResult<Bound<'py, PyList>> {
        let rows = detached(py, || self.table.fetch(&row_ids))?;
        dicts(py, &self.converter, &rows)
    }

    fn __repr__(&self) -> String {
        format!("Table({} columns)", self.table.schema().fields().len())
    }
}

/// All rows as a list of dicts.
pub fn dicts<'py>(py: Python<'py>, converter: &RowConverter, rows: &RowSet) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for index in 0..rows.len() {
        list.append(dict(py, converter, rows, index)?)?;
    }
    Ok(list)
}

/// One row as a dict.
pub fn dict<'py>(
    py: Python<'py>,
    converter: &RowConverter,
    rows: &RowSet,
    index: usize,
) -> PyResult<Bound<'py, pyo3::types::PyDict>> {
    let cells = (0..converter.num_columns()).map(|column| rows.cell(column, index));
    converter.row(py, cells).map_err(|error| raise_conversion(py, error, rows.locate(index).0))
}
