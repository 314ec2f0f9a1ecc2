//! Parquet shards: blocks are row groups, or runs of pages of the large ones.
//!
//! - `thrift`: the encoding of footers and page headers, every claim checked
//! - `footer`: the footer, parsed and checked against the file
//! - `schema`: its columns as Arrow's; `origin` is what the writer's own Arrow schema adds
//! - `blocks`: row groups cut into blocks; `offset_index` says where pages lie
//! - `reader`: decodes blocks through the parquet crate
//! - `views`: long texts that are views of their pages
//! - `facts`: what a person wants to know of a shard
//! - `problem`: what the parquet crate reports, in one sentence
//! - `chunks`, `pages`, `page_header`, `checked_pages`: what the parquet crate reads, checked before it does
//! - `inflated_pages`: what it would inflate, into memory that is used again (`page_memory`)
//!
//! The order of rows hangs on the blocks, so these hang on the file alone. A row group that takes more memory than
//! a window is cut into runs of rows. Where a run begins is found by the page index, or by the counts in the
//! headers of pages. Only for nested columns without a page index whose pages do not tell their rows the pages
//! before a run are inflated again: [`ParquetReader::num_rescans`] counts it.
//!
//! The parquet crate decodes; it is not trusted with what it did not check. Footers and page headers are gone over
//! first by the code here, so that it never allocates for a claim, and its panics become errors.

mod blocks;
mod checked_pages;
mod chunks;
mod facts;
mod footer;
mod inflated_pages;
mod offset_index;
mod origin;
mod page_header;
mod page_memory;
mod pages;
mod problem;
mod reader;
mod schema;
mod thrift;
mod views;

pub use facts::facts;
pub use page_memory::KeptMemory;
pub use reader::ParquetReader;

use self::footer::{Footer, Keep, Tail};
use super::format::Format;
use super::index::ShardIndex;
use super::schema::encode_schema;
use super::site::Site;
use crate::error::Result;
use crate::source::Source;

/// More blocks than the largest files have; a claim of more is none.
const MAX_BLOCKS: usize = 1 << 24;

/// Reads the footer of a shard; of large row groups also where their pages lie.
pub(super) fn index(source: &dyn Source) -> Result<ShardIndex> {
    let _tail = Tail::of(source);
    let footer = Footer::read(source, Keep::Sizes)?;
    let site = Site::new(source.path(), footer.start);
    let schema = schema::arrow_schema(footer.metadata.file_metadata(), &site)?;
    let mut blocks = Vec::new();
    for group in footer.metadata.row_groups() {
        blocks.extend(blocks::blocks_of(group, source));
        if blocks.len() > MAX_BLOCKS {
            return Err(site.corrupt("the footer claims more row groups than any file has"));
        }
    }
    Ok(ShardIndex {
        format: Format::Parquet,
        schema_message: encode_schema(&schema),
        schema,
        blocks,
        dictionaries: Vec::new(),
        header_hash: footer.hash,
        extra: Vec::new(),
    })
}
