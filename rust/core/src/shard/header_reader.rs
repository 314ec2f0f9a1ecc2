//! Small reads of message headers through a window that grows only when messages are small.

use arrow_buffer::Buffer;

use super::message::{MAX_METADATA, Prefix};
use super::site::Site;
use crate::error::Result;
use crate::source::Source;

/// Holds most headers; with it a walk of large batches reads 1 KiB a batch.
pub(super) const SMALL_READ: usize = 1 << 10;
/// Many small messages lie in one such window, so that 100,000 tiny batches cost a few hundred reads.
const LARGE_READ: usize = 64 << 10;

/// Reads headers in ascending order of their offsets (other orders work, slower).
#[derive(Debug)]
pub(super) struct HeaderReader<'a> {
    file: &'a dyn Source,
    window: Vec<u8>,
    window_start: u64,
}

impl<'a> HeaderReader<'a> {
    pub fn new(file: &'a dyn Source) -> Self {
        Self { file, window: Vec::new(), window_start: 0 }
    }

    pub fn file_len(&self) -> u64 {
        self.file.len()
    }

    /// What is read.
    pub fn source(&self) -> &'a dyn Source {
        self.file
    }

    pub fn site(&self, offset: u64) -> Site<'a> {
        Site::new(self.file.path(), offset)
    }

    /// Up to `len` bytes at `offset`; fewer mean the end of the file.
    pub fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let len = len.min(usize::try_from(self.file_len().saturating_sub(offset)).unwrap_or(usize::MAX));
        let is_inside = offset >= self.window_start
            && offset + len as u64 <= self.window_start + self.window.len() as u64;
        if !is_inside {
            self.refill(offset, len)?;
        }
        let start = (offset - self.window_start) as usize;
        // A file that shrank under us gives less than it promised.
        let end = self.window.len().min(start + len);
        Ok(self.window.get(start..end).unwrap_or_default())
    }

    fn refill(&mut self, offset: u64, len: usize) -> Result<()> {
        let window_end = self.window_start + self.window.len() as u64;
        let is_near = offset >= self.window_start && offset < window_end + LARGE_READ as u64;
        let wish = len.max(if is_near && !self.window.is_empty() { LARGE_READ } else { SMALL_READ });
        let left = usize::try_from(self.file_len().saturating_sub(offset)).unwrap_or(usize::MAX);
        self.window.clear();
        self.window.resize(wish.min(left), 0);
        self.window_start = offset;
        let count = self.file.read_up_to(offset, &mut self.window)?;
        self.window.truncate(count);
        Ok(())
    }

    /// The flatbuffer of the message at `offset`, copied to aligned memory, and the length of prefix plus flatbuffer.
    /// Nothing at an end-of-stream marker, or where the file ends.
    pub fn header(&mut self, offset: u64) -> Result<Option<(Buffer, u32)>> {
        if offset >= self.file_len() {
            return Ok(None);
        }
        let site = self.site(offset);
        let Prefix::Header { prefix_len, flatbuffer_len } = Prefix::parse(self.bytes(offset, 8)?, &site)?
        else {
            return Ok(None);
        };
        debug_assert!(flatbuffer_len <= MAX_METADATA);
        let flatbuffer = self.bytes(offset + u64::from(prefix_len), flatbuffer_len as usize)?;
        if flatbuffer.len() < flatbuffer_len as usize {
            return Err(site.corrupt(format!(
                "truncated: a message header of {flatbuffer_len} bytes is cut after {}; its writer was stopped, write it again",
                flatbuffer.len()
            )));
        }
        Ok(Some((Buffer::from(flatbuffer), prefix_len + flatbuffer_len)))
    }
}
