//! What is known of a dataset without reading its rows.
//!
//! - `listing`: what the user named -> files in order (`natural` order, `kind` by their
//!   names, HF folders by `huggingface` and `json`)
//! - `hive`: folders named `key=value`, whose names are columns; `below`: a word on other folders in a folder
//! - `build`: files -> [`Manifest`]: stored records where they hold, walks (`walk`, `parallel`) for the rest
//! - `contents`: the [`Manifest`] and its views
//! - `identity`, `schema`, `fingerprint`: when a file, a column, a dataset is still the same
//! - `record`, `columns`: one shard, all blocks; `codec`: these as bytes; `store`: the bytes as a locked, mapped file;
//!   `bytes`: all of a manifest, for another process

mod below;
mod build;
mod bytes;
mod codec;
mod columns;
mod contents;
mod fingerprint;
mod hive;
mod huggingface;
mod identity;
mod json;
mod kind;
mod listing;
mod natural;
mod parallel;
mod record;
mod schema;
mod store;
mod walk;

pub use build::{ManifestOptions, OnError};
pub use contents::{Manifest, OpenReport, ShardView};
pub use hive::PartitionValue;
pub use listing::{Listing, resolve, resolve_split};
pub use walk::{BareTokens, Shards, Walk, Walked};
