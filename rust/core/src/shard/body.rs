//! A message's body: its buffers, sliced, copied or inflated as the array at hand needs them.

use std::cell::Cell;
use std::sync::Arc;

use arrow_buffer::{Buffer, MutableBuffer};

use super::compression::Codec;
use super::layout::Range;
use super::site::Site;
use crate::error::Result;
use crate::source::Source;

/// The part of a body that was fetched.
#[derive(Debug)]
pub(super) struct Body<'a> {
    bytes: Buffer,
    /// Where `bytes` starts in the body.
    base: u64,
    /// Of the whole body.
    len: u64,
    codec: Option<Codec>,
    /// The source, where `bytes` views its map.
    mapped: Option<&'a Arc<dyn Source>>,
    is_owning: Cell<bool>,
    /// Bytes of the body used so far.
    spent: Cell<u64>,
    /// Memory that the arrays own: whatever is not a view of the map.
    owned: Cell<usize>,
    misaligned: Cell<usize>,
    site: Site<'a>,
}

impl<'a> Body<'a> {
    /// Fetches `range` of the body of `len` bytes that starts at `start` in the file, in one read.
    pub fn fetch(
        source: &'a Arc<dyn Source>,
        start: u64,
        len: u64,
        range: Range,
        codec: Option<Codec>,
        site: Site<'a>,
    ) -> Result<Self> {
        // Kept aligned to the body's start, as writers align buffers relative to it.
        let base = range.offset / 64 * 64;
        let read = usize::try_from(range.offset + range.len - base)
            .map_err(|_| site.corrupt("the body is larger than this machine's memory addresses"))?;
        let bytes = source.buffer(start + base, read)?;
        let mapped = source.is_mapped().then_some(source);
        // Inflated buffers replace what was read; the rest stays alive as a whole.
        let owned = if mapped.is_some() || codec.is_some() { 0 } else { read };
        Ok(Self {
            bytes,
            base,
            len,
            codec,
            mapped,
            is_owning: Cell::new(false),
            spent: Cell::new(0),
            owned: Cell::new(owned),
            misaligned: Cell::new(0),
            site,
        })
    }

    /// Bytes of memory that the arrays own.
    pub fn owned(&self) -> usize {
        self.owned.get()
    }

    /// How many buffers had to be copied because they were not aligned.
    pub fn misaligned(&self) -> usize {
        self.misaligned.get()
    }

    /// From here on every buffer is copied out of the map.
    pub fn set_owning(&self, is_owning: bool) {
        self.is_owning.set(is_owning);
    }

    /// Whether every buffer is copied out of the map.
    pub fn is_owning(&self) -> bool {
        self.is_owning.get()
    }

    /// A buffer of plain bytes, any of which are valid: a view of the map where it can be.
    pub fn bytes(&self, range: Range) -> Result<Buffer> {
        let buffer = self.content(range)?;
        if self.is_owning.get() && self.is_in_map(&buffer) { self.copy(&buffer) } else { Ok(buffer) }
    }

    /// The `need` bytes of a buffer of plain values: a view of the map where it can be.
    pub fn values(&self, mut range: Range, need: usize, alignment: usize) -> Result<Buffer> {
        if self.codec.is_none() {
            range.len = range.len.min(need as u64);
        }
        let buffer = self.bytes(range)?;
        // Exactly as long: arrow-rs panics on a buffer that ends within a value.
        let buffer = match buffer.len() {
            0 => return Ok(MutableBuffer::new(0).into()),
            len if len < need => {
                return Err(self.site.corrupt(format!("a buffer of {len} bytes where {need} are needed")));
            }
            _ => buffer.slice_with_length(0, need),
        };
        if buffer.as_ptr().align_offset(alignment) == 0 {
            return Ok(buffer);
        }
        self.misaligned.set(self.misaligned.get() + 1);
        self.copy(&buffer)
    }

    /// The same for a buffer that is validated once and relied on later (offsets, views, keys,
    /// validity): never a view of the map, whose bytes another process could change in between.
    pub fn structure(&self, range: Range, need: usize, alignment: usize) -> Result<Buffer> {
        let buffer = self.values(range, need, alignment)?;
        if self.is_in_map(&buffer) { self.copy(&buffer) } else { Ok(buffer) }
    }

    /// Bytes that are about to be read: present, or an error.
    pub fn touch(&self, buffer: &Buffer) -> Result<()> {
        match self.mapped.and_then(|source| source.as_mapped()) {
            Some(map) => map.ensure_slice(buffer),
            None => Ok(()),
        }
    }

    /// Counts a buffer in: those of a message are disjoint, so together they fit into the body. Without
    /// this a damaged header could have the same bytes copied or inflated once for every buffer.
    fn spend(&self, len: u64) -> Result<()> {
        let spent = self.spent.get().saturating_add(len);
        self.spent.set(spent);
        if spent > self.len {
            return Err(self.site.corrupt("the buffers of the message overlap"));
        }
        Ok(())
    }

    fn content(&self, range: Range) -> Result<Buffer> {
        if range.len == 0 {
            return Ok(MutableBuffer::new(0).into());
        }
        self.spend(range.len)?;
        // The layout has checked the range against the body; only a part of that was read.
        let start = range.offset.checked_sub(self.base).map(|start| start as usize);
        let Some(start) = start.filter(|start| start + range.len as usize <= self.bytes.len()) else {
            return Err(self.site.corrupt("a buffer lies outside the part of the body that was read"));
        };
        let stored = self.bytes.slice_with_length(start, range.len as usize);
        let Some(codec) = self.codec else { return Ok(stored) };
        self.touch(&stored)?;
        let inflated = codec.inflate(&stored, &self.site)?;
        if !self.is_in_map(&inflated) {
            self.owned.set(self.owned.get() + inflated.len());
        }
        Ok(inflated)
    }

    fn is_in_map(&self, buffer: &Buffer) -> bool {
        self.mapped.is_some() && buffer.data_ptr() == self.bytes.data_ptr()
    }

    fn copy(&self, buffer: &Buffer) -> Result<Buffer> {
        self.touch(buffer)?;
        self.owned.set(self.owned.get() + buffer.len());
        // As long as the slice that is there already, so no claim of the file's is allocated.
        Ok(Buffer::from_slice_ref(buffer.as_slice()))
    }
}
