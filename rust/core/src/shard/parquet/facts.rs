//! What a person wants to know of a Parquet file before training on it.

use std::collections::BTreeSet;

use parquet::basic::Compression;
use parquet::file::metadata::RowGroupMetaData;

use super::footer::{Footer, Keep, Tail};
use crate::error::Result;
use crate::shard::facts::ShardFacts;
use crate::source::Source;

/// Reads the footer once more: none of this stands in the index.
pub fn facts(source: &dyn Source) -> Result<ShardFacts> {
    let _tail = Tail::of(source);
    let footer = Footer::read(source, Keep::Nothing)?;
    let groups = footer.metadata.row_groups();
    let columns = || groups.iter().flat_map(RowGroupMetaData::columns);
    let codecs: BTreeSet<String> = columns().map(|column| codec_name(column.compression())).collect();
    let inflated = |size: i64| u64::try_from(size).unwrap_or(0);
    Ok(ShardFacts {
        row_groups: groups.len() as u64,
        codecs: codecs.into_iter().collect(),
        largest_row_group_bytes: groups
            .iter()
            .map(|group| inflated(group.total_byte_size()))
            .max()
            .unwrap_or(0),
        largest_row_group_rows: groups.iter().map(|group| inflated(group.num_rows())).max().unwrap_or(0),
        has_page_index: !groups.is_empty() && columns().all(|column| column.offset_index_offset().is_some()),
    })
}

/// As pyarrow spells it.
fn codec_name(codec: Compression) -> String {
    let name = codec.to_string();
    name.split('(').next().unwrap_or_default().to_ascii_lowercase()
}
