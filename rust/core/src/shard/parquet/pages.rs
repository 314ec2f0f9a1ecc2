//! One column chunk for the parquet crate: its bytes on demand, each page's header checked first.

use std::io::{Cursor, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

use super::page_header::{MAX_HEADER, PageLimits, page_claims};
use crate::error::Error;
use crate::source::Source;

/// Holds nearly all page headers.
const HEADER_READ: u64 = 1 << 10;

/// The bytes of one column chunk.
#[derive(Debug, Clone)]
pub(super) struct ChunkBytes {
    source: Arc<dyn Source>,
    range: Range<u64>,
    /// All of it, where it was read at once.
    whole: Option<Bytes>,
    /// Bytes and values of all pages together, as the footer has them.
    inflated: u64,
    values: u64,
    /// Pages are asked for with their headers, by an offset index.
    pub is_located: bool,
    /// Whether no page of it is compressed.
    pub is_uncompressed: bool,
    /// Whether arrays may keep pages that are not compressed: they must not be views of a map, nor keep a whole chunk.
    pub are_kept: bool,
    /// What the headers read last say.
    headers: Arc<Mutex<Headers>>,
    /// Where an error of our own is left, of which the parquet crate hands on no more than the text.
    failure: Failure,
}

/// The first error of our own while a column was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    /// Keeps an error, and gives the parquet crate one in its place.
    pub fn keep(&self, error: Error) -> ParquetError {
        let text = error.to_string();
        self.0.lock().get_or_insert(error);
        ParquetError::General(text)
    }

    /// What was kept.
    pub fn take(&self) -> Option<Error> {
        self.0.lock().take()
    }
}

impl ChunkBytes {
    /// The chunk at `range`, of which the footer says that it holds `values` in `inflated` bytes.
    pub fn new(
        source: Arc<dyn Source>,
        range: Range<u64>,
        inflated: u64,
        values: u64,
        failure: Failure,
    ) -> Self {
        // Some writers count only the compressed bytes.
        let inflated = inflated.max(range.end - range.start);
        Self {
            source,
            range,
            whole: None,
            inflated,
            values,
            is_located: false,
            is_uncompressed: false,
            are_kept: false,
            headers: Arc::default(),
            failure,
        }
    }

    /// Reads the whole chunk at once, where reads cost more than maps.
    pub fn fetch(&mut self) -> crate::Result<()> {
        if !self.source.is_mapped() && self.whole.is_none() {
            self.whole = Some(self.read(self.range.clone())?);
        }
        Ok(())
    }

    fn read(&self, range: Range<u64>) -> crate::Result<Bytes> {
        let len = (range.end - range.start) as usize;
        if let Some(whole) = &self.whole {
            let start = (range.start - self.range.start) as usize;
            return Ok(whole.slice(start..start + len));
        }
        self.source.ensure(range.start, len)?;
        Ok(Bytes::from_owner(self.source.buffer(range.start, len)?))
    }

    /// The part of the chunk from `start` on, at most `len` bytes; refused where it does not lie in the chunk.
    fn part(&self, start: u64, len: u64) -> ParquetResult<Bytes> {
        if start < self.range.start || start > self.range.end {
            return Err(outside());
        }
        let end = start.saturating_add(len).min(self.range.end);
        self.read(start..end).map_err(|error| self.failure.keep(error))
    }

    /// The bytes from a page's header on; its claims were checked.
    fn header_at(&self, start: u64) -> ParquetResult<Bytes> {
        let mut len = HEADER_READ;
        loop {
            let bytes = self.part(start, len)?;
            let is_all = start + bytes.len() as u64 >= self.range.end;
            if self.check_header(&bytes, start)?.is_some() {
                return Ok(bytes);
            }
            if is_all || len > MAX_HEADER as u64 {
                return Err(damaged("a page header does not end in its column chunk"));
            }
            len *= 16;
        }
    }

    /// The length of the header, where it ends in `bytes`; an error where it claims what cannot be.
    fn check_header(&self, bytes: &[u8], start: u64) -> ParquetResult<Option<usize>> {
        let Some(claims) = page_claims(bytes).map_err(damaged)? else { return Ok(None) };
        let left = self.range.end.saturating_sub(start);
        claims.check(PageLimits { left, inflated: self.inflated, values: self.values }).map_err(damaged)?;
        // Some writers leave pages of the second version as they are where they would not shrink.
        let stored = StoredPage {
            start: start + claims.header_len as u64,
            inflated: claims.inflated as usize,
            is_plain: self.is_uncompressed || claims.is_plain,
        };
        let mut headers = self.headers.lock();
        *(if claims.is_dictionary() { &mut headers.dictionary } else { &mut headers.data }) = stored;
        Ok(Some(claims.header_len))
    }

    /// What its header says of the page that was handed out last.
    pub fn handed_out(&self) -> StoredPage {
        self.headers.lock().handed_out
    }
}

/// What a header says of how its page is stored.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StoredPage {
    /// Where the page begins, behind its header.
    start: u64,
    /// Bytes that it takes when it is not compressed.
    pub inflated: usize,
    /// Whether it is not compressed as it is.
    pub is_plain: bool,
}

/// A dictionary that was passed over is asked for later, when other headers were read.
#[derive(Debug, Default)]
struct Headers {
    dictionary: StoredPage,
    data: StoredPage,
    handed_out: StoredPage,
}

impl Headers {
    /// Notes that the page at `start` is handed out.
    fn hand_out(&mut self, start: u64) -> StoredPage {
        let is_dictionary = self.dictionary.start == start;
        self.handed_out = if is_dictionary { self.dictionary } else { self.data };
        self.handed_out
    }
}

impl Length for ChunkBytes {
    fn len(&self) -> u64 {
        self.source.len()
    }
}

/// A page's header, looked at when it is read: the parquet crate asks for readers that it does not use.
#[derive(Debug)]
pub(super) struct HeaderBytes {
    chunk: ChunkBytes,
    start: u64,
    bytes: Option<Cursor<Bytes>>,
}

impl Read for HeaderBytes {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.bytes.is_none() {
            let bytes = self.chunk.header_at(self.start).map_err(std::io::Error::other)?;
            self.bytes = Some(Cursor::new(bytes));
        }
        self.bytes.as_mut().map_or(Ok(0), |bytes| bytes.read(into))
    }
}

impl ChunkReader for ChunkBytes {
    type T = HeaderBytes;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(HeaderBytes { chunk: self.clone(), start, bytes: None })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let bytes = self.part(start, length as u64)?;
        if bytes.len() < length {
            return Err(outside());
        }
        let mut start = start;
        if self.is_located {
            let Some(header_len) = self.check_header(&bytes, start)? else {
                return Err(damaged("a page header does not end in its page"));
            };
            start += header_len as u64;
        }
        let is_plain = self.headers.lock().hand_out(start).is_plain;
        Ok(if self.are_kept && is_plain { Bytes::copy_from_slice(&bytes) } else { bytes })
    }
}

fn outside() -> ParquetError {
    damaged("a page lies outside of its column chunk")
}

fn damaged(problem: &str) -> ParquetError {
    ParquetError::General(problem.to_owned())
}
