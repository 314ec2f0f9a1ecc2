//! One open shard of any format.

use std::ops::Range;
use std::sync::Arc;

use arrow_schema::FieldRef;

use super::block::Block;
use super::format::Format;
use super::index::{BlockMeta, ShardIndex};
use super::ipc_reader::ArrowReader;
use super::parquet::ParquetReader;
use super::tar::TarReader;
use super::tokens::TokenReader;
use crate::error::Result;
use crate::source::Source;

/// How texts and bytes may be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Texts {
    /// In storage form, with offsets.
    #[default]
    Stored,
    /// Some blocks may hold views of their pages instead, which saves a copy: for who looks at single values only.
    MayBeViews,
}

/// Decodes any block of one shard, from any thread.
#[derive(Debug)]
pub enum ShardReader {
    /// Arrow IPC, either framing.
    Arrow(ArrowReader),
    /// Parquet.
    Parquet(ParquetReader),
    /// A WebDataset tar.
    Tar(TarReader),
    /// Token ids of another trainer.
    Tokens(TokenReader),
}

impl ShardReader {
    /// Prepares to read `source`, of which `index` is what the header walk found.
    ///
    /// The index must be the shard's own: its schema carries the ids by which dictionaries are found.
    /// With a projection only those columns are read, inflated and decoded, in that order.
    pub fn try_new(
        source: Arc<dyn Source>,
        index: ShardIndex,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        Self::try_with_texts(source, index, projection, Texts::Stored)
    }

    /// The same, of which texts may be decoded in another form.
    pub fn try_with_texts(
        source: Arc<dyn Source>,
        index: ShardIndex,
        projection: Option<Vec<usize>>,
        texts: Texts,
    ) -> Result<Self> {
        Ok(match index.format {
            Format::ArrowStream | Format::ArrowFile => {
                Self::Arrow(ArrowReader::try_new(source, index, projection)?)
            }
            Format::Parquet => Self::Parquet(ParquetReader::try_new(source, &index, projection, texts)?),
            Format::Tar => Self::Tar(TarReader::try_new(source, &index.schema, projection)?),
            Format::Megatron | Format::LlmC | Format::BareTokens => {
                Self::Tokens(TokenReader::try_new(source, &index, projection)?)
            }
        })
    }

    /// The file under it.
    pub fn source(&self) -> &Arc<dyn Source> {
        match self {
            Self::Arrow(reader) => reader.source(),
            Self::Parquet(reader) => reader.source(),
            Self::Tar(reader) => reader.source(),
            Self::Tokens(reader) => reader.source(),
        }
    }

    /// The fields of the columns that [`ShardReader::decode`] gives, in storage form.
    pub fn storage_fields(&self) -> Vec<&FieldRef> {
        match self {
            Self::Arrow(reader) => reader.storage_fields().collect(),
            Self::Parquet(reader) => reader.storage_fields().collect(),
            Self::Tar(reader) => reader.storage_fields().collect(),
            Self::Tokens(reader) => reader.storage_fields().collect(),
        }
    }

    /// The parts of the file that decoding the block at `index` reads, for read-ahead.
    pub fn ranges(&self, index: u64, block: &BlockMeta) -> Result<Vec<Range<u64>>> {
        match self {
            Self::Arrow(reader) => reader.ranges(index, block),
            Self::Parquet(reader) => reader.ranges(index),
            // Headers stand between the members of every column.
            Self::Tar(_) | Self::Tokens(_) => Ok(std::iter::once(block.offset..block.end()).collect()),
        }
    }

    /// Decodes the block at `index` of the shard.
    pub fn decode(&self, index: u64, block: &BlockMeta) -> Result<Block> {
        match self {
            Self::Arrow(reader) => reader.decode(index, block),
            Self::Tar(reader) => reader.decode(index, block),
            Self::Tokens(reader) => reader.decode(index, block),
            Self::Parquet(reader) => reader.decode(index, block),
        }
    }

    /// The row group of each block; empty for formats without.
    pub fn row_groups(&self) -> Vec<u64> {
        match self {
            Self::Arrow(_) | Self::Tar(_) | Self::Tokens(_) => Vec::new(),
            Self::Parquet(reader) => reader.row_groups().collect(),
        }
    }

    /// How often rows were reached through others before them, for want of an index in the file.
    pub fn num_rescans(&self) -> u64 {
        match self {
            Self::Arrow(_) | Self::Tar(_) | Self::Tokens(_) => 0,
            Self::Parquet(reader) => reader.num_rescans(),
        }
    }
}
