//! Lists of every layout, and maps.

use arrow_array::{
    Array, FixedSizeListArray, GenericListArray, GenericListViewArray, MapArray, OffsetSizeTrait,
};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{DataType, Field};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::convert::{Convert, Converter, compile as compile_field, downcast, inside};
use super::error::{ConvertError, Result};

/// The converter of a list or map type.
pub fn compile(py: Python<'_>, data_type: &DataType) -> PyResult<Option<Converter>> {
    Ok(Some(match data_type {
        DataType::List(item) => Box::new(List { item: compile_field(py, item)?, bounds: offsets::<i32> }),
        DataType::LargeList(item) => {
            Box::new(List { item: compile_field(py, item)?, bounds: offsets::<i64> })
        }
        DataType::ListView(item) => Box::new(List { item: compile_field(py, item)?, bounds: views::<i32> }),
        DataType::LargeListView(item) => {
            Box::new(List { item: compile_field(py, item)?, bounds: views::<i64> })
        }
        DataType::FixedSizeList(item, _) => Box::new(List { item: compile_field(py, item)?, bounds: fixed }),
        DataType::Map(entries, _) => map(py, entries)?,
        _ => return Ok(None),
    }))
}

/// The child array of a list, and the bounds of one row in it.
type Bounds = for<'a> fn(&'a dyn Array, usize) -> Result<(&'a dyn Array, usize, usize)>;

struct List {
    item: Converter,
    bounds: Bounds,
}

impl Convert for List {
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        let (values, start, end) = (self.bounds)(array, row)?;
        let list = self.item.items(py, values, inside(values, start, end)?)?;
        Ok(list.into_any())
    }
}

fn offsets<O: OffsetSizeTrait>(array: &dyn Array, row: usize) -> Result<(&dyn Array, usize, usize)> {
    let array = downcast::<GenericListArray<O>>(array)?;
    let offsets = array.value_offsets();
    Ok((&**array.values(), offsets[row].as_usize(), offsets[row + 1].as_usize()))
}

fn views<O: OffsetSizeTrait>(array: &dyn Array, row: usize) -> Result<(&dyn Array, usize, usize)> {
    let array = downcast::<GenericListViewArray<O>>(array)?;
    let start = array.offsets()[row].as_usize();
    Ok((&**array.values(), start, start.saturating_add(array.sizes()[row].as_usize())))
}

fn fixed(array: &dyn Array, row: usize) -> Result<(&dyn Array, usize, usize)> {
    let array = downcast::<FixedSizeListArray>(array)?;
    // Not `value_offset`: it counts in i32, which a block of long lists overflows.
    let size = array.value_length() as usize;
    let start = row.saturating_mul(size);
    Ok((&**array.values(), start, start.saturating_add(size)))
}

fn map(py: Python<'_>, entries: &Field) -> PyResult<Converter> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => {
            Ok(Box::new(Map { key: compile_field(py, &fields[0])?, value: compile_field(py, &fields[1])? }))
        }
        other => Err(pyo3::exceptions::PyTypeError::new_err(format!("the entries of a map are {other}"))),
    }
}

struct Map {
    key: Converter,
    value: Converter,
}

impl Convert for Map {
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        let array = downcast::<MapArray>(array)?;
        let offsets = array.value_offsets();
        let (start, end) = (offsets[row].as_usize(), offsets[row + 1].as_usize());
        let (keys, values) = (&**array.keys(), &**array.values());
        let pair = |index| Ok((self.key.nullable(py, keys, index)?, self.value.nullable(py, values, index)?));
        let pairs = inside(keys, start, end)?.map(pair).collect::<Result<Vec<_>>>()?;
        Ok(PyList::new(py, pairs).map_err(ConvertError::Python)?.into_any())
    }
}
