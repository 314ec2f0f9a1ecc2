//! Nulls, booleans, integers and floats.

use std::marker::PhantomData;
use std::ops::Range;

use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, BooleanArray, PrimitiveArray};
use arrow_schema::DataType;
use half::f16;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyList};

use super::convert::{Convert, Converter, Made, Make, downcast};
use super::error::Result;

/// The converter of a number type.
pub fn compile(data_type: &DataType) -> Option<Converter> {
    Some(match data_type {
        DataType::Null => Box::new(Null),
        DataType::Boolean => Box::new(Boolean),
        DataType::Int8 => number::<Int8Type>(),
        DataType::Int16 => number::<Int16Type>(),
        DataType::Int32 => number::<Int32Type>(),
        DataType::Int64 => number::<Int64Type>(),
        DataType::UInt8 => number::<UInt8Type>(),
        DataType::UInt16 => number::<UInt16Type>(),
        DataType::UInt32 => number::<UInt32Type>(),
        DataType::UInt64 => number::<UInt64Type>(),
        DataType::Float16 => Made::<Float16Type, _>::boxed(Half),
        DataType::Float32 => number::<Float32Type>(),
        DataType::Float64 => number::<Float64Type>(),
        _ => return None,
    })
}

struct Null;

impl Convert for Null {
    fn value<'py>(&self, py: Python<'py>, _: &dyn Array, _: usize) -> Result<Bound<'py, PyAny>> {
        Ok(py.None().into_bound(py))
    }
}

struct Boolean;

impl Convert for Boolean {
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        let value = downcast::<BooleanArray>(array)?.value(row);
        Ok(PyBool::new(py, value).to_owned().into_any())
    }
}

struct Half;

impl Make<f16> for Half {
    fn make<'py>(&self, py: Python<'py>, native: f16) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyFloat::new(py, native.to_f64()).into_any())
    }
}

struct Number<T>(PhantomData<fn() -> T>);

fn number<T>() -> Converter
where
    T: ArrowPrimitiveType,
    for<'py> T::Native: IntoPyObject<'py>,
{
    Box::new(Number::<T>(PhantomData))
}

impl<T> Convert for Number<T>
where
    T: ArrowPrimitiveType,
    for<'py> T::Native: IntoPyObject<'py>,
{
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        let array = downcast::<PrimitiveArray<T>>(array)?;
        Ok(array.value(row).into_bound_py_any(py)?)
    }

    fn items<'py>(
        &self,
        py: Python<'py>,
        array: &dyn Array,
        rows: Range<usize>,
    ) -> Result<Bound<'py, PyList>> {
        let array = downcast::<PrimitiveArray<T>>(array)?;
        let values = &array.values()[rows.clone()];
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => Ok(PyList::new(py, values.iter().copied())?),
            Some(nulls) => {
                let items = rows.zip(values).map(|(row, value)| nulls.is_valid(row).then_some(*value));
                Ok(PyList::new(py, items)?)
            }
        }
    }
}
