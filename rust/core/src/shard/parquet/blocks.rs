//! Row groups cut into blocks, by nothing but what the file says: the order hangs on it.
//!
//! A row group that takes no more memory than a window is one block. A larger one is cut into equal runs of rows,
//! each cut moved to the nearest beginning of a page of its largest column where the file has a page index, so
//! that few pages are inflated for two blocks.

use parquet::basic::Type as Physical;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::footer::extent;
use super::offset_index;
use crate::shard::index::BlockMeta;
use crate::source::Source;

/// What a window holds by default: row groups up to this are read whole.
const WINDOW_BYTES: u64 = 16 << 20;

/// Cuts of larger row groups take at least this in memory, and at most [`WINDOW_BYTES`].
const MIN_CUT_BYTES: u64 = 2 << 20;

/// What writers inflate a page to, about.
const PAGE_BYTES: u64 = 1 << 20;

/// Pages that a cut should span in each column, so that the pages at its ends do not count for much.
const PAGES_A_CUT: u64 = 4;

/// Rows of one block: buffers are made for as many before a page is read.
const MAX_ROWS: u64 = 1 << 20;

/// More cuts than the largest row groups need; a claim of more is none.
const MAX_CUTS: u64 = 1 << 12;

/// The blocks of one row group, in the order of their rows.
pub(super) fn blocks_of(group: &RowGroupMetaData, source: &dyn Source) -> Vec<BlockMeta> {
    let rows = group.num_rows() as u64;
    if rows == 0 {
        return Vec::new();
    }
    let memory = group.columns().iter().map(memory_of).fold(0, u64::saturating_add);
    let cuts = cuts_of(group, source, rows, memory);
    let (start, end) = span_of(group);
    let share = |total: u64, row: u64| (u128::from(total) * u128::from(row) / u128::from(rows)) as u64;
    let bounds = || std::iter::once(0).chain(cuts.iter().copied()).chain(std::iter::once(rows));
    let pairs = bounds().zip(bounds().skip(1));
    pairs
        .map(|(first, last)| {
            let offset = start + share(end - start, first);
            BlockMeta {
                offset,
                metadata_len: 0,
                body_len: start + share(end - start, last) - offset,
                num_rows: last - first,
                memory_len: share(memory, last) - share(memory, first),
                dictionaries: 0,
            }
        })
        .collect()
}

/// The rows at which a row group is cut, ascending, neither its first nor its end.
fn cuts_of(group: &RowGroupMetaData, source: &dyn Source, rows: u64, memory: u64) -> Vec<u64> {
    let fits = memory <= WINDOW_BYTES;
    if fits && rows <= MAX_ROWS {
        return Vec::new();
    }
    let starts = page_starts(group, source);
    let target = if fits { WINDOW_BYTES } else { cut_bytes(group, !starts.is_empty()) };
    let count = memory.div_ceil(target).min(MAX_CUTS).max(rows.div_ceil(MAX_ROWS)).min(rows);
    let mut cuts: Vec<u64> = (1..count)
        .map(|cut| (u128::from(rows) * u128::from(cut) / u128::from(count)) as u64)
        .map(|row| nearest(&starts, row))
        .collect();
    cuts.dedup();
    cuts.retain(|row| (1..rows).contains(row));
    if is_bounded(&cuts, rows) { cuts } else { even(rows, count) }
}

fn even(rows: u64, count: u64) -> Vec<u64> {
    (1..count).map(|cut| (u128::from(rows) * u128::from(cut) / u128::from(count)) as u64).collect()
}

/// Whether no block has too many rows, which pages longer than that would make.
fn is_bounded(cuts: &[u64], rows: u64) -> bool {
    let ends = cuts.iter().copied().chain(std::iter::once(rows));
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    ends.zip(starts).all(|(end, start)| end - start <= MAX_ROWS)
}

/// The value of an ascending list that lies nearest to `row`; `row` itself where there is none.
fn nearest(starts: &[u64], row: u64) -> u64 {
    let after = starts.partition_point(|start| *start < row);
    let candidates = [after.checked_sub(1), Some(after)];
    let near = candidates.into_iter().flatten().filter_map(|index| starts.get(index).copied());
    near.min_by_key(|start| start.abs_diff(row)).unwrap_or(row)
}

/// The first rows of the pages of the column that takes most memory.
fn page_starts(group: &RowGroupMetaData, source: &dyn Source) -> Vec<u64> {
    let Some(largest) = group.columns().iter().max_by_key(|column| memory_of(column)) else {
        return Vec::new();
    };
    let range = offset_index::range_of(largest, source.len());
    let Some((chunk, range)) = extent(largest).zip(range) else { return Vec::new() };
    let rows = group.num_rows() as u64;
    // Without an index that can be used the cuts lie where they lie.
    let pages = offset_index::read(source, &range, chunk.0..chunk.0 + chunk.1, rows).unwrap_or_default();
    pages.iter().map(|page| page.first_row_index as u64).collect()
}

/// Memory that one cut of a large row group should take: some pages of each column that has pages on both sides of
/// a cut. At a page of its own largest column a cut costs nothing there.
fn cut_bytes(group: &RowGroupMetaData, at_pages: bool) -> u64 {
    let pages = || group.columns().iter().map(|column| memory_of(column).min(PAGE_BYTES));
    let whole = if at_pages { pages().max().unwrap_or(0) } else { 0 };
    ((pages().sum::<u64>() - whole) * PAGES_A_CUT).clamp(MIN_CUT_BYTES, WINDOW_BYTES)
}

/// Bytes that a decoded column chunk takes, about.
fn memory_of(column: &ColumnChunkMetaData) -> u64 {
    let values = column.num_values() as u64;
    let width = match column.column_type() {
        Physical::BOOLEAN => return values / 8,
        Physical::INT32 | Physical::FLOAT => 4,
        Physical::INT64 | Physical::DOUBLE | Physical::INT96 => 8,
        Physical::FIXED_LEN_BYTE_ARRAY => column.column_descr().type_length().max(0) as u64,
        Physical::BYTE_ARRAY => {
            let stored = column.uncompressed_size() as u64;
            let bytes = column.unencoded_byte_array_data_bytes().and_then(|bytes| u64::try_from(bytes).ok());
            // A text behind a dictionary is stored once and decoded for each row.
            return bytes
                .filter(|bytes| *bytes < MAX_BYTES)
                .unwrap_or(stored)
                .saturating_add(values.saturating_mul(4));
        }
    };
    values.saturating_mul(width)
}

/// Claims beyond this are no sizes.
const MAX_BYTES: u64 = 1 << 40;

/// The bytes of the file that a row group's columns lie in; all were checked to lie in the file.
fn span_of(group: &RowGroupMetaData) -> (u64, u64) {
    let extents = group.columns().iter().filter_map(extent);
    let (start, end) =
        extents.fold((u64::MAX, 0), |(start, end), (at, len)| (start.min(at), end.max(at + len)));
    (start.min(end), end)
}
