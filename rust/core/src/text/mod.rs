//! From text to sequences of tokens.
//!
//! - [`tokenizer`]: text to ids, the same ids everywhere.
//! - [`encoder`]: rows to ids; [`values`]: the text of a column's value.
//! - [`pack`]: documents of tokens to sequences of one length, and back.

pub mod encoder;
pub mod pack;
pub mod tokenizer;
pub mod values;
