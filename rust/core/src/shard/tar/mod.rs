//! WebDataset tars, read as they lie: members with one key are one row, their extensions its columns.
//!
//! - [`mod@header`]: one 512-byte header, its checksum and its numbers
//! - [`records`]: what pax and GNU extensions say about the member after them
//! - [`members`]: the walk from header to header, over a file or over one block of it
//! - [`names`]: key and extension of a member, as WebDataset splits them
//! - [`parts`]: members that belong to samples, and where a sample begins
//! - [`mod@index`]: the one pass over the headers: blocks and columns
//! - [`reader`]: one block's headers again, and views of its members
//!
//! A member's bytes are a view of the file, never a copy. No table of members is kept: a block is a run of whole
//! samples of about a mebibyte, and its headers say the rest when it is decoded, each checked against its checksum
//! and against the block. So a terabyte of small samples costs an index of some bytes a block.
//!
//! Names are keys of rows only. Nothing is unpacked, so no name can lead anywhere.

mod header;
mod index;
mod members;
mod names;
mod parts;
mod reader;
mod records;

pub(super) use header::is_header;
pub(super) use index::index;
pub use reader::TarReader;

/// The column of the samples' keys.
pub const KEY: &str = "__key__";

/// More columns than any data set means to have: with so many, the names have dots in their keys.
pub(crate) const MAX_EXTENSIONS: usize = 1000;
