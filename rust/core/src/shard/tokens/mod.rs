//! Token ids as other trainers keep them: Megatron's pairs of files, and flat streams with or without a header.
//!
//! - [`megatron`]: `.bin` with the ids and `.idx` that says where documents lie; a row is a document
//! - [`stream`]: ids and nothing else, behind llm.c's header or bare as nanoGPT has them; a row is a piece
//! - [`reader`]: blocks of either, their ids views of the file
//!
//! The shard is the file that holds the ids. A block is a run of whole rows of about a mebibyte. Everything that an
//! index or a header claims is checked against the lengths of the files before anything is read or allocated for it.

mod megatron;
mod reader;
mod stream;

use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

pub(crate) use megatron::{ids_beside, index_beside};
pub use reader::TokenReader;
pub use stream::PIECE_TOKENS;

use super::format::Format;
use super::index::{BlockMeta, ShardIndex};
use super::schema::encode_schema;
use super::site::Site;
use crate::error::Result;
use crate::source::{ReadFile, Source};

/// The column of ids, as `tokenize` names it.
const INPUT_IDS: &str = "input_ids";

/// Ends with the row that brings it there: one request to a disk, and some blocks make a shuffled window.
const BLOCK_BYTES: u64 = 1 << 20;
const BLOCK_ROWS: u64 = 1000;

/// The token file at `path`, indexed; `None` where it is none. A bare stream is one only where the caller says so.
pub(super) fn index(path: &Path, file: &ReadFile, is_bare: bool) -> Result<Option<ShardIndex>> {
    if let Some(beside) = index_beside(path) {
        return megatron::index(file, &beside).map(Some);
    }
    stream::index(file, is_bare)
}

/// Whether a name is that of a token file.
pub(super) fn is_named(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("bin"))
}

fn schema_of(ids: &DataType) -> SchemaRef {
    let item = Field::new_list_field(ids.clone(), false);
    Arc::new(Schema::new(vec![Field::new_list(INPUT_IDS, item, false)]))
}

fn shard_index(format: Format, ids: &DataType, blocks: Vec<BlockMeta>, header_hash: u64) -> ShardIndex {
    let schema = schema_of(ids);
    ShardIndex {
        format,
        schema_message: encode_schema(&schema),
        schema,
        blocks,
        dictionaries: Vec::new(),
        header_hash,
        extra: Vec::new(),
    }
}

fn block(offset: u64, body_len: u64, num_rows: u64) -> BlockMeta {
    BlockMeta { offset, metadata_len: 0, body_len, num_rows, memory_len: body_len, dictionaries: 0 }
}

/// A place at the end of a file, for what should be there and is not.
fn end_of(file: &ReadFile) -> Site<'_> {
    Site::new(file.path(), file.len())
}
