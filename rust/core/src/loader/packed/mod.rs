//! Packed pipelines: documents of each lane to sequences of one length, in the engine's threads.
//!
//! - [`documents`]: the rows of a lane as tokens; [`course`]: which of them comes next.
//! - `track`: documents packed one after the other; `lane`: a lane's next sample, and its place.
//! - `planned`: which document comes next where groups are whole windows.
//! - [`sequences`]: packed sources that are mixed.
//! - `turns`: which lane gives the next sample; [`deal`]: which rank takes it where lanes end.
//! - `work`: the jobs, and what they share.
//! - [`group`]: what a job hands over; [`batch`]: the samples in it.
//! - [`stream`]: the consumer's side.

pub mod batch;
pub mod course;
pub mod deal;
pub mod documents;
pub mod group;
mod lane;
mod planned;
pub mod sequences;
pub mod stream;
mod track;
mod turns;
mod work;

pub use batch::{ColumnKind, PackedBatch, PackedColumn};
pub use course::Course;
pub use deal::Deal;
pub use documents::{Content, Documents};
pub use group::{LanePlace, SourcePlace};
pub use lane::PackSpec;
pub use sequences::{PackedSource, Sequences};
pub use stream::{PackedSpec, PackedStep, PackedStream};
