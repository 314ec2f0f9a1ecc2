//! What is known of a shard without reading a body.

use std::ops::Range;
use std::path::Path;

use arrow_ipc::RecordBatch;
use arrow_schema::SchemaRef;
use xxhash_rust::xxh3::Xxh3Default;

use super::format::{Format, SNIFF_LEN, sniff};
use super::header_reader::HeaderReader;
use super::message::num_rows;
use super::site::Site;
use super::{ipc_file, ipc_stream, parquet, tar, tokens};
use crate::error::{Error, Result};
use crate::source::{Need, ReadFile, Source};

/// Where one record batch lies, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockMeta {
    /// Of the message, from the start of the file.
    pub offset: u64,
    /// Prefix, flatbuffer and padding; the body starts after them.
    pub metadata_len: u32,
    /// Bytes of the body.
    pub body_len: u64,
    /// Rows of the block.
    pub num_rows: u64,
    /// Bytes that it takes in memory once it is decoded, as far as headers tell: windows and caches go by it.
    pub memory_len: u64,
    /// How many of the shard's dictionary messages count for this batch: those before it in a
    /// stream, all of them in a file.
    pub dictionaries: u32,
}

impl BlockMeta {
    /// The first byte after the message.
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.metadata_len) + self.body_len
    }
}

/// Where one dictionary message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DictionaryMeta {
    /// Of the message, from the start of the file.
    pub offset: u64,
    /// Prefix, flatbuffer and padding; the body starts after them.
    pub metadata_len: u32,
    /// Bytes of the body.
    pub body_len: u64,
    /// The dictionary it belongs to.
    pub id: i64,
    /// Whether it adds to the dictionary instead of replacing it.
    pub is_delta: bool,
}

/// All that a header walk finds.
#[derive(Debug, Clone)]
pub struct ShardIndex {
    /// The framing.
    pub format: Format,
    /// The flatbuffer of the schema: [`super::parse_schema`] reads it again.
    pub schema_message: Vec<u8>,
    /// Declared types, with metadata.
    pub schema: SchemaRef,
    /// In storage order.
    pub blocks: Vec<BlockMeta>,
    /// In the order of the file (stream) or footer (file).
    pub dictionaries: Vec<DictionaryMeta>,
    /// Over all headers and some samples of values, for the fingerprint of the dataset.
    pub header_hash: u64,
    /// What only this format needs to read its blocks again.
    pub extra: Vec<u8>,
}

impl ShardIndex {
    /// Rows of all blocks.
    pub fn num_rows(&self) -> u64 {
        self.blocks.iter().map(|block| block.num_rows).sum()
    }
}

/// Bytes of each sample of a body.
const SAMPLE_LEN: u64 = 4 << 10;

/// Walks a shard's headers with small reads; of the bodies only three samples are read, for the fingerprint.
pub fn index(path: &Path) -> Result<ShardIndex> {
    index_as(path, false)
}

/// The same of a file that, where it is no other shard, is a stream of 16-bit token ids, as only the caller can know.
pub fn index_bare_tokens(path: &Path) -> Result<ShardIndex> {
    index_as(path, true)
}

fn index_as(path: &Path, is_bare: bool) -> Result<ShardIndex> {
    let file = ReadFile::open(path)?;
    let mut reader = HeaderReader::new(&file);
    // By any other name it is one only where it is nothing else.
    let may_be_tokens =
        tokens::is_named(path) || (is_bare && sniff(path, reader.bytes(0, SNIFF_LEN)?, file.len()).is_err());
    if may_be_tokens && let Some(mut index) = tokens::index(path, &file, is_bare)? {
        index.header_hash = hash_samples(&mut reader, &index)?;
        return Ok(index);
    }
    let format = sniff(path, reader.bytes(0, SNIFF_LEN)?, file.len())?;
    let mut index = match format {
        Format::ArrowStream => ipc_stream::index(&mut reader)?,
        Format::ArrowFile => ipc_file::index(&mut reader)?,
        Format::Parquet => parquet::index(&file)?,
        Format::Tar => tar::index(path, &mut reader)?,
        Format::Megatron | Format::LlmC | Format::BareTokens => {
            return Err(Error::Internal("a token file that its first bytes tell of".to_owned()));
        }
    };
    index.header_hash = hash_samples(&mut reader, &index)?;
    Ok(index)
}

