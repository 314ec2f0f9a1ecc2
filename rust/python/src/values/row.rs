//! One row of Arrow arrays as a dict.

use arrow_array::{Array, ArrayRef};
use arrow_schema::Schema;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::error::{ConvertError, Result};
use super::structure::Named;

/// Makes rows of one schema; compiled once, used for every row.
pub struct RowConverter {
    columns: Vec<Named>,
    names: Vec<String>,
}

impl RowConverter {
    /// Compiles the *logical* schema: what the columns mean, however their strings are stored.
    pub fn try_new(py: Python<'_>, schema: &Schema) -> PyResult<Self> {
        let names = schema.fields().iter().map(|field| field.name().clone()).collect();
        Ok(Self { columns: Named::compile(py, schema.fields())?, names })
    }

    /// How many columns a row has.
    pub fn num_columns(&self) -> usize {
        self.columns.len()
    }

    /// The row as a dict, from the array of each column and the row's place in it; of two columns with one
    /// name the last stands, as in pyarrow.
    pub fn row<'a, 'py>(
        &self,
        py: Python<'py>,
        cells: impl ExactSizeIterator<Item = (&'a ArrayRef, usize)>,
    ) -> Result<Bound<'py, PyDict>> {
        if cells.len() != self.columns.len() {
            let (found, wanted) = (cells.len(), self.columns.len());
            return Err(PyTypeError::new_err(format!("a row of {found} columns, not {wanted}")).into());
        }
        let dict = PyDict::new(py);
        for (index, (array, row)) in cells.enumerate() {
            let value = self.value(py, index, &**array, row)?;
            dict.set_item(self.columns[index].key.bind(py), value)?;
        }
        Ok(dict)
    }

    /// One value of one column.
    pub fn value<'py>(
        &self,
        py: Python<'py>,
        column_index: usize,
        array: &dyn Array,
        row: usize,
    ) -> Result<Bound<'py, PyAny>> {
        if row >= array.len() {
            return Err(out_of_range(row, array.len()));
        }
        let converter = &self.columns[column_index].converter;
        converter.nullable(py, array, row).map_err(|error| error.in_column(py, &self.names[column_index]))
    }
}

#[cold]
fn out_of_range(row: usize, len: usize) -> ConvertError {
    PyIndexError::new_err(format!("row {row} of {len}")).into()
}
