//! From text to sequences of tokens.
//!
//! - [`tokenizer`]: text to ids, the same ids everywhere

pub mod tokenizer;
