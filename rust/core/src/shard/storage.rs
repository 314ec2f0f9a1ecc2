//! The form that decoded columns have: strings as binary, at every level of nesting.
//!
//! arrow-rs checks the UTF-8 of a whole string column when it builds one, which touches every
//! page of it for the sake of one row. `Utf8`, `LargeUtf8` and `Utf8View` lie in memory exactly
//! like `Binary`, `LargeBinary` and `BinaryView`, so blocks are decoded as those; whoever makes
//! a row out of one checks the bytes of that row, and [`logical_array`] checks a column that
//! goes out as Arrow.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, make_array};
use arrow_data::ArrayData;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, UnionFields};

/// The type that a column of `data_type` is decoded as.
pub fn storage_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 => DataType::Binary,
        DataType::LargeUtf8 => DataType::LargeBinary,
        DataType::Utf8View => DataType::BinaryView,
        DataType::List(field) => DataType::List(storage_field(field)),
        DataType::LargeList(field) => DataType::LargeList(storage_field(field)),
        DataType::ListView(field) => DataType::ListView(storage_field(field)),
        DataType::LargeListView(field) => DataType::LargeListView(storage_field(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(storage_field(field), *size),
        DataType::Map(field, is_sorted) => DataType::Map(storage_field(field), *is_sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(storage_field).collect()),
        DataType::Union(fields, mode) => {
            let fields: UnionFields = fields.iter().map(|(id, field)| (id, storage_field(field))).collect();
            DataType::Union(fields, *mode)
        }
        DataType::Dictionary(keys, values) => {
            DataType::Dictionary(keys.clone(), Box::new(storage_type(values)))
        }
        DataType::RunEndEncoded(ends, values) => {
            DataType::RunEndEncoded(Arc::clone(ends), storage_field(values))
        }
        other => other.clone(),
    }
}

/// The field of a decoded column; everything but the type stays.
pub fn storage_field(field: &FieldRef) -> FieldRef {
    let data_type = storage_type(field.data_type());
    if data_type == *field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(Field::clone(field).with_data_type(data_type))
}

/// A decoded column in its declared type; its strings are checked.
///
/// No bytes are copied. The caller makes the pages present first: checking reads all of them. Where
/// the column views a map, another process that writes to the file can still undo the check.
pub fn logical_array(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    Ok(make_array(retype(array.to_data(), data_type)?))
}

fn retype(data: ArrayData, data_type: &DataType) -> Result<ArrayData, ArrowError> {
    if data.data_type() == data_type {
        return Ok(data);
    }
    if storage_type(data_type) != *data.data_type() {
        return Err(ArrowError::SchemaError(format!(
            "a column stored as {} is asked for as {data_type}",
            data.data_type()
        )));
    }
    let children = child_types(data_type);
    let child_data = data
        .child_data()
        .iter()
        .zip(children)
        .map(|(child, data_type)| retype(child.clone(), data_type))
        .collect::<Result<Vec<_>, _>>()?;
    data.into_builder().data_type(data_type.clone()).child_data(child_data).build()
}

/// The declared types of an array's children.
pub(crate) fn child_types(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => vec![field.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field.data_type()).collect(),
        DataType::Dictionary(_, values) => vec![values],
        DataType::RunEndEncoded(ends, values) => vec![ends.data_type(), values.data_type()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{BinaryArray, StringArray, StructArray};

    use super::*;

    #[test]
    fn strings_are_binary_at_every_level_and_come_back() {
        let text = || Arc::new(StringArray::from(vec![Some("straße"), None, Some("")])) as ArrayRef;
        let inner = Arc::new(Field::new("text", DataType::Utf8, true));
        let declared = Arc::new(StructArray::from(vec![(inner, text())])) as ArrayRef;
        let stored_type = storage_type(declared.data_type());
        assert_eq!(stored_type.to_string(), "Struct(\"text\": Binary)");
        let stored = BinaryArray::from_opt_vec(vec![Some("straße".as_bytes()), None, Some(b"")]);
        let inner = Arc::new(Field::new("text", DataType::Binary, true));
        let stored = Arc::new(StructArray::from(vec![(inner, Arc::new(stored) as ArrayRef)])) as ArrayRef;
        let back = logical_array(&stored, declared.data_type()).unwrap();
        assert_eq!(back.as_ref(), declared.as_ref());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_for_the_rows_asked_for() {
        let stored = Arc::new(BinaryArray::from_vec(vec![b"fine", b"\xff\xfe", b"fine"])) as ArrayRef;
        assert!(logical_array(&stored, &DataType::Utf8).unwrap_err().to_string().contains("index 1"));
        assert!(logical_array(&stored.slice(2, 1), &DataType::Utf8).is_ok());
        assert!(logical_array(&stored, &DataType::Int32).is_err());
    }
}
