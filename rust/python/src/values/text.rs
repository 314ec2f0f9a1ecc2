//! Strings and bytes, checked against their buffers and against UTF-8 one row at a time.

use arrow_array::types::{
    BinaryViewType, ByteArrayType, ByteViewType, GenericBinaryType, GenericStringType, StringViewType,
};
use arrow_array::{Array, FixedSizeBinaryArray, GenericByteArray, GenericByteViewArray};
use arrow_buffer::ArrowNativeType;
use arrow_data::{ByteView, MAX_INLINE_VIEW_LEN};
use arrow_schema::DataType;
use pyo3::exceptions::PyUnicodeDecodeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::convert::{Convert, Converter, downcast};
use super::error::{ConvertError, Result};

/// Finds the bytes of one row.
type BytesAt = for<'a> fn(&'a dyn Array, usize) -> Result<&'a [u8]>;

/// The converter of a string or binary type.
///
/// The array may be stored as either: a string column is decoded as bytes, so that UTF-8 is
/// checked here, for the rows that are used, and not for whole blocks.
pub fn compile(data_type: &DataType) -> Option<Converter> {
    let (bytes_at, is_text): (BytesAt, bool) = match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => (variable, true),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => (variable, false),
        DataType::FixedSizeBinary(_) => (fixed, false),
        _ => return None,
    };
    Some(if is_text { Box::new(Text(bytes_at)) } else { Box::new(Bytes(bytes_at)) })
}

struct Text(BytesAt);

impl Convert for Text {
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        match PyString::from_bytes(py, (self.0)(array, row)?) {
            Ok(text) => Ok(text.into_any()),
            Err(error) => Err(not_text(py, error)),
        }
    }
}

#[cold]
fn not_text(py: Python<'_>, error: PyErr) -> ConvertError {
    if error.is_instance_of::<PyUnicodeDecodeError>(py) {
        return ConvertError::damaged(format!("a string is not UTF-8: {}", error.value(py)));
    }
    ConvertError::Python(error)
}

struct Bytes(BytesAt);

impl Convert for Bytes {
    fn value<'py>(&self, py: Python<'py>, array: &dyn Array, row: usize) -> Result<Bound<'py, PyAny>> {
        Ok(PyBytes::new(py, (self.0)(array, row)?).into_any())
    }
}

/// The same type may be stored with offsets of either width or as views.
fn variable(array: &dyn Array, row: usize) -> Result<&[u8]> {
    match array.data_type() {
        DataType::Binary => slice_of(downcast::<GenericByteArray<GenericBinaryType<i32>>>(array)?, row),
        DataType::LargeBinary => slice_of(downcast::<GenericByteArray<GenericBinaryType<i64>>>(array)?, row),
        DataType::BinaryView => viewed(downcast::<GenericByteViewArray<BinaryViewType>>(array)?, row),
        DataType::LargeUtf8 => slice_of(downcast::<GenericByteArray<GenericStringType<i64>>>(array)?, row),
        DataType::Utf8View => viewed(downcast::<GenericByteViewArray<StringViewType>>(array)?, row),
        _ => slice_of(downcast::<GenericByteArray<GenericStringType<i32>>>(array)?, row),
    }
}

fn slice_of<T: ByteArrayType>(array: &GenericByteArray<T>, row: usize) -> Result<&[u8]> {
    let offsets = array.value_offsets();
    let (start, end) = (offsets[row].as_usize(), offsets[row + 1].as_usize());
    let data = array.value_data();
    data.get(start..end).ok_or_else(|| outside(start, end, data.len()))
}

fn viewed<T: ByteViewType>(array: &GenericByteViewArray<T>, row: usize) -> Result<&[u8]> {
    let view = ByteView::from(array.views()[row]);
    let length = view.length as usize;
    if view.length <= MAX_INLINE_VIEW_LEN {
        // The layout of a view: 4 bytes of length, then up to 12 bytes in place.
        let start = row * size_of::<u128>() + size_of::<u32>();
        return Ok(&array.views().inner()[start..start + length]);
    }
    let start = view.offset as usize;
    let buffer = array.data_buffers().get(view.buffer_index as usize);
    let Some(buffer) = buffer else {
        return Err(ConvertError::damaged(format!(
            "a view names buffer {}, which is not there",
            view.buffer_index
        )));
    };
    buffer.get(start..start + length).ok_or_else(|| outside(start, start + length, buffer.len()))
}

fn fixed(array: &dyn Array, row: usize) -> Result<&[u8]> {
    Ok(downcast::<FixedSizeBinaryArray>(array)?.value(row))
}

#[cold]
fn outside(start: usize, end: usize, len: usize) -> ConvertError {
    ConvertError::damaged(format!("bytes {start}..{end} of a buffer that holds {len}"))
}
