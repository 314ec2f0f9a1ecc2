//! A block's values as one number, however its buffers are laid out; its strings are checked on the way.
//!
//! What is hashed: for each column its name, then its rows. A run of rows without a null is its length, then its
//! values; rows of nulls are only their place. So neither bytes under a null, nor offsets that do not begin at
//! zero, nor the order of a dictionary change the number, and every change of a value does.

use std::ops::Range;

use arrow_buffer::BooleanBuffer;
use arrow_data::ArrayData;
use arrow_schema::{DataType, Fields, UnionMode};
use xxhash_rust::xxh3::Xxh3;

use crate::error::Result;
use crate::shard::Block;
use crate::shard::storage::child_types;

/// The checksum of a block whose columns are `fields`, or its damage.
pub(super) fn checksum(block: &Block, fields: &Fields) -> Result<u128> {
    let mut content = Content::default();
    for (column, field) in block.columns.iter().zip(fields) {
        let problem = |text: String| block.corrupt(format!("column {:?}: {text}", field.name()));
        if column.len() != block.num_rows {
            return Err(problem(format!("{} values in {} rows", column.len(), block.num_rows)));
        }
        content.number(field.name().len());
        content.hasher.update(field.name().as_bytes());
        content.rows(field.data_type(), &column.to_data(), 0..column.len()).map_err(problem)?;
    }
    block.check_damage()?;
    Ok(content.hasher.digest128())
}

type Checked = std::result::Result<(), String>;

#[derive(Default)]
struct Content {
    hasher: Xxh3,
    /// Kept between columns; only its memory matters.
    lengths: Vec<u64>,
}

impl Content {
    fn number(&mut self, number: usize) {
        self.hasher.update(&(number as u64).to_le_bytes());
    }

    /// Rows of an array; `declared` is its type in the schema, which tells strings from bytes.
    fn rows(&mut self, declared: &DataType, data: &ArrayData, rows: Range<usize>) -> Checked {
        self.number(rows.len());
        let Some(nulls) = data.nulls().filter(|_| !rows.is_empty()) else {
            return self.values(declared, data, rows);
        };
        for (start, stop) in nulls.slice(rows.start, rows.len()).valid_slices() {
            self.number(start);
            self.number(stop);
            self.values(declared, data, rows.start + start..rows.start + stop)?;
        }
        Ok(())
    }

