//! The offset index: where the pages of a column chunk lie, and at which rows they begin.

use std::ops::Range;

use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use super::page_header::{MAX_HEADER, PageClaims, page_claims};
use super::thrift::{I32, I64, LIST, Problem, STRUCT, Thrift};
use crate::error::Result;
use crate::source::Source;

/// Where the offset index of a chunk lies, if the file has one.
pub(super) fn range_of(column: &ColumnChunkMetaData, file_len: u64) -> Option<Range<u64>> {
    let start = u64::try_from(column.offset_index_offset()?).ok()?;
    let len = u64::try_from(column.offset_index_length()?).ok()?;
    let end = start.checked_add(len)?;
    (len > 0 && end <= file_len).then_some(start..end)
}

/// The pages of the chunk at `chunk` that has `rows` rows; none where the index contradicts the chunk.
///
/// # Errors
/// Only what reading raises: the chunk can be read without its index.
pub(super) fn read(
    source: &dyn Source,
    range: &Range<u64>,
    chunk: Range<u64>,
    rows: u64,
) -> Result<Vec<PageLocation>> {
    let len = (range.end - range.start) as usize;
    source.ensure(range.start, len)?;
    let bytes = source.buffer(range.start, len)?;
    let pages = parse(&bytes).unwrap_or_default();
    Ok(if is_sound(&pages, &chunk, rows) { pages } else { Vec::new() })
}

/// The same of a chunk of a flat column that has no index, by the headers of its pages; none where they do not tell.
///
/// Between large pages only headers are read. Without this a whole row group would be fetched for each block of it.
///
/// # Errors
/// Only what reading raises: damage is told where the pages are read.
pub(super) fn by_headers(source: &dyn Source, chunk: Range<u64>, rows: u64) -> Result<Vec<PageLocation>> {
    let mut walk = Walk { source, end: chunk.end, bytes: Vec::new(), start: chunk.start };
    let (mut at, mut row, mut read_ahead) = (chunk.start, 0, FEW);
    let mut pages = Vec::new();
    while row < rows && at < chunk.end {
        let Some(claims) = walk.claims_at(at, read_ahead)? else { return Ok(Vec::new()) };
        let len = claims.header_len as u64 + claims.compressed;
        let (Ok(size), true) = (i32::try_from(len), matches!(claims.kind, 0 | 2 | 3)) else {
            return Ok(Vec::new());
        };
        if claims.kind != 2 {
            let page =
                PageLocation { offset: at as i64, compressed_page_size: size, first_row_index: row as i64 };
            pages.push(page);
            row = row.saturating_add(claims.values);
        }
        at = at.saturating_add(len);
        read_ahead = if len < MANY / 4 { MANY } else { FEW };
    }
    Ok(if row == rows && is_sound(&pages, &chunk, rows) { pages } else { Vec::new() })
}

/// Holds nearly all page headers.
const FEW: u64 = 4 << 10;

/// Holds some small pages.
const MANY: u64 = 1 << 20;

/// What was read last on a way from header to header.
struct Walk<'a> {
    source: &'a dyn Source,
    end: u64,
    bytes: Vec<u8>,
    start: u64,
}

impl Walk<'_> {
    /// The header at a place; `None` where there is none.
    fn claims_at(&mut self, at: u64, mut read_ahead: u64) -> Result<Option<PageClaims>> {
        loop {
            let known = at.checked_sub(self.start).and_then(|from| self.bytes.get(from as usize..));
            let is_all = self.start + self.bytes.len() as u64 >= self.end;
            match known.filter(|known| !known.is_empty()).map(page_claims) {
                Some(Ok(Some(claims))) => return Ok(Some(claims)),
                Some(Err(_)) => return Ok(None),
                Some(Ok(None)) if is_all || read_ahead > MAX_HEADER as u64 => return Ok(None),
                Some(Ok(None)) if self.start == at => read_ahead *= 16,
                Some(Ok(None)) | None => {}
            }
            let end = at.saturating_add(read_ahead).min(self.end);
            self.bytes = self.source.buffer(at, end.saturating_sub(at) as usize)?.to_vec();
            self.start = at;
            if self.bytes.is_empty() {
                return Ok(None);
            }
        }
    }
}

fn parse(bytes: &[u8]) -> std::result::Result<Vec<PageLocation>, Problem> {
    let mut pages = Vec::new();
    Thrift::new(bytes).structure(|thrift, field| {
        let is_pages = (field.id, field.kind) == (1, LIST);
        if is_pages {
            let (len, kind) = thrift.list()?;
            if kind != STRUCT {
                return Err("the pages are no list of pages");
            }
            for _ in 0..len {
                pages.push(page(thrift)?);
            }
        }
        Ok(is_pages)
    })?;
    Ok(pages)
}

fn page(thrift: &mut Thrift<'_>) -> std::result::Result<PageLocation, Problem> {
    let mut page = PageLocation { offset: -1, compressed_page_size: -1, first_row_index: -1 };
    thrift.structure(|thrift, field| {
        match (field.id, field.kind) {
            (1, I64) => page.offset = thrift.integer()?,
            (2, I32) => {
                page.compressed_page_size =
                    i32::try_from(thrift.integer()?).map_err(|_| "a page too large")?;
            }
            (3, I64) => page.first_row_index = thrift.integer()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(page)
}

/// Whether pages lie in the chunk one after the other, and begin at rows that ascend from the first.
fn is_sound(pages: &[PageLocation], chunk: &Range<u64>, rows: u64) -> bool {
    let (mut offset, mut row) = (chunk.start, 0);
    for (index, page) in pages.iter().enumerate() {
        let (Ok(start), Ok(size), Ok(first)) = (
            u64::try_from(page.offset),
            u64::try_from(page.compressed_page_size),
            u64::try_from(page.first_row_index),
        ) else {
            return false;
        };
        let is_next_row = if index == 0 { first == 0 } else { first > row };
        if start < offset || size == 0 || start + size > chunk.end || !is_next_row || first >= rows {
            return false;
        }
        (offset, row) = (start + size, first);
    }
    !pages.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_contradicts_its_chunk_is_not_used() {
        let page = |offset, compressed_page_size, first_row_index| PageLocation {
            offset,
            compressed_page_size,
            first_row_index,
        };
        let sound = [page(100, 50, 0), page(150, 50, 10)];
        assert!(is_sound(&sound, &(100..200), 20));
        assert!(!is_sound(&sound, &(100..199), 20), "beyond the chunk");
        assert!(!is_sound(&sound, &(101..200), 20), "before the chunk");
        assert!(!is_sound(&sound, &(100..200), 10), "beyond the rows");
        assert!(!is_sound(&[page(100, 50, 0), page(149, 50, 10)], &(100..200), 20), "over another page");
        assert!(!is_sound(&[page(100, 50, 1)], &(100..200), 20), "not from the first row");
        assert!(!is_sound(&[page(100, -1, 0)], &(100..200), 20));
        assert!(!is_sound(&[], &(100..200), 20));
    }
}
