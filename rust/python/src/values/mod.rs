//! Arrow values as the Python objects that pyarrow's `to_pylist` would give.
//!
//! - [`row`]: one row as a dict; what the rest of the binding uses
//! - `convert`: the trait of a compiled field, and the compiler from schema to converters
//! - `number`, `text`, `decimal`, `temporal`, `timezone`, `interval`: leaves
//! - `list`, `structure`, `encoded`: nesting, dictionaries, runs and unions
//! - `extension`: the extension types that pyarrow gives a Python value of their own
//! - [`error`]: what can go wrong with one value
//! - [`testing`]: functions that only the test suite calls

mod convert;
mod decimal;
mod encoded;
pub mod error;
mod extension;
mod interval;
mod list;
mod number;
pub mod row;
mod structure;
mod temporal;
pub mod testing;
mod text;
mod timezone;

pub use error::ConvertError;
pub use row::RowConverter;
