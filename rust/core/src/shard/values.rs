//! One value of a column as text: whatever Arrow type holds it.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_schema::DataType;

/// Whether a column of this declared type can be read as text.
pub fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// The bytes of a value of a column for which [`is_text`] holds, in storage form; `None` for a null.
pub fn bytes_at(array: &dyn Array, row: usize) -> Option<&[u8]> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Binary => Some(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(array.as_binary_view().value(row)),
        DataType::Dictionary(key, _) => match key.as_ref() {
            DataType::Int8 => behind_key::<Int8Type>(array, row),
            DataType::Int16 => behind_key::<Int16Type>(array, row),
            DataType::Int32 => behind_key::<Int32Type>(array, row),
            DataType::Int64 => behind_key::<Int64Type>(array, row),
            DataType::UInt8 => behind_key::<UInt8Type>(array, row),
            DataType::UInt16 => behind_key::<UInt16Type>(array, row),
            DataType::UInt32 => behind_key::<UInt32Type>(array, row),
            DataType::UInt64 => behind_key::<UInt64Type>(array, row),
            _ => None,
        },
        _ => None,
    }
}

fn behind_key<K: ArrowDictionaryKeyType>(array: &dyn Array, row: usize) -> Option<&[u8]> {
    let dictionary = array.as_dictionary::<K>();
    bytes_at(dictionary.values(), dictionary.key(row)?)
}
