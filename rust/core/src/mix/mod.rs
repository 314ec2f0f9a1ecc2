//! Which source of a mix gives which sample: pure arithmetic, no I/O and no Arrow.
//!
//! - `shares`: weights as exact fractions
//! - `curve`: weights that change on the way
//! - `timeline`: how much each source is due after so many samples
//! - `weaver`: weaves a schedule sample by sample, no source ever off its due by one
//! - `level`: the same shares in every lane
//! - `weave`: constant or changing weights as woven patterns
//! - `pattern`: a woven pattern repeated for ever, with counts and their inverses
//! - `schedule`: patterns one after the other: the schedule of a mix
//! - `stopping`: when a mix of finite sources ends
//! - `draws`: which of its own rows a source gives for each sample
//! - `balance`: mixing by tokens: whose document a lane takes next

mod balance;
mod curve;
mod draws;
mod level;
mod pattern;
mod schedule;
mod shares;
mod stopping;
mod timeline;
mod weave;
mod weaver;

pub use balance::{TokenShares, counted_tokens};
pub use curve::Step;
pub use draws::{Drawn, Draws, LaneRows};
pub use schedule::Schedule;
pub use shares::{MAX_SOURCES, Shares};
pub use stopping::Stopping;

/// The version of everything in this folder that decides which source gives which sample.
///
/// It stands in every cursor of a mix: change it whenever a golden schedule changes.
pub const ALGORITHM_VERSION: u32 = 1;