    /// Rows of which none is null. In problems values are counted from the array's beginning.
    fn values(&mut self, declared: &DataType, data: &ArrayData, rows: Range<usize>) -> Checked {
        if rows.is_empty() {
            return Ok(());
        }
        let is_text = matches!(declared, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let first = rows.start;
        let rows = rows.start + data.offset()..rows.end + data.offset();
        match data.data_type() {
            DataType::Null => {}
            DataType::Boolean => self.booleans(data, &rows),
            DataType::Binary | DataType::Utf8 => {
                let offsets = &data.buffers()[0].typed_data::<i32>()[rows.start..=rows.end];
                return self.bytes(&data.buffers()[1], offsets, is_text.then_some(first));
            }
            DataType::LargeBinary | DataType::LargeUtf8 => {
                let offsets = &data.buffers()[0].typed_data::<i64>()[rows.start..=rows.end];
                return self.bytes(&data.buffers()[1], offsets, is_text.then_some(first));
            }
            DataType::BinaryView | DataType::Utf8View => return self.views(data, rows, is_text),
            DataType::List(_) | DataType::Map(..) => {
                return self.lists(
                    declared,
                    data,
                    &data.buffers()[0].typed_data::<i32>()[rows.start..=rows.end],
                );
            }
            DataType::LargeList(_) => {
                return self.lists(
                    declared,
                    data,
                    &data.buffers()[0].typed_data::<i64>()[rows.start..=rows.end],
                );
            }
            DataType::ListView(_) => {
                let (starts, sizes) =
                    (data.buffers()[0].typed_data::<i32>(), data.buffers()[1].typed_data::<i32>());
                let place = |row| (starts[row] as usize, sizes[row] as usize);
                return self.list_views(declared, data, rows.map(place));
            }
            DataType::LargeListView(_) => {
                let (starts, sizes) =
                    (data.buffers()[0].typed_data::<i64>(), data.buffers()[1].typed_data::<i64>());
                let place = |row| (starts[row] as usize, sizes[row] as usize);
                return self.list_views(declared, data, rows.map(place));
            }
            DataType::FixedSizeList(_, size) => {
                let size = *size as usize;
                return self.child(declared, data, 0, rows.start * size..rows.end * size);
            }
            DataType::Struct(fields) => {
                return (0..fields.len()).try_for_each(|at| self.child(declared, data, at, rows.clone()));
            }
            DataType::Union(..) => return self.unions(declared, data, rows),
            DataType::Dictionary(keys, _) => {
                let width = keys.primitive_width().unwrap_or(8);
                return rows.into_iter().try_for_each(|row| {
                    let key = integer(data.buffers()[0].as_slice(), width, row);
                    self.child(declared, data, 0, key..key + 1)
                });
            }
            DataType::RunEndEncoded(ends, _) => {
                let width = ends.data_type().primitive_width().unwrap_or(8);
                return self.run_ends(declared, data, width, &rows);
            }
            DataType::FixedSizeBinary(width) => self.fixed(data, *width as usize, &rows),
            other => match other.primitive_width() {
                Some(width) => self.fixed(data, width, &rows),
                None => return Err(format!("values of type {other} cannot be checked")),
            },
        }
        Ok(())
    }

    fn fixed(&mut self, data: &ArrayData, width: usize, rows: &Range<usize>) {
        self.hasher.update(&data.buffers()[0].as_slice()[rows.start * width..rows.end * width]);
    }

    fn booleans(&mut self, data: &ArrayData, rows: &Range<usize>) {
        let bits = BooleanBuffer::new(data.buffers()[0].clone(), rows.start, rows.len());
        let bytes: Vec<u8> = bits.iter().map(u8::from).collect();
        self.hasher.update(&bytes);
    }

    fn bytes<O: Copy + TryInto<usize>>(
        &mut self,
        values: &[u8],
        offsets: &[O],
        text_from: Option<usize>,
    ) -> Checked {
        let (first, last) = self.lengths(offsets);
        let values = &values[first..last];
        if let Some(first_row) = text_from {
            check_text(values, offsets.iter().map(|offset| index(*offset) - first), first_row)?;
        }
        self.hasher.update(values);
        Ok(())
    }

    fn lists<O: Copy + TryInto<usize>>(
        &mut self,
        declared: &DataType,
        data: &ArrayData,
        offsets: &[O],
    ) -> Checked {
        let (first, last) = self.lengths(offsets);
        self.child(declared, data, 0, first..last)
    }

    /// Hashes the lengths between offsets; the first and the last offset.
    fn lengths<O: Copy + TryInto<usize>>(&mut self, offsets: &[O]) -> (usize, usize) {
        let mut lengths = std::mem::take(&mut self.lengths);
        lengths.clear();
        lengths.extend(offsets.windows(2).map(|pair| (index(pair[1]) - index(pair[0])) as u64));
        self.hasher.update(bytemuck::cast_slice(&lengths));
        self.lengths = lengths;
        (index(offsets[0]), index(offsets[offsets.len() - 1]))
    }

    fn views(&mut self, data: &ArrayData, rows: Range<usize>, is_text: bool) -> Checked {
        let array = arrow_array::BinaryViewArray::from(
            data.clone()
                .into_builder()
                .data_type(DataType::BinaryView)
                .build()
                .map_err(|error| error.to_string())?,
        );
        // The array begins at the data's offset, the rows at the buffers' beginning.
        for row in rows.start - data.offset()..rows.end - data.offset() {
            let value = array.value(row);
            if is_text {
                std::str::from_utf8(value).map_err(|error| not_text(row, error))?;
            }
            self.number(value.len());
            self.hasher.update(value);
        }
        Ok(())
    }

    fn list_views(
        &mut self,
        declared: &DataType,
        data: &ArrayData,
        mut lists: impl Iterator<Item = (usize, usize)>,
    ) -> Checked {
        lists.try_for_each(|(start, size)| self.child(declared, data, 0, start..start + size))
    }

    fn unions(&mut self, declared: &DataType, data: &ArrayData, mut rows: Range<usize>) -> Checked {
        let DataType::Union(fields, mode) = data.data_type() else { return Ok(()) };
        let ids = data.buffers()[0].typed_data::<i8>();
        rows.try_for_each(|row| {
            self.hasher.update(&ids[row].to_le_bytes());
            let Some(child) = fields.iter().position(|(id, _)| id == ids[row]) else {
                return Err(format!("value {row} is of type {} of a union that has none such", ids[row]));
            };
            let at = match mode {
                UnionMode::Sparse => row,
                UnionMode::Dense => data.buffers()[1].typed_data::<i32>()[row] as usize,
            };
            self.child(declared, data, child, at..at + 1)
        })
    }

    fn run_ends(
        &mut self,
        declared: &DataType,
        data: &ArrayData,
        width: usize,
        rows: &Range<usize>,
    ) -> Checked {
        let ends = &data.child_data()[0];
        let mut first = 0;
        for run in 0..ends.len() {
            let end = integer(ends.buffers()[0].as_slice(), width, run + ends.offset());
            let (from, to) = (rows.start.max(first), rows.end.min(end));
            if from < to {
                self.number(to - from);
                self.child(declared, data, 1, run..run + 1)?;
            }
            first = end;
        }
        Ok(())
    }

    fn child(&mut self, declared: &DataType, data: &ArrayData, at: usize, rows: Range<usize>) -> Checked {
        let child = &data.child_data()[at];
        let types = child_types(declared);
        // A dictionary's values are its only child here, run ends have their ends first.
        let declared = types.get(at).copied().unwrap_or_else(|| child.data_type());
        self.rows(declared, child, rows)
    }
}

/// An offset that validation has found not to be negative.
fn index<O: TryInto<usize>>(offset: O) -> usize {
    offset.try_into().unwrap_or(0)
}

/// The little-endian integer of `width` bytes at `row`.
fn integer(bytes: &[u8], width: usize, row: usize) -> usize {
    let mut word = [0; 8];
    word[..width].copy_from_slice(&bytes[row * width..(row + 1) * width]);
    u64::from_le_bytes(word) as usize
}

/// Checks all values at once, and where that fails, finds the one at fault.
fn check_text(values: &[u8], offsets: impl Iterator<Item = usize> + Clone, first_row: usize) -> Checked {
    let whole = std::str::from_utf8(values);
    if whole.is_ok_and(|text| offsets.clone().all(|offset| text.is_char_boundary(offset))) {
        return Ok(());
    }
    for (row, (start, stop)) in offsets.clone().zip(offsets.skip(1)).enumerate() {
        std::str::from_utf8(&values[start..stop]).map_err(|error| not_text(first_row + row, error))?;
    }
    Ok(())
}

fn not_text(row: usize, error: std::str::Utf8Error) -> String {
    format!("value {row} is no UTF-8: {error}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{
        Array, ArrayRef, BinaryArray, BinaryViewArray, DictionaryArray, Int32Array, ListArray, RunArray,
        StringArray, StructArray,
    };
    use arrow_buffer::{Buffer, NullBuffer};
    use arrow_schema::Field;

    use super::*;

    fn of(array: &dyn Array) -> u128 {
        checked(array, array.data_type()).unwrap()
    }

    fn checked(array: &dyn Array, declared: &DataType) -> std::result::Result<u128, String> {
        let mut content = Content::default();
        content.rows(declared, &array.to_data(), 0..array.len())?;
        Ok(content.hasher.digest128())
    }

    #[test]
    fn what_lies_under_a_null_is_no_value() {
        let values = |hidden: i32| {
            let nulls = NullBuffer::from(vec![true, false, true]);
            Int32Array::new(vec![1, hidden, 3].into(), Some(nulls))
        };
        assert_eq!(of(&values(0)), of(&values(77)));
        assert_ne!(of(&values(0)), of(&Int32Array::from(vec![1, 0, 3])));
        let moved = Int32Array::new(vec![1, 0, 3].into(), Some(NullBuffer::from(vec![false, true, true])));
        assert_ne!(of(&values(0)), of(&moved));
    }

    #[test]
    fn a_slice_has_the_checksum_of_its_values() {
        let text = StringArray::from(vec!["zero", "one", "", "three"]);
        assert_eq!(of(&text.slice(1, 3)), of(&StringArray::from(vec!["one", "", "three"])));
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(9)]),
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
        ]);
        let same = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
        ]);
        assert_eq!(of(&lists.slice(1, 3)), of(&same));
    }

    #[test]
    fn the_order_of_a_dictionary_is_no_value() {
        let one: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
        let values = Arc::new(StringArray::from(vec!["b", "unused", "a"])) as ArrayRef;
        let other = DictionaryArray::<Int32Type>::new(Int32Array::from(vec![2, 0, 2]), values);
        assert_eq!(of(&one), of(&other));
        let third: DictionaryArray<Int32Type> = vec!["a", "b", "b"].into_iter().collect();
        assert_ne!(of(&one), of(&third));
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        let pairs: [(ArrayRef, ArrayRef); 4] = [
            (Arc::new(StringArray::from(vec!["ab", "c"])), Arc::new(StringArray::from(vec!["a", "bc"]))),
            (
                Arc::new(BinaryViewArray::from_iter_values([b"ab".as_slice(), b"c"])),
                Arc::new(BinaryViewArray::from_iter_values([b"a".as_slice(), b"bc"])),
            ),
            (
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
                    Some(vec![Some(1), Some(2)]),
                    Some(vec![]),
                ])),
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
                    Some(vec![Some(1)]),
                    Some(vec![Some(2)]),
                ])),
            ),
            (
                Arc::new(vec!["a", "a", "b"].into_iter().collect::<RunArray<Int32Type>>()),
                Arc::new(vec!["a", "b", "b"].into_iter().collect::<RunArray<Int32Type>>()),
            ),
        ];
        for (one, other) in pairs {
            assert_ne!(of(&one), of(&other), "{}", one.data_type());
            assert_eq!(of(&one), of(&one.slice(0, one.len())));
        }
    }

    #[test]
    fn strings_are_checked_wherever_they_lie_and_bytes_are_not() {
        let stored = BinaryArray::from_opt_vec(vec![None, Some(b"\xff"), Some(b"fine")]);
        assert!(checked(&stored, &DataType::Binary).is_ok());
        let problem = checked(&stored, &DataType::Utf8).unwrap_err();
        assert!(problem.contains("value 1"), "{problem}");
        // Sound as a whole, cut inside of a character.
        let cut = BinaryArray::from_vec(vec!["é".as_bytes().split_at(1).0, "é".as_bytes().split_at(1).1]);
        assert!(checked(&cut, &DataType::Utf8).is_err());
        let field = |data_type| Arc::new(Field::new("inner", data_type, true));
        let nested = StructArray::from(vec![(field(DataType::Binary), Arc::new(stored) as ArrayRef)]);
        let declared = DataType::Struct(vec![field(DataType::Utf8)].into());
        assert!(checked(&nested, &declared).is_err());
    }

    #[test]
    fn bytes_under_a_null_need_not_be_text() {
        let offsets = Buffer::from_slice_ref([0_i32, 1, 2]);
        let data = ArrayData::builder(DataType::Binary)
            .len(2)
            .add_buffer(offsets)
            .add_buffer(Buffer::from(b"a\xff".as_slice()))
            .null_bit_buffer(Some(Buffer::from_slice_ref([1_u8])))
            .build()
            .unwrap();
        let array = BinaryArray::from(data);
        assert!(checked(&array, &DataType::Utf8).is_ok());
    }
}
