//! Documents of tokens to sequences of one length, and back: slices in, samples out; no I/O and no threads.
//!
//! - [`packer`]: one lane's state machine over documents; `concat` and `best_fit` are its two ways.
//! - `group`, `bins`: which documents are fitted together, and which of them share a sequence.
//! - [`units`]: the same of documents whose lengths are known before they are read.
//! - [`place`]: where a lane goes on after a sample.
//! - [`sample`]: a finished sequence.
//! - [`counter`]: how many samples documents of given lengths make.
//! - [`columns`]: a sample as token ids, labels, positions, document ids and masks.
//! - [`cu_seqlens`]: a sample's cuts, as variable-length attention wants them.
//! - [`element`]: the integers that columns are written as.
//! - [`stats`]: how much was padded and cut.
//! - [`unpack`]: from packed columns back to documents.
//! - [`ids`]: token ids as they lie in Arrow columns.
//! - [`pad`]: rows of tokens to one width, for fine-tuning.

mod best_fit;
mod bins;
pub mod columns;
mod concat;
pub mod counter;
pub mod cu_seqlens;
pub mod element;
mod group;
pub mod ids;
pub mod packer;
pub mod pad;
pub mod place;
pub mod sample;
pub mod stats;
pub mod units;
pub mod unpack;

pub use columns::Labels;
pub use counter::SampleCounter;
pub use cu_seqlens::{CuSeqlens, flatten};
pub use element::Element;
pub use ids::append_token_ids;
pub use packer::{PackMode, Packer};
pub use pad::{PadSpec, Padding, Side};
pub use place::Place;
pub use sample::{Sample, Segment};
pub use stats::PackStats;
pub use units::{Units, WindowGroup};
pub use unpack::{Stretch, Unpacker, stretches};

/// The version of everything in this folder that decides which token comes in which sample.
///
/// It stands in every cursor of a packed pipeline: change it whenever a golden packing changes.
pub const PACK_VERSION: u32 = 1;
