//! Which row comes when, and who takes it: pure arithmetic, no I/O and no Arrow.
//!
//! - `settings`: what a user chooses of an order
//! - `key`: keyed randomness, one domain for each thing that is permuted
//! - `permutation`: exact bijections of `[0, n)` for every `n`
//! - `layout`: what the order knows of the data
//! - `chosen`, `selection`: chosen rows as a dataset of their own
//! - `lanes`: equal cuts of the sequence, dealt round-robin
//! - `sequence`: the permuted blocks of one epoch, grouped into windows
//! - `epoch`: one epoch's order, shared by threads
//! - `reader`: one thread's fast view of it
//! - `partition`: which positions a rank and a worker take, in which step
//! - `length_groups`: rows of a run dealt to its steps by length
//! - `holes`, `runs`: positions not yet delivered below the cursor
//! - `merge`: one position and its holes from what several workers have delivered
//! - `quality`: how good a shuffle is

mod chosen;
mod epoch;
mod holes;
mod key;
mod lanes;
mod layout;
mod length_groups;
mod merge;
mod partition;
mod permutation;
pub mod quality;
mod reader;
mod runs;
mod selection;
mod sequence;
mod settings;

pub use chosen::Chosen;
pub use epoch::EpochOrder;
pub use holes::Holes;
pub(crate) use key::Stream;
pub use key::{Key, Level};
pub use lanes::Lanes;
pub use layout::{Layout, Place};
pub use length_groups::deal_by_length;
pub use merge::merge_delivered;
pub use partition::{Partition, Remainder};
pub use permutation::Permutation;
pub use reader::OrderReader;
pub use runs::Run;
pub use selection::Selection;
pub use sequence::{WindowBlock, WindowSpan};
pub use settings::{Mode, OrderSettings};

/// The version of everything in this folder that decides which row comes when.
///
/// It stands in every cursor: change it whenever a golden order changes.
pub const ALGORITHM_VERSION: u32 = 1;
