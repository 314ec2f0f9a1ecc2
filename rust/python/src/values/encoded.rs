//! Values that stand elsewhere: dictionaries, run-end encoding, unions.

use std::marker::PhantomData;

use arrow_array::types::{
    ArrowDictionaryKeyType, Int8Type, Int16Type, Int32Type, Int64Type, RunEndIndexType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, DictionaryArray, RunArray, UnionArray};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{DataType, UnionFields};
use pyo3::prelude::*;

use super::convert::{Convert, Converter, compile as compile_field, compile_type, downcast, inside};
use super::error::{ConvertError, Result};

/// The converter of an encoded type.
pub fn compile(py: Python<'_>, data_type: &DataType) -> PyResult<Option<Converter>> {
    match data_type {
        DataType::Dictionary(key, value) => Ok(dictionary(key, compile_type(py, value)?)),
        DataType::RunEndEncoded(ends, values) => Ok(runs(ends.data_type(), compile_field(py, values)?)),
        DataType::Union(fields, _) => Ok(Some(Box::new(Union::compile(py, fields)?))),
        _ => Ok(None),
    }
}

fn dictionary(key: &DataType, values: Converter) -> Option<Converter> {
    Some(match key {
        DataType::Int8 => Dictionary::<Int8Type>::boxed(values),
        DataType::Int16 => Dictionary::<Int16Type>::boxed(values),
        DataType::Int32 => Dictionary::<Int32Type>::boxed(values),
        DataType::Int64 => Dictionary::<Int64Type>::boxed(values),
        DataType::UInt8 => Dictionary::<UInt8Type>::boxed(values),
        DataType::UInt16 => Dictionary::<UInt16Type>::boxed(values),
        DataType::UInt32 => Dictionary::<UInt32Type>::boxed(values),
        DataType::UInt64 => Dictionary::<UInt64Type>::boxed(values),
        _ => return None,
    })
}

struct Dictionary<K> {
    values: Converter,
    key_type: PhantomData<fn() -> K>,
}

impl<K: ArrowDictionaryKeyType> Dictionary<K> {
    fn boxed(values: Converter) -> Converter {
        Box::new(Self { values, key_type: PhantomData })
    }
}

impl<K: ArrowDictionaryKeyType> Convert for Dictionary<K> {
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        let array = downcast::<DictionaryArray<K>>(array)?;
        // A negative key becomes a huge index, which is out of range like any other.
        at(&*self.values, py, &**array.values(), array.keys().value(row).as_usize())
    }
}

fn runs(ends: &DataType, values: Converter) -> Option<Converter> {
    Some(match ends {
        DataType::Int16 => Runs::<Int16Type>::boxed(values),
        DataType::Int32 => Runs::<Int32Type>::boxed(values),
        DataType::Int64 => Runs::<Int64Type>::boxed(values),
        _ => return None,
    })
}

struct Runs<R> {
    values: Converter,
    end_type: PhantomData<fn() -> R>,
}

impl<R: RunEndIndexType> Runs<R> {
    fn boxed(values: Converter) -> Converter {
        Box::new(Self { values, end_type: PhantomData })
    }
}

impl<R: RunEndIndexType> Convert for Runs<R> {
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        let array = downcast::<RunArray<R>>(array)?;
        at(&*self.values, py, &**array.values(), array.get_physical_index(row))
    }
}

struct Union {
    /// Type codes and their converters.
    children: Vec<(i8, Converter)>,
}

impl Union {
    fn compile(py: Python<'_>, fields: &UnionFields) -> PyResult<Self> {
        let children = fields.iter().map(|(code, field)| Ok((code, compile_field(py, field)?)));
        Ok(Self { children: children.collect::<PyResult<_>>()? })
    }
}

impl Convert for Union {
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        let array = downcast::<UnionArray>(array)?;
        let code = array.type_id(row);
        let Some((_, converter)) = self.children.iter().find(|(known, _)| *known == code) else {
            return Err(ConvertError::damaged(format!("a union has no type code {code}")));
        };
        at(&**converter, py, &**array.child(code), array.value_offset(row))
    }
}

fn at<'py>(
    converter: &dyn Convert,
    py: Python<'py>,
    values: &dyn Array,
    index: usize,
) -> Result<Bound<'py, PyAny>> {
    inside(values, index, index.saturating_add(1))?;
    converter.nullable(py, values, index)
}
