//! The footer: read, checked as bytes, parsed, and its numbers checked against the file.

use arrow_buffer::Buffer;
use parquet::basic::Type as Physical;
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
    ParquetStatisticsPolicy, RowGroupMetaData,
};
use xxhash_rust::xxh3::xxh3_64;

use super::problem::sentence;
use super::thrift::{BINARY, I32, LIST, Problem, STRUCT, Thrift};
use crate::error::{Error, Result};
use crate::panics::guarded;
use crate::shard::message::MAX_ROWS;
use crate::shard::site::Site;
use crate::source::{Need, Source};

/// Holds the footers of most files, so that one read is enough.
const FIRST_READ: u64 = 64 << 10;

/// The most that is read before the footer's length is known.
const MOST_READ: u64 = 1 << 20;

/// Length and magic at the end of the file.
const TAIL_LEN: u64 = 8;

/// Columns nested more deeply are refused: the parquet crate goes down the schema on the stack. A list takes two groups,
/// and pyarrow reads a hundred.
const MAX_SCHEMA_DEPTH: usize = 128;

/// What writers leave of a column chunk without values: the headers of an empty dictionary and an empty page.
const MAX_EMPTY_CHUNK: i64 = 256;

/// A parsed footer.
pub(super) struct Footer {
    pub metadata: ParquetMetaData,
    /// Where the footer begins: no data lies beyond.
    pub start: u64,
    /// Over its bytes.
    pub hash: u64,
}

/// Which statistics the parse keeps; readers need none of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Sizes,
    Nothing,
}

impl Footer {
    /// Reads and checks the footer of `source`.
    pub fn read(source: &dyn Source, keep: Keep) -> Result<Self> {
        let (bytes, start) = bytes_of(source)?;
        let site = Site::new(source.path(), start);
        let damaged = |problem: &str| {
            site.corrupt(format!("the footer is damaged: {problem}; write or download the file again"))
        };
        match walk(&bytes) {
            Ok(Walked { is_encrypted: true, .. }) => return Err(encrypted(&site)),
            Ok(Walked { depth, .. }) if depth > MAX_SCHEMA_DEPTH => return Err(too_deep(&site, depth)),
            Ok(_) => {}
            Err(problem) => return Err(damaged(problem)),
        }
        let options = options(keep);
        let parsed = guarded(|| ParquetMetaDataReader::decode_metadata_with_options(&bytes, Some(&options)));
        let metadata = match parsed {
            Ok(Ok(metadata)) => metadata,
            Ok(Err(error)) => return Err(damaged(&sentence(&error))),
            Err(panic) => return Err(damaged(&panic)),
        };
        check(&metadata, start, &site)?;
        Ok(Self { metadata, start, hash: xxh3_64(&bytes) })
    }
}

/// The end of a file, held in memory where reads are round trips: footers and page indexes lie there.
pub(super) struct Tail<'a>(&'a dyn Source);

/// What the tail is held as, beside blocks.
const TAIL: u64 = u64::MAX;

impl<'a> Tail<'a> {
    /// Has it brought in by one read, which is the same one for all that ask.
    pub fn of(source: &'a dyn Source) -> Self {
        // Large files have large footers, about a thousandth of them where they have a page index.
        let len = (source.len() / 1024).clamp(FIRST_READ, MOST_READ).min(source.len());
        let tail = source.len() - len..source.len();
        source.hold(TAIL, std::slice::from_ref(&tail), Need::Headers);
        Self(source)
    }
}

impl Drop for Tail<'_> {
    fn drop(&mut self) {
        self.0.release(TAIL);
    }
}

fn options(keep: Keep) -> ParquetMetaDataOptions {
    let options = ParquetMetaDataOptions::new()
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll);
    match keep {
        Keep::Sizes => options,
        Keep::Nothing => options.with_size_stats_policy(ParquetStatisticsPolicy::SkipAll),
    }
}

