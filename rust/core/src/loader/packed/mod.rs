//! Packed pipelines: documents of each lane to sequences of one length, in the engine's threads.
//!
//! - [`documents`]: the rows of a lane as tokens.
//! - `lane`: one lane's documents, packed, and its place.
//! - `planned`: which document comes next where groups are whole windows.
//! - `turns`: which lane gives the next sample.
//! - `work`: the jobs, and what they share.
//! - [`group`]: what a job hands over; [`batch`]: the samples in it.
//! - [`stream`]: the consumer's side.

pub mod batch;
pub mod documents;
pub mod group;
mod lane;
mod planned;
pub mod stream;
mod turns;
mod work;

pub use batch::{ColumnKind, PackedBatch, PackedColumn};
pub use documents::{Content, Documents};
pub use group::LanePlace;
pub use lane::PackSpec;
pub use stream::{PackedSpec, PackedStep, PackedStream};
