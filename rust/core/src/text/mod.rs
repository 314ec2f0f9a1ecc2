//! From text to sequences of tokens.
//!
//! - [`tokenizer`]: text to ids, the same ids everywhere.
//! - [`encoder`]: rows to ids.
//! - [`pack`]: documents of tokens to sequences of one length, and back.
//! - [`padded`]: rows of tokens to one padded batch.

pub mod encoder;
pub mod pack;
pub mod padded;
pub mod tokenizer;
