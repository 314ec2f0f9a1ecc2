//! A field compiled once into the converter of its values.

use std::marker::PhantomData;
use std::ops::Range;

use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray};
use arrow_schema::{DataType, Field};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::error::{ConvertError, Result};
use super::{decimal, encoded, extension, interval, list, number, structure, temporal, text};

/// Makes the Python values of one field.
pub trait Convert: Send + Sync {
    /// The value at `row`, which lies inside `array` and is not null there.
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>>;

    /// The values of `rows`, which lie inside `array`, nulls as `None`.
    fn items<'py>(
        &self,
        py: Python<'py>,
        array: &dyn Array,
        rows: Range<usize>,
    ) -> Result<Bound<'py, PyList>> {
        let items = rows.map(|row| self.nullable(py, array, row)).collect::<Result<Vec<_>>>()?;
        Ok(PyList::new(py, items)?)
    }

    /// The value at `row`, or `None` where it is null.
    fn nullable<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        if array.is_null(row) {
            return Ok(py.None().into_bound(py));
        }
        self.value(py, array, row)
    }
}

/// A compiled field.
pub type Converter = Box<dyn Convert>;

/// Compiles a field: its extension type if it has one, else its data type.
pub fn compile(py: Python<'_>, field: &Field) -> PyResult<Converter> {
    match extension::compile(py, field)? {
        Some(converter) => Ok(converter),
        None => compile_type(py, field.data_type()),
    }
}

/// Compiles a data type that carries no field of its own.
pub fn compile_type(py: Python<'_>, data_type: &DataType) -> PyResult<Converter> {
    if let Some(leaf) = number::compile(data_type).or_else(|| text::compile(data_type)) {
        return Ok(leaf);
    }
    for family in [
        temporal::compile,
        decimal::compile,
        list::compile,
        structure::compile,
        encoded::compile,
        interval::compile,
    ] {
        if let Some(converter) = family(py, data_type)? {
            return Ok(converter);
        }
    }
    Err(PyTypeError::new_err(format!("columns of type {data_type} have no Python value; leave them out")))
}

/// Makes a Python object of one native Arrow value.
pub trait Make<N>: Send + Sync {
    /// The object.
    fn make<'py>(&self, py: Python<'py>, native: N) -> PyResult<Bound<'py, PyAny>>;
}

/// Fixed-width values that need more than a number: dates, decimals, intervals.
pub struct Made<T, M> {
    make: M,
    arrow_type: PhantomData<fn() -> T>,
}

impl<T, M> Made<T, M>
where
    T: ArrowPrimitiveType,
    M: Make<T::Native> + 'static,
{
    /// The converter that hands each value to `make`.
    pub fn boxed(make: M) -> Converter {
        Box::new(Self { make, arrow_type: PhantomData })
    }
}

impl<T, M> Convert for Made<T, M>
where
    T: ArrowPrimitiveType,
    M: Make<T::Native>,
{
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        let array = downcast::<PrimitiveArray<T>>(array)?;
        Ok(self.make.make(py, array.value(row))?)
    }
}

/// The concrete array behind `array`.
pub fn downcast<A: 'static>(array: &dyn Array) -> Result<&A> {
    array.as_any().downcast_ref::<A>().ok_or_else(|| mismatch::<A>(array))
}

#[cold]
fn mismatch<A>(array: &dyn Array) -> ConvertError {
    let wanted = std::any::type_name::<A>();
    let problem = format!("a column stored as {} is read as {wanted}", array.data_type());
    ConvertError::Python(PyTypeError::new_err(problem))
}

/// `rows`, if they lie inside `array`.
pub fn inside(array: &dyn Array, start: usize, end: usize) -> Result<Range<usize>> {
    if start <= end && end <= array.len() {
        return Ok(start..end);
    }
    Err(ConvertError::damaged(format!("items {start}..{end} of a child that holds {}", array.len())))
}
