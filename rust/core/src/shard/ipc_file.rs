//! The file framing: `ARROW1`, messages, a footer that says where they are, `ARROW1`.

use arrow_buffer::Buffer;
use arrow_ipc::{Block, Footer, root_as_footer_with_opts};
use arrow_schema::Schema;

use super::format::Format;
use super::header_reader::{HeaderReader, SMALL_READ};
use super::index::{Extent, IndexBuilder, ShardIndex};
use super::message::{Kind, MAX_METADATA, check_version, kind_of, one_line, verifier_options, verify};
use super::schema::schema_of;
use super::site::Site;
use crate::error::Result;
use crate::source::Need;

const MAGIC: &[u8] = b"ARROW1";
/// The footer's length, and the magic after it.
const TAIL_LEN: u64 = 4 + MAGIC.len() as u64;
/// What the walk holds.
const BLOCK_HEADERS: u64 = u64::MAX - 3;
/// Magic plus padding at the start.
const HEAD_LEN: u64 = 8;

pub(super) fn index(reader: &mut HeaderReader<'_>) -> Result<ShardIndex> {
    let (bytes, offset) = footer_bytes(reader)?;
    let site = reader.site(offset);
    let footer = root_as_footer_with_opts(&verifier_options(), &bytes)
        .map_err(|error| site.corrupt(format!("the footer is damaged: {}", one_line(&error))))?;
    check_version(footer.version(), &site)?;
    let schema = footer.schema().ok_or_else(|| site.corrupt("the footer has no schema"))?;
    let schema = schema_of(schema, &site)?;
    let message = schema_message(reader, &schema, first_message(&footer, offset))?;
    let mut built = IndexBuilder::default();
    built.hash_header(&bytes);
    announce_headers(reader, &footer, offset);
    let walked = walk_blocks(reader, &mut built, &footer, offset);
    reader.source().release(BLOCK_HEADERS);
    walked?;
    Ok(built.finish(Format::ArrowFile, message, schema))
}

/// Where the first dictionary or record batch lies, or the footer where there is none.
fn first_message(footer: &Footer<'_>, end: u64) -> u64 {
    let blocks =
        footer.dictionaries().into_iter().flatten().chain(footer.recordBatches().into_iter().flatten());
    blocks.filter_map(|block| u64::try_from(block.offset()).ok()).fold(end, u64::min)
}

/// The schema message after the magic, which must say what the footer says; `end` is where the next one begins.
fn schema_message(reader: &mut HeaderReader<'_>, footer: &Schema, end: u64) -> Result<Vec<u8>> {
    let site = reader.site(HEAD_LEN);
    let differs = || site.corrupt("the schema at the start of the file is not the footer's");
    let header = if is_bare(reader.bytes(HEAD_LEN, 8)?) {
        let len = end.saturating_sub(HEAD_LEN).min(u64::from(MAX_METADATA));
        Buffer::from(reader.bytes(HEAD_LEN, len as usize)?)
    } else {
        reader.header(HEAD_LEN)?.ok_or_else(differs)?.0
    };
    let Kind::Schema(schema) = kind_of(&verify(&header, &site)?, &site)? else { return Err(differs()) };
    if *schema_of(schema, &site)? != *footer {
        return Err(differs());
    }
    Ok(header.to_vec())
}

/// Whether the message has no prefix, as polars writes it: it begins with the small offset of its root table, where
/// others have a marker, or, before Arrow 0.15, the message's length.
fn is_bare(first: &[u8]) -> bool {
    // A message of so few bytes holds no schema.
    first.first_chunk::<4>().is_some_and(|word| u32::from_le_bytes(*word) <= 16)
}

