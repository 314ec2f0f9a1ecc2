//! The stream framing: a schema, then dictionaries and batches, then a marker or just the end.

use super::format::Format;
use super::header_reader::HeaderReader;
use super::index::{Extent, IndexBuilder, ShardIndex};
use super::message::{Kind, kind_of, verify};
use super::schema::schema_of;
use crate::error::Result;

pub(super) fn index(reader: &mut HeaderReader<'_>) -> Result<ShardIndex> {
    let mut built = IndexBuilder::default();
    let site = reader.site(0);
    let Some((header, metadata_len)) = reader.header(0)? else {
        return Err(site.corrupt("the stream ends before its schema; its writer was stopped, write it again"));
    };
    let message = verify(&header, &site)?;
    let Kind::Schema(schema) = kind_of(&message, &site)? else {
        return Err(site.corrupt("the stream does not start with a schema; its beginning is missing"));
    };
    let schema = schema_of(schema, &site)?;
    let mut next = Extent::try_new(0, metadata_len, message.bodyLength(), reader.file_len(), &site)?.end();
    built.hash_header(&header);
    while let Some(after) = walk_one(reader, &mut built, next)? {
        next = after;
    }
    Ok(built.finish(Format::ArrowStream, header.to_vec(), schema))
}

/// Takes the message at `offset` in and says where the next one starts.
fn walk_one(reader: &mut HeaderReader<'_>, built: &mut IndexBuilder, offset: u64) -> Result<Option<u64>> {
    let Some((header, metadata_len)) = reader.header(offset)? else { return Ok(None) };
    let site = reader.site(offset);
    let message = verify(&header, &site)?;
    let kind = kind_of(&message, &site)?;
    let extent = Extent::try_new(offset, metadata_len, message.bodyLength(), reader.file_len(), &site)?;
    built.hash_header(&header);
    match kind {
        Kind::Schema(_) => {
            return Err(
                site.corrupt("a second schema: several streams were concatenated; keep one stream a file")
            );
        }
        Kind::Dictionary { id, is_delta, .. } => built.push_dictionary(extent, id, is_delta),
        Kind::Batch(batch) => {
            let dictionaries = built.dictionaries.len() as u32;
            built.push_block(extent, &batch, dictionaries, &site)?;
        }
    }
    Ok(Some(extent.end()))
}
