//! How many tokens each document has: counted in one pass, kept in a file, asked when an epoch has to end evenly.
//!
//! - [`file`]: the counts of all rows, mapped; [`documents`]: those of several datasets as one.
//! - `journal`: what a pass has counted so far, for the one that goes on after a kill.
//! - [`build`]: the pass.
//! - [`groups`]: which documents are fitted together over whole windows.
//! - [`lanes`]: the tokens and samples of each lane of an order.
//! - [`segments`]: which documents a sample is made of.
//! - `crew`: work on several threads that can be stopped.

pub mod build;
mod crew;
pub mod documents;
pub mod file;
pub mod groups;
mod journal;
pub mod lanes;
pub mod segments;

use crate::loader::epochs::{EpochReaders, Epochs};

pub use build::{CountSpec, Progress, count_tokens};
pub use documents::DocumentCounts;
pub use file::{CountsKey, TokenCounts};
pub use groups::LaneDocuments;
pub use lanes::{LaneQuestion, lane_samples, lane_tokens};
pub use segments::{SegmentQuestion, Wanted, group_lens, place_of_sample, sample_segments};

/// The id of the row at an element of a lane.
fn row_id_at(readers: &mut EpochReaders, epochs: &Epochs, epoch: u64, lane: u32, element: u64) -> u64 {
    readers.row_id(epochs, &epochs.spot(epoch, lane, element))
}
