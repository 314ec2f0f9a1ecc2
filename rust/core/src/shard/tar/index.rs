//! The one pass over a tar's headers: where its samples lie, and which columns they have.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use xxhash_rust::xxh3::Xxh3Default;

use super::header::{UNIT, is_header, is_zero};
use super::members::{Bytes, Members};
use super::parts::{Parts, too_many};
use super::{KEY, MAX_EXTENSIONS};
use crate::error::Result;
use crate::shard::format::Format;
use crate::shard::header_reader::HeaderReader;
use crate::shard::index::{BlockMeta, ShardIndex};
use crate::shard::schema::encode_schema;

/// A block is a run of samples that ends with the one that brings it to either of these: large enough that reading
/// it is one request to a disk, small enough that some blocks make a shuffled window.
const BLOCK_BYTES: u64 = 1 << 20;
const BLOCK_ROWS: u64 = 1000;

/// How far behind its end an archive is looked through for another one.
const LOOKED_THROUGH: u64 = 1 << 20;
const LOOKED_AT_ONCE: usize = 64 << 10;

/// Reads the headers of a whole archive.
pub(in crate::shard) fn index(path: &Path, reader: &mut HeaderReader<'_>) -> Result<ShardIndex> {
    let hashed = Hashed { reader, hash: Xxh3Default::new() };
    let mut parts = Parts::new(Members::new(hashed, path, None, 0));
    let mut columns = BTreeSet::new();
    let mut blocks = Blocks::default();
    while let Some(part) = parts.next_part()? {
        blocks.push(part.is_first, part.start);
        if !columns.contains(part.column) {
            columns.insert(part.column.to_owned());
        }
        blocks.end = parts.members.at;
        if columns.len() > MAX_EXTENSIONS {
            return Err(too_many(|text| parts.members.unsupported(text)));
        }
    }
    refuse_a_second(&mut parts.members)?;
    let schema = schema(&columns);
    Ok(ShardIndex {
        format: Format::Tar,
        schema_message: encode_schema(&schema),
        schema: Arc::new(schema),
        blocks: blocks.finish(),
        dictionaries: Vec::new(),
        header_hash: parts.members.bytes.hash.digest(),
        extra: Vec::new(),
    })
}

/// The key, then one column an extension, in the order of their names.
fn schema(columns: &BTreeSet<String>) -> Schema {
    let key = Field::new(KEY, DataType::Utf8, false);
    let values = columns.iter().map(|name| Field::new(name, DataType::BinaryView, true));
    Schema::new(std::iter::once(key).chain(values).collect::<Vec<_>>())
}

/// Hashes the headers that are read, for the fingerprint.
struct Hashed<'a, 'f> {
    reader: &'a mut HeaderReader<'f>,
    hash: Xxh3Default,
}

impl Bytes for Hashed<'_, '_> {
    fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        self.reader.bytes(offset, len)
    }

    fn end(&self) -> u64 {
        self.reader.file_len()
    }

    fn saw(&mut self, header: &[u8]) {
        self.hash.update(header);
    }
}

/// Whole samples, put together until they are a block.
#[derive(Default)]
struct Blocks {
    done: Vec<BlockMeta>,
    start: u64,
    /// Of the last member.
    end: u64,
    num_rows: u64,
}

impl Blocks {
    /// Takes in a member that begins at `start`.
    fn push(&mut self, is_first: bool, start: u64) {
        if is_first && (self.end - self.start >= BLOCK_BYTES || self.num_rows >= BLOCK_ROWS) {
            self.close();
        }
        if self.num_rows == 0 {
            self.start = start;
        }
        self.num_rows += u64::from(is_first);
    }

    fn close(&mut self) {
        let body_len = self.end - self.start;
        self.done.push(BlockMeta {
            offset: self.start,
            metadata_len: 0,
            body_len,
            memory_len: body_len,
            num_rows: self.num_rows,
            dictionaries: 0,
        });
        self.num_rows = 0;
    }

    fn finish(mut self) -> Vec<BlockMeta> {
        if self.num_rows > 0 {
            self.close();
        }
        self.done
    }
}

/// An error where headers follow the end of the archive: another archive was appended, or a part of this one was
/// overwritten with zeros, and every reader would take what follows for nothing.
fn refuse_a_second(members: &mut Members<'_, Hashed<'_, '_>>) -> Result<()> {
    let end = members.bytes.end().min(members.at.saturating_add(LOOKED_THROUGH));
    let mut at = members.at;
    while at < end {
        let bytes = members.bytes.bytes(at, LOOKED_AT_ONCE)?;
        let found = bytes.chunks(UNIT as usize).position(|block| !is_zero(block) && is_header(block));
        if let Some(place) = found {
            return Err(members.corrupt(
                members.at,
                format!(
                    "the archive ends here, but another header stands at byte {}: two archives were put together, or zeros were written over this one; write it again, or unpack and pack what was put together",
                    at + place as u64 * UNIT
                ),
            ));
        }
        at += LOOKED_AT_ONCE as u64;
    }
    Ok(())
}
