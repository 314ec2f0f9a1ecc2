//! Decimals of all widths as `decimal.Decimal`, exactly.

use std::fmt::Display;

use arrow_array::types::{Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type};
use arrow_schema::DataType;
use pyo3::intern;
use pyo3::prelude::*;

use super::convert::{Converter, Made, Make};

/// The converter of a decimal type.
pub fn compile(py: Python<'_>, data_type: &DataType) -> PyResult<Option<Converter>> {
    let make = |scale: i8| -> PyResult<Scaled> {
        let class = py.import(intern!(py, "decimal"))?.getattr(intern!(py, "Decimal"))?.unbind();
        Ok(Scaled { class, exponent: -i16::from(scale) })
    };
    Ok(Some(match *data_type {
        DataType::Decimal32(_, scale) => Made::<Decimal32Type, _>::boxed(make(scale)?),
        DataType::Decimal64(_, scale) => Made::<Decimal64Type, _>::boxed(make(scale)?),
        DataType::Decimal128(_, scale) => Made::<Decimal128Type, _>::boxed(make(scale)?),
        DataType::Decimal256(_, scale) => Made::<Decimal256Type, _>::boxed(make(scale)?),
        _ => return Ok(None),
    }))
}

struct Scaled {
    class: Py<PyAny>,
    exponent: i16,
}

impl<N: Display> Make<N> for Scaled {
    fn make<'py>(&self, py: Python<'py>, native: N) -> PyResult<Bound<'py, PyAny>> {
        // Decimal(str) keeps every digit and the exponent whatever the caller's context is.
        self.class.bind(py).call1((format!("{native}E{}", self.exponent),))
    }
}
