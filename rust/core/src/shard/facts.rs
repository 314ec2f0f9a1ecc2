//! What stands in a shard's headers and not in the index, for reports to people.

use std::path::Path;

use super::format::Format;
use super::parquet;
use crate::error::Result;
use crate::source::{self, FileIdentity, IoMode};

/// Shape and compression of a shard; nothing where its format has neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardFacts {
    /// Row groups, for Parquet.
    pub row_groups: u64,
    /// The codecs of all columns, by name, each once.
    pub codecs: Vec<String>,
    /// Bytes of the largest row group once it is inflated.
    pub largest_row_group_bytes: u64,
    /// Rows of the one that has most.
    pub largest_row_group_rows: u64,
    /// Whether every column chunk says where its pages lie.
    pub has_page_index: bool,
}

/// The facts of the shard at `path`, which was indexed as `identity`.
pub fn facts(path: &Path, identity: FileIdentity, format: Format) -> Result<ShardFacts> {
    match format {
        Format::ArrowStream
        | Format::ArrowFile
        | Format::Tar
        | Format::Megatron
        | Format::LlmC
        | Format::BareTokens => Ok(ShardFacts::default()),
        Format::Parquet => parquet::facts(source::open(path, IoMode::Read, Some(identity))?.as_ref()),
    }
}