/// The footer, and where it starts.
fn footer_bytes(reader: &mut HeaderReader<'_>) -> Result<(Buffer, u64)> {
    let file_len = reader.file_len();
    let site = reader.site(file_len);
    let unfinished =
        || site.corrupt("the file has no footer: its writer was stopped before it closed it; write it again");
    let Some(tail_start) = file_len.checked_sub(TAIL_LEN).filter(|start| *start >= HEAD_LEN) else {
        return Err(unfinished());
    };
    let tail = reader.bytes(tail_start, TAIL_LEN as usize)?;
    let Some(len) =
        tail.first_chunk::<4>().filter(|_| tail.ends_with(MAGIC) && tail.len() as u64 == TAIL_LEN)
    else {
        return Err(unfinished());
    };
    let len = u32::from_le_bytes(*len);
    let start =
        tail_start.checked_sub(u64::from(len)).filter(|start| *start >= HEAD_LEN && len <= MAX_METADATA);
    let Some(start) = start else {
        return Err(site.corrupt(format!("a footer of {len} bytes is claimed in a file of {file_len}")));
    };
    let bytes = reader.bytes(start, len as usize)?;
    if bytes.len() < len as usize {
        return Err(unfinished());
    }
    Ok((Buffer::from(bytes), start))
}

/// Has all headers brought in at once where each would be a round trip.
fn announce_headers(reader: &HeaderReader<'_>, footer: &Footer<'_>, end: u64) {
    if !reader.source().is_remote() {
        return;
    }
    let places =
        footer.dictionaries().into_iter().flatten().chain(footer.recordBatches().into_iter().flatten());
    let headers = places.filter_map(|place| {
        let start = u64::try_from(place.offset()).ok()?;
        let len =
            u64::try_from(place.metaDataLength()).ok()?.clamp(SMALL_READ as u64, u64::from(MAX_METADATA));
        (start < end).then(|| start..end.min(start + len))
    });
    reader.source().hold(BLOCK_HEADERS, &headers.collect::<Vec<_>>(), Need::Headers);
}

/// Reads the headers that the footer names: it gives places, only they give row counts.
fn walk_blocks(
    reader: &mut HeaderReader<'_>,
    built: &mut IndexBuilder,
    footer: &Footer<'_>,
    end: u64,
) -> Result<()> {
    for place in footer.dictionaries().into_iter().flatten() {
        let site = reader.site(place.offset() as u64);
        let (extent, header) = header_of(reader, place, end, &site)?;
        let message = verify(&header, &site)?;
        check_body(&message, extent, &site)?;
        let Kind::Dictionary { id, is_delta, .. } = kind_of(&message, &site)? else {
            return Err(site.corrupt("the footer names a dictionary where there is none"));
        };
        built.push_dictionary(extent, id, is_delta);
        built.hash_header(&header);
    }
    let dictionaries = built.dictionaries.len() as u32;
    for place in footer.recordBatches().into_iter().flatten() {
        let site = reader.site(place.offset() as u64);
        let (extent, header) = header_of(reader, place, end, &site)?;
        let message = verify(&header, &site)?;
        check_body(&message, extent, &site)?;
        let Kind::Batch(batch) = kind_of(&message, &site)? else {
            return Err(site.corrupt("the footer names a record batch where there is none"));
        };
        built.push_block(extent, &batch, dictionaries, &site)?;
        built.hash_header(&header);
    }
    Ok(())
}

fn header_of(
    reader: &mut HeaderReader<'_>,
    place: &Block,
    end: u64,
    site: &Site<'_>,
) -> Result<(Extent, Buffer)> {
    let metadata_len = u32::try_from(place.metaDataLength())
        .map_err(|_| site.corrupt(format!("a header of {} bytes is claimed", place.metaDataLength())))?;
    if place.offset() < 0 {
        return Err(site.corrupt(format!("the footer names a message at byte {}", place.offset())));
    }
    let extent = Extent::try_new(place.offset() as u64, metadata_len, place.bodyLength(), end, site)?;
    match reader.header(extent.offset)? {
        Some((header, len)) if len <= metadata_len => Ok((extent, header)),
        _ => Err(site.corrupt("the footer and the message disagree about the header's length")),
    }
}

fn check_body(message: &arrow_ipc::Message<'_>, extent: Extent, site: &Site<'_>) -> Result<()> {
    if message.bodyLength() as u64 == extent.body_len {
        return Ok(());
    }
    Err(site.corrupt(format!(
        "the footer gives the body {} bytes, the message {}",
        extent.body_len,
        message.bodyLength()
    )))
}
