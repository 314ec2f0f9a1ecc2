//! Extension types whose Python value differs from their storage; all others are their storage.

use arrow_array::types::Int8Type;
use arrow_array::{Array, FixedSizeBinaryArray};
use arrow_schema::extension::EXTENSION_TYPE_NAME_KEY;
use arrow_schema::{DataType, Field};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict};

use super::convert::{Convert, Converter, Made, Make, downcast};
use super::error::Result;

/// The converter of a field's extension type, if pyarrow knows one.
pub fn compile(py: Python<'_>, field: &Field) -> PyResult<Option<Converter>> {
    let name = field.metadata().get(EXTENSION_TYPE_NAME_KEY).map(String::as_str);
    Ok(Some(match (name, field.data_type()) {
        (Some("arrow.uuid"), DataType::FixedSizeBinary(16)) => {
            let class = py.import(intern!(py, "uuid"))?.getattr(intern!(py, "UUID"))?;
            Box::new(Uuid(class.unbind()))
        }
        (Some("arrow.bool8"), DataType::Int8) => Made::<Int8Type, _>::boxed(Bool8),
        _ => return Ok(None),
    }))
}

struct Uuid(Py<PyAny>);

impl Convert for Uuid {
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        let bytes = downcast::<FixedSizeBinaryArray>(array)?.value(row);
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "bytes"), PyBytes::new(py, bytes))?;
        Ok(self.0.bind(py).call((), Some(&keywords))?)
    }
}

struct Bool8;

impl Make<i8> for Bool8 {
    fn make<'py>(&self, py: Python<'py>, native: i8) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyBool::new(py, native != 0).to_owned().into_any())
    }
}
