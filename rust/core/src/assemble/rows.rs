//! References to rows in decoded blocks: what a step of the order becomes once its blocks are at hand.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;

use crate::error::Result;
use crate::shard::Block;

/// A row inside one of the blocks of a [`RowSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef {
    /// Index into [`RowSet::blocks`].
    pub slot: u32,
    /// Row inside that block.
    pub row: u32,
}

/// Rows in the order in which they are to be handed out, and the blocks that hold them.
#[derive(Clone, Default)]
pub struct RowSet {
    /// The blocks, each once.
    pub blocks: Vec<Arc<Block>>,
    /// The rows, in order.
    pub rows: Vec<RowRef>,
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

    /// Adds a row of `block`; the newest block is looked at first, since neighbours often share one.
    pub fn push(&mut self, block: &Arc<Block>, row: u32) {
        let slot = self.blocks.iter().rposition(|known| Arc::ptr_eq(known, block)).unwrap_or_else(|| {
            self.blocks.push(Arc::clone(block));
            self.blocks.len() - 1
        });
        self.rows.push(RowRef { slot: slot as u32, row });
    }

    /// The rows at `range`, sharing the same blocks.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self { blocks: self.blocks.clone(), rows: self.rows[range].to_vec() }
    }

    /// The block and row index of the row at `index`.
    pub fn locate(&self, index: usize) -> (&Arc<Block>, usize) {
        let place = self.rows[index];
        (&self.blocks[place.slot as usize], place.row as usize)
    }

    /// The array of `column` that holds the row at `index`, and the row's place in it.
    pub fn cell(&self, column: usize, index: usize) -> (&ArrayRef, usize) {
        let (block, row) = self.locate(index);
        (&block.columns[column], row)
    }

    /// Brings the bytes of every row into memory, so that no later touch can fault or fail.
    pub fn ensure(&self) -> Result<()> {
        for place in &self.rows {
            let block = &self.blocks[place.slot as usize];
            for column in 0..block.columns.len() {
                block.ensure_rows(column, place.row as usize..place.row as usize + 1)?;
            }
        }
        Ok(())
    }

    /// An error where a file under one of the blocks was damaged while it was read.
    pub fn check_damage(&self) -> Result<()> {
        self.blocks.iter().try_for_each(|block| block.check_damage())
    }
}
