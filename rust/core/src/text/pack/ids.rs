//! Token ids as they lie in Arrow columns, checked: no integer type but holds ids that are none.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_schema::DataType;

use super::packer::Packer;
use crate::error::{Error, Result};

/// Appends `values[range]`, the token ids of one row of a list column, to `out`; `row_id` is for errors.
///
/// Nothing is appended where one of them is null, negative or above `u32::MAX`.
pub fn append_token_ids(
    values: &dyn Array,
    range: Range<usize>,
    row_id: u64,
    out: &mut Vec<u32>,
) -> Result<()> {
    visit(values, range, row_id, &mut |ids| out.extend_from_slice(ids))
}

impl Packer {
    /// The next tokens of the document that has begun, as they lie in a list column; `row_id` is for errors.
    pub fn list_values(&mut self, values: &dyn Array, range: Range<usize>, row_id: u64) -> Result<()> {
        visit(values, range, row_id, &mut |ids| self.tokens(ids))
    }
}

/// Calls `give` with the checked ids, in one run or several.
fn visit(values: &dyn Array, range: Range<usize>, row_id: u64, give: &mut dyn FnMut(&[u32])) -> Result<()> {
    if values.null_count() > 0
        && let Some(place) = range.clone().position(|index| values.is_null(index))
    {
        return Err(Error::InvalidArgument(format!(
            "row {row_id} has a null among its token ids, at place {place}; fill or drop nulls first"
        )));
    }
    macro_rules! checked {
        ($type:ty) => {{
            let ids = &values.as_primitive::<$type>().values()[range];
            // What is negative or too large has a bit above the lower 32, in a u64 or as one.
            let bits = ids.iter().fold(0, |bits, id| bits | *id as u64);
            if bits > u64::from(u32::MAX) {
                return Err(no_id::<$type>(ids, row_id));
            }
            in_chunks(ids, |id| id as u32, give);
        }};
    }
    #[expect(clippy::cast_lossless, reason = "one macro casts every type alike")]
    match values.data_type() {
        DataType::UInt8 => checked!(UInt8Type),
        DataType::UInt16 => checked!(UInt16Type),
        DataType::UInt32 => give(&values.as_primitive::<UInt32Type>().values()[range]),
        DataType::UInt64 => checked!(UInt64Type),
        DataType::Int8 => checked!(Int8Type),
        DataType::Int16 => checked!(Int16Type),
        DataType::Int32 => {
            let ids = &values.as_primitive::<Int32Type>().values()[range];
            // As most ids are stored: those that are none have the highest bit, the others are what they are.
            if ids.iter().fold(0, |bits, id| bits | id) < 0 {
                return Err(no_id::<Int32Type>(ids, row_id));
            }
            give(bytemuck::cast_slice(ids));
        }
        DataType::Int64 => checked!(Int64Type),
        other => {
            let message = format!("token ids must be integers, the column holds lists of {other}");
            return Err(Error::SchemaMismatch { path: None, message });
        }
    }
    Ok(())
}

/// Ids converted a few at a time, which stay in the nearest cache: no copy of a long document.
fn in_chunks<T: Copy>(ids: &[T], convert: impl Fn(T) -> u32, give: &mut dyn FnMut(&[u32])) {
    let mut buffer = [0; 1_024];
    for chunk in ids.chunks(buffer.len()) {
        let converted = &mut buffer[..chunk.len()];
        converted.iter_mut().zip(chunk).for_each(|(place, id)| *place = convert(*id));
        give(converted);
    }
}

fn no_id<T: ArrowPrimitiveType>(ids: &[T::Native], row_id: u64) -> Error
where
    T::Native: Into<i128>,
{
    let mut values = ids.iter().map(|id| (*id).into());
    let bad = values.find(|id: &i128| u32::try_from(*id).is_err()).unwrap_or_default();
    Error::InvalidArgument(format!(
        "row {row_id} has {bad} among its token ids, which must be from 0 to {}; name another column, or write the ids \
         anew",
        u32::MAX
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, Float32Array, Int8Array, Int16Array, Int32Array, Int64Array, UInt8Array, UInt16Array,
        UInt32Array, UInt64Array,
    };

    use super::*;
    use crate::text::pack::PackMode;

    fn appended(values: &dyn Array, range: Range<usize>) -> Result<Vec<u32>> {
        let mut out = Vec::new();
        append_token_ids(values, range, 7, &mut out)?;
        Ok(out)
    }

    #[test]
    fn every_integer_type_holds_ids() {
        let arrays: [ArrayRef; 8] = [
            Arc::new(UInt8Array::from(vec![9, 1, 127])),
            Arc::new(UInt16Array::from(vec![9, 1, 127])),
            Arc::new(UInt32Array::from(vec![9, 1, 127])),
            Arc::new(UInt64Array::from(vec![9, 1, 127])),
            Arc::new(Int8Array::from(vec![9, 1, 127])),
            Arc::new(Int16Array::from(vec![9, 1, 127])),
            Arc::new(Int32Array::from(vec![9, 1, 127])),
            Arc::new(Int64Array::from(vec![9, 1, 127])),
        ];
        for values in arrays {
            assert_eq!(appended(&values, 1..3).unwrap(), [1, 127], "{}", values.data_type());
            let mut packer = Packer::try_new(PackMode::Concat, 2).unwrap();
            packer.begin(7, 0);
            packer.list_values(&values, 1..3, 7).unwrap();
            packer.end().unwrap();
            assert_eq!(packer.pop().unwrap().tokens(), [1, 127], "{}", values.data_type());
        }
    }

    #[test]
    fn what_is_no_id_names_its_row_and_itself() {
        let cases: [(ArrayRef, &str); 6] = [
            (
                Arc::new(Int8Array::from(vec![1, -1])),
                "row 7 has -1 among its token ids, which must be from 0 to 4294967295; name another column, or write the ids anew",
            ),
            (
                Arc::new(Int32Array::from(vec![1, -100])),
                "row 7 has -100 among its token ids, which must be from 0 to 4294967295; name another column, or write the ids anew",
            ),
            (
                Arc::new(Int64Array::from(vec![1, 1 << 32])),
                "row 7 has 4294967296 among its token ids, which must be from 0 to 4294967295; name another column, or write the ids anew",
            ),
            (
                Arc::new(UInt64Array::from(vec![1, u64::MAX])),
                "row 7 has 18446744073709551615 among its token ids, which must be from 0 to 4294967295; name another column, or write the ids anew",
            ),
            (
                Arc::new(UInt16Array::from(vec![Some(1), None])),
                "row 7 has a null among its token ids, at place 1; fill or drop nulls first",
            ),
            (
                Arc::new(Float32Array::from(vec![1.0, 2.0])),
                "token ids must be integers, the column holds lists of Float32",
            ),
        ];
        for (values, message) in cases {
            assert_eq!(appended(&values, 0..2).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_null_of_another_row_is_no_concern() {
        let values = Int32Array::from(vec![None, Some(5), None]);
        assert_eq!(appended(&values, 1..2).unwrap(), [5]);
    }
}
