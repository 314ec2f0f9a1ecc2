//! From text to sequences of tokens.
//!
//! - [`pack`]: documents of tokens to sequences of one length, and back.

pub mod pack;
