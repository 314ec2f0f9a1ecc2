//! References to rows in decoded blocks: what a step of the order becomes once its blocks are at hand.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Fields};
use arrow_select::interleave::interleave;

use crate::error::{Error, Result};
use crate::fetch::fetch;
use crate::shard::values::bytes_at;
use crate::shard::{Block, logical_array, storage_type};

/// A row inside one of the blocks of a [`RowSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef {
    /// Index into [`RowSet::blocks`].
    pub slot: u32,
    /// Row inside that block.
    pub row: u32,
}

/// Slots that [`RowSet::push`] finds without a search; lanes read in turn come back to the same few blocks.
const NUM_HINTS: usize = 128;

/// Rows in the order in which they are to be handed out, and the blocks that hold them.
#[derive(Clone, Default)]
pub struct RowSet {
    /// The blocks, each once.
    pub blocks: Vec<Arc<Block>>,
    /// The rows, in order.
    pub rows: Vec<RowRef>,
    /// Columns whose rows were copied side by side; empty, or one place a column.
    gathered: Vec<Option<ArrayRef>>,
    /// By a hash of its address, the slot + 1 where a block may be; empty until the first push.
    hints: Vec<u32>,
}

impl RowSet {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row of `block`.
    pub fn push(&mut self, block: &Arc<Block>, row: u32) {
        self.hints.resize(NUM_HINTS, 0);
        // Blocks are large heap values: their addresses differ above the lowest bits.
        let at = (Arc::as_ptr(block).addr() >> 6) % NUM_HINTS;
        let is_here =
            |slot: u32| self.blocks.get(slot as usize).is_some_and(|known| Arc::ptr_eq(known, block));
        let hint = self.hints[at].wrapping_sub(1);
        let slot = if is_here(hint) { hint } else { self.slot_of(block) };
        self.hints[at] = slot + 1;
        self.rows.push(RowRef { slot, row });
    }

    fn slot_of(&mut self, block: &Arc<Block>) -> u32 {
        let found = self.blocks.iter().rposition(|known| Arc::ptr_eq(known, block));
        found.unwrap_or_else(|| {
            self.blocks.push(Arc::clone(block));
            self.blocks.len() - 1
        }) as u32
    }

    /// Some of the rows, sharing the same blocks.
    ///
    /// # Panics
    /// Where an index is out of range.
    #[must_use]
    pub fn pick(&self, indices: &[usize]) -> Self {
        let rows = indices.iter().map(|index| self.rows[*index]).collect();
        Self { blocks: self.blocks.clone(), rows, ..Self::default() }
    }

    /// Copies these columns of the rows side by side, so that whoever reads them in order finds them in its cache.
    ///
    /// A column that is too long for the offsets of its type, or too varied for its dictionary's keys, is left where it
    /// lies. What views show is copied, and has offsets then.
    ///
    /// # Errors
    /// `CorruptShard` where arrays cannot be joined, which sound blocks of one table always can.
    pub fn gather(&mut self, columns: impl IntoIterator<Item = usize>) -> Result<()> {
        let Some(first) = self.blocks.first() else { return Ok(()) };
        let path = first.source().path();
        let places: Vec<_> =
            self.rows.iter().map(|place| (place.slot as usize, place.row as usize)).collect();
        let mut gathered = vec![None; first.columns.len()];
        for column in columns {
            let arrays: Vec<&dyn Array> =
                self.blocks.iter().map(|block| block.columns[column].as_ref()).collect();
            if arrays.iter().any(|array| *array.data_type() == DataType::BinaryView) {
                gathered[column] = joined_bytes(&arrays, &places);
                continue;
            }
            gathered[column] = match interleave(&arrays, &places) {
                Ok(joined) => Some(joined),
                Err(ArrowError::OffsetOverflowError(_) | ArrowError::DictionaryKeyOverflowError) => None,
                Err(error) => return Err(Error::corrupt(path, error.to_string())),
            };
        }
        self.gathered = gathered;
        Ok(())
    }

    /// Bytes of the copies that [`RowSet::gather`] made.
    pub fn gathered_bytes(&self) -> usize {
        self.gathered.iter().flatten().map(Array::get_array_memory_size).sum()
    }

    /// The block and row index of the row at `index`.
    pub fn locate(&self, index: usize) -> (&Arc<Block>, usize) {
        let place = self.rows[index];
        (&self.blocks[place.slot as usize], place.row as usize)
    }

