//! Runs of rows grouped by length: read whole, so that every rank deals them alike.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Schema};
use parking_lot::Mutex;

use super::delivered::Delivered;
use super::stream::StreamSpec;
use crate::assemble::convert::convert_run;
use crate::assemble::{Dtype, RowSet};
use crate::error::{Error, Result};
use crate::order::{Remainder, deal_by_length};
use crate::shard::values::{bytes_at, is_text};

/// Runs kept beyond one a thread: the one that has just been left.
const KEPT: usize = 2;

/// What the length of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthOf {
    /// The number of its tokens, which are made of its text.
    Tokens,
    /// A column, by its index: elements of a list, bytes of a text, or the number itself.
    Column(usize),
}

impl LengthOf {
    /// By a column of the rows that are read.
    ///
    /// # Errors
    /// `SchemaMismatch` where there is no such column, or its values have no length.
    pub fn column(schema: &Schema, name: &str) -> Result<Self> {
        let Some((index, field)) = schema.column_with_name(name) else {
            let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let names = names.join(", ");
            return Err(mismatch(format!(
                "there is no column {name:?} to group rows by; the columns are {names}"
            )));
        };
        let kind = field.data_type();
        if is_text(kind) || kind.is_integer() || is_list(kind) {
            return Ok(Self::Column(index));
        }
        Err(mismatch(format!(
            "column {name:?} is {kind}: rows are grouped by the length of a list or a text, or by an integer"
        )))
    }
}

/// How rows are grouped.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// Steps of a run.
    pub steps: u64,
    /// What a row's length is.
    pub by: LengthOf,
    /// What the order of the steps in a run is keyed by.
    pub seed: u64,
}

/// A run of positions whose rows have been read and dealt.
pub struct GroupedRun {
    first: u64,
    rows: RowSet,
    ids: Delivered,
    dealt: Vec<u32>,
}

impl GroupedRun {
    /// Whether a position lies in the run.
    pub fn contains(&self, position: u64) -> bool {
        position.checked_sub(self.first).is_some_and(|at| at < self.dealt.len() as u64)
    }

    /// The position whose row is dealt at a position of the run.
    pub fn dealt_at(&self, position: u64) -> u64 {
        self.first + u64::from(self.dealt[(position - self.first) as usize])
    }

    /// Adds the row that is dealt at a position of the run.
    pub fn push(&self, position: u64, rows: &mut RowSet, ids: &mut Delivered) {
        let index = self.dealt[(position - self.first) as usize] as usize;
        let (block, row) = self.rows.locate(index);
        rows.push(block, row as u32);
        ids.push(position, self.ids.row_id(index));
    }
}

type Slot = Arc<Mutex<Option<Arc<GroupedRun>>>>;

/// The runs that threads are in: each is read once, by the first thread that needs it.
pub struct GroupedRuns {
    spec: GroupSpec,
    step: u64,
    end: u64,
    kept: usize,
    slots: Mutex<Vec<(u64, Slot)>>,
}

impl GroupedRuns {
    /// Those of a stream that groups its rows by length; no run has been read.
    pub fn of(spec: &StreamSpec) -> Option<Arc<Self>> {
        let groups = spec.groups.clone()?;
        let (partition, step) = (&spec.partition, spec.partition.global_batch());
        // What is dropped is dropped from the end of the order, not from its longest rows.
        let end = match partition.remainder {
            Remainder::Drop => partition.num_positions / step * step,
            Remainder::Pad | Remainder::Keep => partition.num_positions,
        };
        let kept = spec.num_threads + KEPT;
        Some(Arc::new(Self { spec: groups, step, end, kept, slots: Mutex::default() }))
    }

    /// What a row's length is.
    pub fn by(&self) -> LengthOf {
        self.spec.by
    }

    /// The run of a position; `read` reads the rows at all of its positions.
    pub fn at(
        &self,
        position: u64,
        read: impl FnOnce(Range<u64>) -> Result<(RowSet, Delivered)>,
    ) -> Result<Arc<GroupedRun>> {
        let size = self.spec.steps.saturating_mul(self.step);
        let run = position / size;
        let slot = self.slot(run);
        // Held while the run is read: who needs it too waits instead of reading it again. After an error it is.
        let mut made = slot.lock();
        if let Some(made) = &*made {
            return Ok(Arc::clone(made));
        }
        let first = run * size;
        let (rows, ids) = read(first..first.saturating_add(size).min(self.end))?;
        let lengths = self.lengths(&rows)?;
        let dealt = deal_by_length(&lengths, self.step as usize, self.spec.seed, run);
        let run = Arc::new(GroupedRun { first, rows, ids, dealt });
        *made = Some(Arc::clone(&run));
        Ok(run)
    }

    fn slot(&self, run: u64) -> Slot {
        let mut slots = self.slots.lock();
        if let Some((_, slot)) = slots.iter().find(|(known, _)| *known == run) {
            return Arc::clone(slot);
        }
        if slots.len() >= self.kept {
            // Threads move forwards: the first run is the one that all have left.
            let oldest = (0..slots.len()).min_by_key(|at| slots[*at].0);
            oldest.map(|at| slots.swap_remove(at));
        }
        let slot = Slot::default();
        slots.push((run, Arc::clone(&slot)));
        slot
    }

    fn lengths(&self, rows: &RowSet) -> Result<Vec<u64>> {
        let column = match self.spec.by {
            LengthOf::Tokens => 0,
            LengthOf::Column(column) => column,
        };
        (0..rows.len()).map(|index| Ok(length_at(rows.cell(column, index)))).collect()
    }
}

fn is_list(kind: &DataType) -> bool {
    matches!(kind, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

/// A null is as short as can be.
pub(super) fn length_at((array, row): (&ArrayRef, usize)) -> u64 {
    if array.is_null(row) {
        return 0;
    }
    match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value_length(row) as u64,
        DataType::LargeList(_) => array.as_list::<i64>().value_length(row) as u64,
        DataType::FixedSizeList(_, size) => *size as u64,
        kind if kind.is_integer() => {
            let mut value = [0_i64];
            let read = convert_run(array, row, 1, Dtype::Int64, bytemuck::cast_slice_mut(&mut value));
            // What does not fit is longer than anything else.
            if read.is_err() { u64::MAX } else { value[0].max(0) as u64 }
        }
        _ => bytes_at(array.as_ref(), row).map_or(0, <[u8]>::len) as u64,
    }
}

fn mismatch(message: String) -> Error {
    Error::SchemaMismatch { path: None, message }
}
