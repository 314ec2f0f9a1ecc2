//! The door through which a shard's format tells the manifest what a file holds.

use std::path::Path;

use arrow_schema::SchemaRef;

use crate::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockMeta {
    pub offset: u64,
    pub metadata_len: u32,
    pub body_len: u64,
    pub num_rows: u64,
    pub dictionaries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DictionaryMeta {
    pub offset: u64,
    pub metadata_len: u32,
    pub body_len: u64,
    pub id: i64,
    pub is_delta: bool,
}

/// Everything that one walk over a file's headers found out.
#[derive(Clone, Debug)]
pub struct Walked {
    /// The format's number, as [`Walk`] gives and takes it.
    pub format: u32,
    /// The schema as it stands in the file.
    pub schema_message: Vec<u8>,
    /// The same, decoded.
    pub schema: SchemaRef,
    /// Blocks in storage order.
    pub blocks: Vec<BlockMeta>,
    /// Dictionary messages in storage order.
    pub dictionaries: Vec<DictionaryMeta>,
    /// A hash over all headers: it changes when the file is another one of the same shape.
    pub header_hash: u64,
    /// What only this format needs to read its blocks again.
    pub extra: Vec<u8>,
}

/// How files are walked; tests count calls through it, formats come in through it.
pub trait Walk: Sync {
    /// Reads the headers of a file, not its rows.
    fn walk(&self, path: &Path) -> Result<Walked>;

    /// Decodes a schema message that an earlier walk returned for a file of this format.
    fn decode_schema(&self, path: &Path, format: u32, message: &[u8]) -> Result<SchemaRef>;
}
