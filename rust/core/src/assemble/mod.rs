//! Rows to batches.
//!
//! - [`dtype`]: element types.
//! - [`plan`]: what each column becomes, decided once from the schema.
//! - [`rows`]: references to rows in decoded blocks.
//! - [`leaf`]: from a row of a nested column to its run of numbers.
//! - [`convert`]: the one pass from stored values to batch elements.
//! - [`mod@arrow`]: rows as an Arrow record batch.
//! - [`batch`]: all columns of one batch.
//! - [`pool`]: the buffers that batches are written into.

pub mod arrow;
pub mod batch;
pub mod convert;
pub mod dtype;
pub mod leaf;
pub mod plan;
pub mod pool;
pub mod rows;

pub use arrow::record_batch;
pub use batch::{Batch, Column, assemble};
pub use dtype::Dtype;
pub use plan::{BatchRequest, ColumnPlan, plan_columns};
pub use pool::{Pool, PoolBuffer};
pub use rows::{RowRef, RowSet};
