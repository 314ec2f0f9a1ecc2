//! Flat streams of ids: llm.c's header or none, then one id after the other.
//!
//! A stream does not say where its documents begin: a token that separates them stands at their end in nanoGPT's files and
//! at their beginning in llm.c's, and which one it is stands nowhere. So rows are pieces of one length, the last one
//! shorter; the sequence of all pieces is the stream.

use arrow_schema::DataType;
use xxhash_rust::xxh3::xxh3_64;

use super::{BLOCK_BYTES, block, end_of, shard_index};
use crate::error::Result;
use crate::shard::format::Format;
use crate::shard::index::{BlockMeta, ShardIndex};
use crate::shard::site::Site;
use crate::source::{ReadFile, Source};

/// Ids of a row.
pub const PIECE_TOKENS: u64 = 2048;

/// llm.c's header: 256 words, of which a magic, a version and the number of ids are used.
const HEADER_LEN: u64 = 1024;
const HEADER_WORDS: usize = 3;
/// Magic, version and type of each of its forms.
const FORMS: [(i32, i32, DataType); 2] =
    [(20_240_520, 1, DataType::UInt16), (20_240_801, 7, DataType::UInt32)];

/// The stream in `file`; `None` where it has no header, unless it is said to be bare.
pub(super) fn index(file: &ReadFile, is_bare: bool) -> Result<Option<ShardIndex>> {
    let mut first = [0; HEADER_WORDS * 4];
    let count = file.read_up_to(0, &mut first)?;
    let word = |at: usize| i32::from_le_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]]);
    let form = FORMS.iter().find(|(magic, ..)| count == first.len() && word(0) == *magic);
    let Some((_, version, ids)) = form else {
        return if is_bare { bare(file).map(Some) } else { Ok(None) };
    };
    if word(4) != *version {
        let site = Site::new(file.path(), 4);
        return Err(site.unsupported(format!(
            "a token file of llm.c of version {}, of which {version} is known; write it with that",
            word(4)
        )));
    }
    let width = width_of(ids);
    let body_len = i64::from(word(8)) * width as i64;
    if body_len < 0 || file.len().checked_sub(HEADER_LEN) != u64::try_from(body_len).ok() {
        return Err(Site::new(file.path(), 8).corrupt(format!(
            "its header counts {} tokens of {width} bytes behind {HEADER_LEN} bytes of header, but the file has {} bytes; write or download it again",
            word(8),
            file.len()
        )));
    }
    let blocks = blocks(HEADER_LEN, file.len(), width);
    Ok(Some(shard_index(Format::LlmC, ids, blocks, xxh3_64(&first))))
}

/// A stream of 16 bits: what nanoGPT takes for granted.
fn bare(file: &ReadFile) -> Result<ShardIndex> {
    let width = width_of(&DataType::UInt16);
    if !file.len().is_multiple_of(width) {
        return Err(end_of(file).corrupt(format!(
            "{} bytes are no stream of 16-bit tokens; it was cut short, or is something else",
            file.len()
        )));
    }
    let hash = xxh3_64(&file.len().to_le_bytes());
    Ok(shard_index(Format::BareTokens, &DataType::UInt16, blocks(0, file.len(), width), hash))
}

fn width_of(ids: &DataType) -> u64 {
    ids.primitive_width().unwrap_or(1) as u64
}

/// Whole pieces together, up to the end.
fn blocks(start: u64, end: u64, width: u64) -> Vec<BlockMeta> {
    let piece = PIECE_TOKENS * width;
    let step = BLOCK_BYTES / piece * piece;
    (start..end)
        .step_by(step as usize)
        .map(|offset| {
            let len = step.min(end - offset);
            block(offset, len, len.div_ceil(piece))
        })
        .collect()
}
