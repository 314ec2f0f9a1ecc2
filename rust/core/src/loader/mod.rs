//! Plan, order, shards and threads put together; the only module that sees all others.
//!
//! - [`table`]: an opened dataset, or several side by side; [`shards`]: the files of one; `union`: one schema for all.
//! - [`cache`]: its decoded blocks.
//! - [`choice`]: chosen rows of it, from ranges and indices files.
//! - [`counts`]: how many tokens each document has.
//! - [`epochs`]: the orders of the epochs that are being read.
//! - [`stream`]: one consumer's items, made ahead; `jobs`: which ones at a time; `work`: who makes them.
//! - [`group`]: what is handed over at a time.
//! - [`lanes`]: chunks of lanes on demand; [`files`]: of lanes over files that are opened on the way.
//! - [`length_groups`]: runs of rows grouped by length.
//! - [`ahead`]: which blocks are announced when; `advice`: the thread that tells the kernel.
//! - [`mod@verify`]: everything read once and checked; `content` is what a block's values are as one number.
//! - [`packed`]: documents of lanes packed into sequences.
//! - [`receipt`]: one value for what was delivered; `delivered`: which rows an item holds.
//! - [`pruned`]: blocks that a filter needs not see.
//! - [`windows`]: which windows are open, and room for them.

mod advice;
pub mod ahead;
pub mod cache;
pub mod choice;
mod content;
pub mod counts;
mod delivered;
pub mod epochs;
pub mod files;
pub mod group;
mod jobs;
pub mod lanes;
pub mod length_groups;
pub mod packed;
pub mod pruned;
pub mod receipt;
pub mod shards;
pub mod stream;
pub mod table;
mod union;
pub mod verify;
pub mod windows;
mod work;

pub use choice::{Choice, choose};
pub use delivered::token_counts;
pub use epochs::{Epochs, MixedSource};
pub use files::{FileSpec, Files};
pub use group::Step;
pub use lanes::{Chunk, ChunkRows, Lanes, OfFile};
pub use length_groups::{GroupSpec, LengthOf};
pub use pruned::Pruned;
pub use receipt::{RECEIPT_VERSION, Receipt};
pub use shards::Shards;
pub use stream::{Output, Stream, StreamSpec, dealt_positions};
pub use table::{Member, OnError, Projection, Table, layout_of};
pub use verify::{ShardVerdict, verify};
