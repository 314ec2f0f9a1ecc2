//! Pages, inflated, whose counts are checked where the parquet crate would allocate for whatever they claim.

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::ColumnDescriptor;

use super::inflated_pages::Inflater;
use super::thrift::{Problem, Thrift};

/// Hands on the pages of `R` that hold what they say.
pub(super) struct CheckedPages<R> {
    pages: R,
    inflater: Inflater,
    has_repetition: bool,
    has_definition: bool,
}

impl<R: PageReader> CheckedPages<R> {
    pub fn new(pages: R, inflater: Inflater, column: &ColumnDescriptor) -> Self {
        Self {
            pages,
            inflater,
            has_repetition: column.max_rep_level() > 0,
            has_definition: column.max_def_level() > 0,
        }
    }

    /// A page as it is handed on.
    fn sound(&self, page: Page) -> Result<Page> {
        let page = self.inflater.inflate(page)?;
        self.check(&page)?;
        Ok(page)
    }

    fn check(&self, page: &Page) -> Result<()> {
        let num_streams = match page.encoding() {
            Encoding::DELTA_BINARY_PACKED | Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
            // Lengths of what is shared with the value before, then of what is not.
            Encoding::DELTA_BYTE_ARRAY => 2,
            _ => return Ok(()),
        };
        let checked = self.values_of(page).and_then(|values| {
            let mut thrift = Thrift::new(&values);
            // Of one stream the count is enough: its end is not looked for.
            (0..num_streams).try_for_each(|stream| {
                let is_last = stream + 1 == num_streams;
                check_delta(&mut thrift, &values, u64::from(page.num_values()), is_last)
            })
        });
        checked.map_err(|problem| ParquetError::General(problem.to_owned()))
    }

    /// The page's bytes behind its levels.
    fn values_of(&self, page: &Page) -> std::result::Result<Bytes, Problem> {
        let skipped = match page {
            Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
                *def_levels_byte_len as usize + *rep_levels_byte_len as usize
            }
            Page::DataPage { buf, .. } => {
                // The parquet crate refuses other encodings of levels beside these values.
                let first = if self.has_repetition { level_len(buf, 0)? } else { 0 };
                if self.has_definition { level_len(buf, first)? } else { first }
            }
            Page::DictionaryPage { .. } => 0,
        };
        let buffer = page.buffer();
        if skipped > buffer.len() {
            return Err("the levels of a page are longer than the page");
        }
        Ok(buffer.slice(skipped..))
    }
}

/// Where the levels end that begin at `start` with their length.
fn level_len(page: &[u8], start: usize) -> std::result::Result<usize, Problem> {
    const CUT_SHORT: Problem = "the levels of a page are longer than the page";
    let len = page.get(start..start.saturating_add(4)).and_then(|bytes| bytes.first_chunk::<4>());
    let len = u32::from_le_bytes(*len.ok_or(CUT_SHORT)?) as usize;
    start.checked_add(4 + len).filter(|end| *end <= page.len()).ok_or(CUT_SHORT)
}

/// Checks the count of a stream of differences, and goes to its end unless it is the last one.
fn check_delta(
    thrift: &mut Thrift<'_>,
    bytes: &[u8],
    num_values: u64,
    is_last: bool,
) -> std::result::Result<(), Problem> {
    const IMPOSSIBLE: Problem = "a page of differences has blocks of an impossible size";
    let (block, parts, count) = (thrift.varint()?, thrift.varint()?, thrift.varint()?);
    thrift.varint()?;
    if count > num_values {
        return Err("a page of differences claims more values than the page has");
    }
    if is_last || count <= 1 {
        return Ok(());
    }
    // Writers use blocks of 128 in 4 parts.
    if parts == 0 || block % parts != 0 || block == 0 || block > 1 << 24 || parts > block {
        return Err(IMPOSSIBLE);
    }
    let part = block / parts;
    let mut left = count - 1;
    while left > 0 {
        thrift.varint()?;
        let widths = thrift.position();
        thrift.advance(parts)?;
        for width in &bytes[widths..thrift.position()] {
            if left == 0 {
                break;
            }
            thrift.advance((part * u64::from(*width)).div_ceil(8))?;
            left = left.saturating_sub(part);
        }
    }
    Ok(())
}

impl<R: PageReader> Iterator for CheckedPages<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl<R: PageReader> PageReader for CheckedPages<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.pages.get_next_page()?.map(|page| self.sound(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.pages.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>> {
        self.pages.take_deferred_dictionary()?.map(|page| self.sound(page)).transpose()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}