/// The same of an object on a network, where each read is a round trip: few reads, and those of one time together.
pub fn index_remote(source: &dyn Source) -> Result<ShardIndex> {
    let mut reader = HeaderReader::new(source);
    let len = source.len();
    if len <= SMALL_OBJECT {
        source.hold(HEADERS, std::slice::from_ref(&(0..len)), Need::Headers);
    }
    // What the name says is believed until the footer is read: it cannot be taken for another.
    let is_parquet =
        source.path().extension().is_some_and(|extension| extension == "parquet" || extension == "pq");
    let format = if is_parquet && len > 0 {
        Format::Parquet
    } else {
        sniff(source.path(), reader.bytes(0, SNIFF_LEN)?, len)?
    };
    let mut index = match format {
        Format::ArrowStream => ipc_stream::index(&mut reader)?,
        Format::ArrowFile => ipc_file::index(&mut reader)?,
        Format::Parquet => parquet::index(source)?,
        Format::Tar => tar::index(source.path(), &mut reader)?,
        Format::Megatron | Format::LlmC | Format::BareTokens => {
            return Err(Error::Internal("a token file that its first bytes tell of".to_owned()));
        }
    };
    source.hold(SAMPLES, &samples(&index).collect::<Vec<_>>(), Need::Headers);
    let hash = hash_samples(&mut reader, &index);
    source.release(HEADERS);
    source.release(SAMPLES);
    index.header_hash = hash?;
    Ok(index)
}

/// An object up to this is walked in one read.
const SMALL_OBJECT: u64 = 256 << 10;

/// Names of what a walk holds, beside those of blocks.
const HEADERS: u64 = u64::MAX - 1;
const SAMPLES: u64 = u64::MAX - 2;

/// The hash of the headers carried on over samples of the first and the last body.
///
/// Shards of rows of one length all have the same headers: only their values tell them apart, and the ends of
/// bodies hold values, where their beginnings hold offsets that are the same too.
fn hash_samples(reader: &mut HeaderReader<'_>, index: &ShardIndex) -> Result<u64> {
    let mut hash = Xxh3Default::new();
    hash.update(&index.header_hash.to_le_bytes());
    for sample in samples(index) {
        hash.update(reader.bytes(sample.start, (sample.end - sample.start) as usize)?);
    }
    Ok(hash.digest())
}

fn samples(index: &ShardIndex) -> impl Iterator<Item = Range<u64>> {
    let (first, last) = (index.blocks.first(), index.blocks.last());
    [(first, true), (first, false), (last, false)].into_iter().filter_map(|(block, is_middle)| {
        let block = block?;
        let len = SAMPLE_LEN.min(block.body_len);
        let skipped = if is_middle { (block.body_len - len) / 2 } else { block.body_len - len };
        let start = block.end() - block.body_len + skipped;
        Some(start..start + len)
    })
}

/// Collects what a walk finds.
#[derive(Default)]
pub(super) struct IndexBuilder {
    pub blocks: Vec<BlockMeta>,
    pub dictionaries: Vec<DictionaryMeta>,
    hash: Xxh3Default,
}

/// Where a message lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub offset: u64,
    pub metadata_len: u32,
    pub body_len: u64,
}

impl Extent {
    /// The extent, checked against the file.
    pub fn try_new(
        offset: u64,
        metadata_len: u32,
        body_len: i64,
        file_len: u64,
        site: &Site<'_>,
    ) -> Result<Self> {
        let end = u64::try_from(body_len)
            .ok()
            .and_then(|body_len| offset.checked_add(u64::from(metadata_len))?.checked_add(body_len));
        match end {
            Some(end) if end <= file_len => Ok(Self { offset, metadata_len, body_len: body_len as u64 }),
            _ => Err(site.corrupt(format!(
                "truncated: the message claims {metadata_len} bytes of header and {body_len} of body, the file ends at byte {file_len}; write or download it again"
            ))),
        }
    }

    pub fn end(self) -> u64 {
        self.offset + u64::from(self.metadata_len) + self.body_len
    }
}

impl IndexBuilder {
    pub fn hash_header(&mut self, flatbuffer: &[u8]) {
        self.hash.update(&(flatbuffer.len() as u64).to_le_bytes());
        self.hash.update(flatbuffer);
    }

    pub fn push_block(
        &mut self,
        extent: Extent,
        batch: &RecordBatch<'_>,
        dictionaries: u32,
        site: &Site<'_>,
    ) -> Result<()> {
        self.blocks.push(BlockMeta {
            offset: extent.offset,
            metadata_len: extent.metadata_len,
            body_len: extent.body_len,
            num_rows: num_rows(batch, site)?,
            memory_len: extent.body_len,
            dictionaries,
        });
        Ok(())
    }

    pub fn push_dictionary(&mut self, extent: Extent, id: i64, is_delta: bool) {
        self.dictionaries.push(DictionaryMeta {
            offset: extent.offset,
            metadata_len: extent.metadata_len,
            body_len: extent.body_len,
            id,
            is_delta,
        });
    }

    pub fn finish(self, format: Format, schema_message: Vec<u8>, schema: SchemaRef) -> ShardIndex {
        ShardIndex {
            format,
            schema_message,
            schema,
            blocks: self.blocks,
            dictionaries: self.dictionaries,
            header_hash: self.hash.digest(),
            extra: Vec::new(),
        }
    }
}
