//! rowmill's core: a dataset as it lies, opened in milliseconds, in an order that no restart changes.
//!
//! Data flows one way:
//!
//! ```text
//! loader -> assemble -> manifest -> shard -> source -> error
//!    |-> text     -> error     (text to tokens to sequences, no I/O)
//!    |-> order    -> error     (arithmetic only, no I/O)
//!    |-> mix      -> order     (arithmetic only: which source comes when)
//!    `-> prefetch -> error     (threads and slots, no Arrow)
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod assemble;
pub mod error;
mod fetch;
pub mod interrupt;
pub mod loader;
pub mod manifest;
mod memory;
pub mod mix;
pub mod order;
mod panics;
pub mod prefetch;
pub mod shard;
pub mod source;
pub mod text;

pub use error::{Error, Result};