/// The bytes of the footer, and where they begin.
fn bytes_of(source: &dyn Source) -> Result<(Buffer, u64)> {
    let len = source.len();
    let site = Site::new(source.path(), len.saturating_sub(TAIL_LEN));
    if len < TAIL_LEN + 4 {
        return Err(site.corrupt(format!("truncated: a Parquet file has 12 bytes at least, this one {len}")));
    }
    let read = |offset: u64, len: u64| {
        source.ensure(offset, len as usize)?;
        source.buffer(offset, len as usize)
    };
    let first_len = FIRST_READ.min(len);
    let end = read(len - first_len, first_len)?;
    let tail = &end[end.len() - TAIL_LEN as usize..];
    match &tail[4..] {
        b"PAR1" => {}
        b"PARE" => return Err(encrypted(&site)),
        _ => {
            return Err(site.corrupt(
                "truncated: it does not end as a Parquet file does; its writer or its download was stopped, write or download it again",
            ));
        }
    }
    let footer_len = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    let Some(start) = (len - TAIL_LEN).checked_sub(footer_len).filter(|start| *start >= 4) else {
        return Err(site.corrupt(format!(
            "a footer of {footer_len} bytes is claimed in a file of {len}; write or download it again"
        )));
    };
    if footer_len + TAIL_LEN > first_len {
        return Ok((read(start, footer_len)?, start));
    }
    let skipped = (first_len - TAIL_LEN - footer_len) as usize;
    Ok((end.slice_with_length(skipped, footer_len as usize), start))
}

fn encrypted(site: &Site<'_>) -> Error {
    site.unsupported("it is encrypted, which is not read; write it without encryption")
}

fn too_deep(site: &Site<'_>, depth: usize) -> Error {
    site.unsupported(format!(
        "its columns are nested {depth} groups deep (a list takes two), rowmill reads up to {MAX_SCHEMA_DEPTH}; write them \
         flatter"
    ))
}

struct Walked {
    is_encrypted: bool,
    /// Groups in groups.
    depth: usize,
}

/// Goes over all of the footer once: whatever it claims to hold is there.
fn walk(bytes: &[u8]) -> std::result::Result<Walked, Problem> {
    let mut walked = Walked { is_encrypted: false, depth: 0 };
    Thrift::new(bytes).structure(|thrift, field| match (field.id, field.kind) {
        (2, LIST) => {
            walked.depth = walk_schema(thrift)?;
            Ok(true)
        }
        (4, LIST) => {
            walked.is_encrypted |= walk_row_groups(thrift)?;
            Ok(true)
        }
        // Which algorithm the columns are encrypted with.
        (8, STRUCT) => {
            walked.is_encrypted = true;
            Ok(false)
        }
        _ => Ok(false),
    })?;
    Ok(walked)
}

/// How deep the columns are nested.
fn walk_schema(thrift: &mut Thrift<'_>) -> std::result::Result<usize, Problem> {
    let (len, kind) = thrift.list()?;
    if kind != STRUCT {
        return Err("its schema is no list of columns");
    }
    // Children still to come at each level.
    let mut open: Vec<i64> = Vec::new();
    let mut depth = 0;
    for index in 0..len {
        let mut children = 0;
        thrift.structure(|thrift, field| {
            let is_count = (field.id, field.kind) == (5, I32);
            if is_count {
                children = thrift.integer()?;
            }
            Ok(is_count)
        })?;
        while open.last() == Some(&0) {
            open.pop();
        }
        match open.last_mut() {
            Some(left) => *left -= 1,
            None if index > 0 => return Err("its schema has more columns than it says"),
            None => {}
        }
        if children < 0 || children > len as i64 {
            return Err("its schema has a group of an impossible number of columns");
        }
        if children > 0 || index == 0 {
            open.push(children);
        }
        depth = depth.max(open.len());
    }
    if open.iter().all(|left| *left == 0) {
        Ok(depth)
    } else {
        Err("its schema has fewer columns than it says")
    }
}

/// Whether any column chunk says that it is encrypted.
fn walk_row_groups(thrift: &mut Thrift<'_>) -> std::result::Result<bool, Problem> {
    let (len, kind) = thrift.list()?;
    if kind != STRUCT {
        return Err("its row groups are no list of row groups");
    }
    let mut is_encrypted = false;
    for _ in 0..len {
        thrift.structure(|thrift, field| {
            let is_columns = (field.id, field.kind) == (1, LIST);
            if is_columns {
                let (len, kind) = thrift.list()?;
                if kind != STRUCT {
                    return Err("the columns of a row group are no list of columns");
                }
                for _ in 0..len {
                    thrift.structure(|_, field| {
                        // How, and the metadata that only the key's owner reads.
                        is_encrypted |= matches!((field.id, field.kind), (8, STRUCT) | (9, BINARY));
                        Ok(false)
                    })?;
                }
            }
            Ok(is_columns)
        })?;
    }
    Ok(is_encrypted)
}

