//! From a row of a nested numeric column to the run of numbers that it is.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Int8Type, Int16Type, Int32Type, Int64Type, RunEndIndexType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, OffsetSizeTrait};
use arrow_schema::DataType;

use super::plan::{Hop, MAX_RANK};

/// The lengths of one row's dimensions, without an allocation a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// Number of elements.
    pub fn num_elements(&self) -> usize {
        self.dims().iter().product()
    }

    fn push(&mut self, length: usize) {
        self.dims[self.rank] = length;
        self.rank += 1;
    }
}

/// The run of leaf values that one row is.
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'a> {
    /// The array of numbers.
    pub array: &'a ArrayRef,
    /// First value.
    pub start: usize,
    /// Number of values.
    pub len: usize,
    /// The row's dimensions.
    pub shape: Shape,
}

/// Why a row is no run of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotARun {
    /// The row, or a list inside it, is null.
    Null,
    /// Lists inside the row differ in length.
    Uneven,
}

/// Follows `hops` from `row` of `array` down to its numbers.
pub fn descend<'a>(array: &'a ArrayRef, hops: &[Hop], row: usize) -> Result<Leaf<'a>, NotARun> {
    let mut leaf = Leaf { array, start: row, len: 1, shape: Shape::default() };
    for (depth, hop) in hops.iter().enumerate() {
        if leaf.array.null_count() > 0 && (leaf.start..leaf.start + leaf.len).any(|at| leaf.array.is_null(at))
        {
            return Err(NotARun::Null);
        }
        // The row itself is no dimension of its own shape; lists inside lists are.
        debug_assert!(depth > 0 || leaf.len == 1);
        leaf = match hop {
            Hop::Dictionary => key_hop(leaf)?,
            Hop::RunEnd => run_hop(leaf),
            Hop::List => list_hop::<i32>(leaf)?,
            Hop::LargeList => list_hop::<i64>(leaf)?,
            Hop::FixedSizeList(size) => fixed_hop(leaf, *size),
        };
    }
    Ok(leaf)
}

fn list_hop<O: OffsetSizeTrait>(leaf: Leaf<'_>) -> Result<Leaf<'_>, NotARun> {
    let list = leaf.array.as_list::<O>();
    let offsets = &list.value_offsets()[leaf.start..=leaf.start + leaf.len];
    let (first, last) = (offsets[0].as_usize(), offsets[leaf.len].as_usize());
    let each = offsets.get(1).map_or(0, |end| end.as_usize() - first);
    if leaf.len > 1 && offsets.windows(2).any(|pair| pair[1].as_usize() - pair[0].as_usize() != each) {
        return Err(NotARun::Uneven);
    }
    let mut shape = leaf.shape;
    shape.push(each);
    Ok(Leaf { array: list.values(), start: first, len: last - first, shape })
}

fn fixed_hop(leaf: Leaf<'_>, size: usize) -> Leaf<'_> {
    let mut shape = leaf.shape;
    shape.push(size);
    let list = leaf.array.as_fixed_size_list();
    Leaf { array: list.values(), start: leaf.start * size, len: leaf.len * size, shape }
}

fn key_hop(leaf: Leaf<'_>) -> Result<Leaf<'_>, NotARun> {
    fn through<K: ArrowDictionaryKeyType>(leaf: Leaf<'_>) -> Result<Leaf<'_>, NotARun> {
        let dictionary = leaf.array.as_dictionary::<K>();
        let start = dictionary.key(leaf.start).ok_or(NotARun::Null)?;
        Ok(Leaf { array: dictionary.values(), start, ..leaf })
    }
    let DataType::Dictionary(key, _) = leaf.array.data_type() else {
        unreachable!("the plan saw a dictionary")
    };
    match key.as_ref() {
        DataType::Int8 => through::<Int8Type>(leaf),
        DataType::Int16 => through::<Int16Type>(leaf),
        DataType::Int32 => through::<Int32Type>(leaf),
        DataType::Int64 => through::<Int64Type>(leaf),
        DataType::UInt8 => through::<UInt8Type>(leaf),
        DataType::UInt16 => through::<UInt16Type>(leaf),
        DataType::UInt32 => through::<UInt32Type>(leaf),
        DataType::UInt64 => through::<UInt64Type>(leaf),
        other => unreachable!("Arrow has no dictionary keys of {other}"),
    }
}

fn run_hop(leaf: Leaf<'_>) -> Leaf<'_> {
    fn through<R: RunEndIndexType>(leaf: Leaf<'_>) -> Leaf<'_> {
        let runs = leaf.array.as_run::<R>();
        Leaf { array: runs.values(), start: runs.get_physical_index(leaf.start), ..leaf }
    }
    let DataType::RunEndEncoded(ends, _) = leaf.array.data_type() else { unreachable!("the plan saw runs") };
    match ends.data_type() {
        DataType::Int16 => through::<Int16Type>(leaf),
        DataType::Int32 => through::<Int32Type>(leaf),
        _ => through::<Int64Type>(leaf),
    }
}
