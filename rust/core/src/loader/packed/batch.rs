//! Packed samples side by side: one row-major buffer a column.

use std::str::FromStr;

use crate::assemble::{Dtype, Pool, PoolBuffer};
use crate::error::{Error, Result};
use crate::text::pack::CuSeqlens;

/// What a column of packed samples holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Token ids; the pad id where padded.
    InputIds,
    /// The id that a model is to predict; -100 where there is none.
    Labels,
    /// Place in the document's part of this sample, from 0.
    PositionIds,
    /// The document's row id; -1 where padded.
    DocumentIds,
    /// 1 where the label counts.
    LossMask,
}

impl FromStr for ColumnKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "input_ids" => Self::InputIds,
            "labels" => Self::Labels,
            "position_ids" => Self::PositionIds,
            "document_ids" => Self::DocumentIds,
            "loss_mask" => Self::LossMask,
            other => {
                return Err(Error::InvalidArgument(format!("packed samples have no column {other:?}")));
            }
        })
    }
}

/// A column that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedColumn {
    /// What it holds.
    pub kind: ColumnKind,
    /// Type of its elements.
    pub dtype: Dtype,
}

/// Samples of one length.
pub struct PackedBatch {
    /// One buffer a column, with room for all rows that were asked for.
    pub buffers: Vec<PoolBuffer>,
    /// Boundaries of the documents in each row, where asked for.
    pub cu_seqlens: Vec<CuSeqlens>,
    /// Rows that are there.
    pub num_rows: usize,
    /// Tokens of a row.
    pub seq_len: usize,
}

impl PackedBatch {
    /// Room for `rows` samples.
    pub fn try_new(columns: &[PackedColumn], seq_len: usize, rows: usize, pool: &Pool) -> Result<Self> {
        let buffer = |column: &PackedColumn| pool.try_get(rows * seq_len * column.dtype.size());
        let buffers = columns.iter().map(buffer).collect::<Result<_>>()?;
        Ok(Self { buffers, cu_seqlens: Vec::new(), num_rows: 0, seq_len })
    }

    /// Copies row `from` of another batch of the same columns to the end of this one.
    pub fn push(&mut self, other: &Self, from: usize, columns: &[PackedColumn]) {
        let at = self.num_rows;
        for ((to, source), column) in self.buffers.iter_mut().zip(&other.buffers).zip(columns) {
            let bytes = self.seq_len * column.dtype.size();
            let row = &source.as_slice()[from * bytes..(from + 1) * bytes];
            to.as_mut_slice()[at * bytes..(at + 1) * bytes].copy_from_slice(row);
        }
        self.cu_seqlens.extend(other.cu_seqlens.get(from).cloned());
        self.num_rows += 1;
    }

    /// The rows that are there, in buffers of just their size.
    pub fn trimmed(self, columns: &[PackedColumn], pool: &Pool) -> Result<Self> {
        let rows = self.buffers.first().zip(columns.first());
        let has_room = rows.is_some_and(|(buffer, column)| {
            buffer.len() > self.num_rows * self.seq_len * column.dtype.size()
        });
        if !has_room {
            return Ok(self);
        }
        let mut trimmed = Self::try_new(columns, self.seq_len, self.num_rows, pool)?;
        (0..self.num_rows).for_each(|row| trimmed.push(&self, row, columns));
        Ok(trimmed)
    }

    /// Bytes that the buffers take.
    pub fn held_bytes(&self) -> usize {
        self.buffers.iter().map(PoolBuffer::capacity).sum()
    }
}