/// Checks every number that offsets, allocations or positions will be made of.
fn check(metadata: &ParquetMetaData, end: u64, site: &Site<'_>) -> Result<()> {
    let mut rows = 0_i64;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        check_group(group, end).map_err(|problem| {
            site.corrupt(format!("row group {index}: {problem}; write or download the file again"))
        })?;
        check_columns(group, index, site)?;
        rows = rows.saturating_add(group.num_rows());
    }
    let claimed = metadata.file_metadata().num_rows();
    if rows != claimed {
        return Err(site.corrupt(format!(
            "the footer claims {claimed} rows, its row groups hold {rows}; write or download the file again"
        )));
    }
    Ok(())
}

fn check_group(group: &RowGroupMetaData, end: u64) -> std::result::Result<(), String> {
    let rows = group.num_rows();
    if !(0..=MAX_ROWS as i64).contains(&rows) {
        return Err(format!("it claims {rows} rows"));
    }
    // Of no rows there are no pages; pyarrow then writes offsets of 0.
    if rows == 0 {
        return check_empty(group);
    }
    for column in group.columns() {
        let name = || column.column_path().string();
        if column.num_values() < 0
            || (column.column_descr().max_rep_level() == 0 && column.num_values() != rows)
        {
            return Err(format!("column {:?} claims {} values of {rows} rows", name(), column.num_values()));
        }
        if column.uncompressed_size() < 0 {
            return Err(format!("column {:?} claims to hold {} bytes", name(), column.uncompressed_size()));
        }
        let (start, len) = extent(column).ok_or_else(|| format!("column {:?} lies nowhere", name()))?;
        if start < 4 || start.checked_add(len).is_none_or(|last| last > end) {
            return Err(format!(
                "column {:?} claims {len} bytes from byte {start}, its data ends at byte {end}",
                name()
            ));
        }
        if column.column_type() == Physical::FIXED_LEN_BYTE_ARRAY && column.column_descr().type_length() < 0 {
            return Err(format!("column {:?} has values of a negative length", name()));
        }
    }
    Ok(())
}

/// A count of no rows over values would make them vanish without a word.
fn check_empty(group: &RowGroupMetaData) -> std::result::Result<(), String> {
    let size = |column: &ColumnChunkMetaData| column.compressed_size().max(column.uncompressed_size());
    let is_full = |column: &&ColumnChunkMetaData| column.num_values() > 0 || size(column) > MAX_EMPTY_CHUNK;
    match group.columns().iter().find(is_full) {
        None => Ok(()),
        Some(column) => Err(format!(
            "it claims no rows, its column {:?} claims {} values in {} bytes",
            column.column_path().string(),
            column.num_values(),
            size(column)
        )),
    }
}

fn check_columns(group: &RowGroupMetaData, index: usize, site: &Site<'_>) -> Result<()> {
    for column in group.columns() {
        if column.file_path().is_some_and(|path| !path.is_empty()) {
            return Err(site.unsupported(format!(
                "row group {index} lies in other files ({:?}); open those instead of this summary",
                column.file_path().unwrap_or_default()
            )));
        }
    }
    Ok(())
}

/// Where a column chunk begins and how long it is; some writers note a dictionary at byte 0 that there is not.
pub(super) fn extent(column: &ColumnChunkMetaData) -> Option<(u64, u64)> {
    let data = u64::try_from(column.data_page_offset()).ok()?;
    let len = u64::try_from(column.compressed_size()).ok()?;
    Some((dictionary_offset(column).unwrap_or(data), len))
}

/// Where the dictionary page of a chunk lies, if it has one.
pub(super) fn dictionary_offset(column: &ColumnChunkMetaData) -> Option<u64> {
    let offset = column.dictionary_page_offset()?;
    (offset > 0 && offset < column.data_page_offset()).then_some(offset as u64)
}