    /// The array of `column` that holds the row at `index`, and the row's place in it.
    pub fn cell(&self, column: usize, index: usize) -> (&ArrayRef, usize) {
        if let Some(Some(array)) = self.gathered.get(column) {
            return (array, index);
        }
        let (block, row) = self.locate(index);
        (&block.columns[column], row)
    }

    /// Brings the bytes of every row into memory, so that no later touch can fault or fail.
    pub fn ensure(&self) -> Result<()> {
        (0..self.rows.len()).try_for_each(|index| self.ensure_row(index))
    }

    /// The same for one row.
    pub fn ensure_row(&self, index: usize) -> Result<()> {
        let (block, row) = self.locate(index);
        (0..block.columns.len()).try_for_each(|column| block.ensure_row(column, row))
    }

    /// The same for one column.
    pub fn ensure_column(&self, column: usize) -> Result<()> {
        self.rows
            .iter()
            .try_for_each(|place| self.blocks[place.slot as usize].ensure_row(column, place.row as usize))
    }

    /// Takes the newest rows and blocks off again, down to these numbers.
    pub fn truncate(&mut self, num_rows: usize, num_blocks: usize) {
        self.rows.truncate(num_rows);
        self.blocks.truncate(num_blocks);
    }

    /// The rows whose files can still be read, without the blocks of the others, and how many those are.
    pub fn without_damaged(&self) -> (Self, u64) {
        let mut sound = Self::default();
        for index in (0..self.len()).filter(|index| !self.is_damaged(*index)) {
            let (block, row) = self.locate(index);
            sound.push(block, row as u32);
        }
        let lost = (self.len() - sound.len()) as u64;
        (sound, lost)
    }

    /// Whether the file of the row at `index` was found damaged while it was read.
    pub fn is_damaged(&self, index: usize) -> bool {
        self.locate(index).0.is_damaged()
    }

    /// An error where text in the row at `index` is no UTF-8; `logical` are the fields as they are declared.
    ///
    /// Only who leaves damage out asks: everybody else finds it when the text is made.
    pub fn check_text(&self, index: usize, logical: &Fields) -> Result<()> {
        let (block, row) = self.locate(index);
        for (column, field) in block.columns.iter().zip(logical) {
            if storage_type(field.data_type()) == *field.data_type() {
                continue;
            }
            let problem = interleave(&[column.as_ref()], &[(0, row)])
                .and_then(|value| logical_array(&value, field.data_type()))
                .err();
            if let Some(problem) = problem {
                let text = format!("row {row}, column {:?}: {problem}", field.name());
                return Err(block.corrupt(text));
            }
        }
        Ok(())
    }

    /// An error where a file under one of the blocks was damaged while it was read.
    pub fn check_damage(&self) -> Result<()> {
        self.blocks.iter().try_for_each(|block| block.check_damage())
    }
}

/// Bytes that some of the arrays hold as views, side by side; `None` where they are too long, or no bytes.
fn joined_bytes(arrays: &[&dyn Array], places: &[(usize, usize)]) -> Option<ArrayRef> {
    let values: Vec<_> = places.iter().map(|(slot, row)| bytes_at(arrays[*slot], *row)).collect();
    let lens = values.iter().map(|value| value.map_or(0, <[u8]>::len));
    i32::try_from(lens.clone().sum::<usize>()).ok()?;
    let has_nulls = places.iter().any(|(slot, row)| arrays[*slot].is_null(*row));
    let nulls = has_nulls.then(|| values.iter().map(Option::is_some).collect());
    let is_bytes =
        values.iter().zip(places).all(|(value, (slot, row))| value.is_some() || arrays[*slot].is_null(*row));
    let offsets = OffsetBuffer::<i32>::from_lengths(lens);
    let mut joined = Vec::with_capacity(offsets[places.len()] as usize);
    let mut values = values.into_iter().flatten().peekable();
    while let Some(value) = values.next() {
        // They lie wherever their blocks do: copying takes less than waiting for the next one.
        if let Some(next) = values.peek() {
            fetch(next);
        }
        joined.extend_from_slice(value);
    }
    is_bytes.then(|| Arc::new(BinaryArray::new(offsets, joined.into(), nulls)) as ArrayRef)
}
