//! Structs as dicts.

use arrow_array::{Array, StructArray};
use arrow_schema::{DataType, Fields};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::convert::{Convert, Converter, compile as compile_field, downcast};
use super::error::{ConvertError, Result};

/// The converter of a struct type.
pub fn compile(py: Python<'_>, data_type: &DataType) -> PyResult<Option<Converter>> {
    let DataType::Struct(fields) = data_type else { return Ok(None) };
    Ok(Some(Box::new(Struct { fields: Named::compile(py, fields)?, is_ambiguous: has_duplicates(fields) })))
}

/// One field under its interned name.
pub struct Named {
    /// The key of the dict.
    pub key: Py<PyString>,
    /// What makes its value.
    pub converter: Converter,
}

impl Named {
    /// Compiles all fields of a struct or a schema.
    pub fn compile(py: Python<'_>, fields: &Fields) -> PyResult<Vec<Self>> {
        let named = |field: &arrow_schema::FieldRef| {
            let key = PyString::intern(py, field.name()).unbind();
            Ok(Self { key, converter: compile_field(py, field)? })
        };
        fields.iter().map(named).collect()
    }
}

fn has_duplicates(fields: &Fields) -> bool {
    let mut names: Vec<_> = fields.iter().map(|field| field.name()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

struct Struct {
    fields: Vec<Named>,
    is_ambiguous: bool,
}

impl Convert for Struct {
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        let columns = downcast::<StructArray>(array)?.columns();
        if self.is_ambiguous {
            return Err(PyValueError::new_err("a struct with two fields of one name is not a dict").into());
        }
        if columns.len() != self.fields.len() {
            let (found, wanted) = (columns.len(), self.fields.len());
            return Err(ConvertError::damaged(format!("a struct of {found} fields, not {wanted}")));
        }
        let dict = PyDict::new(py);
        for (field, column) in self.fields.iter().zip(columns) {
            dict.set_item(field.key.bind(py), field.converter.nullable(py, &**column, row)?)?;
        }
        Ok(dict.into_any())
    }
}
