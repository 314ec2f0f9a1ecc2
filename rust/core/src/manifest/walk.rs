//! The door through which a shard's format tells the manifest what a file holds.

use std::path::Path;

use arrow_schema::SchemaRef;

use crate::shard::{self, BlockMeta, DictionaryMeta, Format, ShardIndex};
use crate::source::{Source, twice};
use crate::{Error, Result};

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

    /// The same of an object on a network.
    fn walk_remote(&self, source: &dyn Source) -> Result<Walked> {
        twice(source, || {
            let indexed = shard::index_remote(source);
            // Also where it failed: what was held would be read again as it came.
            source.release_all();
            indexed
        })
        .map(Walked::from)
    }

    /// Decodes a schema message that an earlier walk returned for a file of this format.
    fn decode_schema(&self, path: &Path, format: u32, message: &[u8]) -> Result<SchemaRef>;
}

/// The formats of [`crate::shard`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Shards;

/// The same, and files that no first bytes tell of are streams of token ids.
#[derive(Clone, Copy, Debug, Default)]
pub struct BareTokens;

impl Walk for BareTokens {
    fn walk(&self, path: &Path) -> Result<Walked> {
        shard::index_bare_tokens(path).map(Walked::from)
    }

    fn decode_schema(&self, path: &Path, format: u32, message: &[u8]) -> Result<SchemaRef> {
        Shards.decode_schema(path, format, message)
    }
}

impl From<ShardIndex> for Walked {
    fn from(index: ShardIndex) -> Self {
        let ShardIndex { format, schema_message, schema, blocks, dictionaries, header_hash, extra } = index;
        let format = number_of(format);
        Self { format, schema_message, schema, blocks, dictionaries, header_hash, extra }
    }
}

impl Walk for Shards {
    fn walk(&self, path: &Path) -> Result<Walked> {
        shard::index(path).map(Walked::from)
    }

    fn decode_schema(&self, path: &Path, format: u32, message: &[u8]) -> Result<SchemaRef> {
        if format_of(format).is_none() {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                message: format!("its index names format {format}, which this version does not know"),
            });
        }
        shard::parse_schema(path, message)
    }
}

/// Stands in stored indexes and fingerprints: a number once given keeps its meaning.
fn number_of(format: Format) -> u32 {
    match format {
        Format::ArrowStream => 1,
        Format::ArrowFile => 2,
        Format::Parquet => 3,
        Format::Tar => 4,
        Format::Megatron => 5,
        Format::LlmC => 6,
        Format::BareTokens => 7,
    }
}

pub(crate) fn format_of(number: u32) -> Option<Format> {
    [
        Format::ArrowStream,
        Format::ArrowFile,
        Format::Parquet,
        Format::Tar,
        Format::Megatron,
        Format::LlmC,
        Format::BareTokens,
    ]
    .into_iter()
    .find(|&format| number_of(format) == number)
}

/// The error of a shard that does not fit because it is of another format than the first, whatever its name says.
pub(crate) fn of_other_format(first: (&Path, u32), other: (&Path, u32)) -> Option<Error> {
    let (expected, found) = (format_of(first.1)?, format_of(other.1)?);
    let message = format!(
        "{} is {}, not {} as {} is, and does not have its columns; name the files of one format",
        other.0.display(),
        found.with_article(),
        expected.with_article(),
        first.0.display()
    );
    let path = Some(other.0.to_owned());
    (expected.family() != found.family()).then_some(Error::SchemaMismatch { path, message })
}
