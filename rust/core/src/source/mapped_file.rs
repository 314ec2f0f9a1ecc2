//! A mapped file whose pages are made present before they are used.
//!
//! A fault on a page that the file no longer has is SIGBUS, and a fault a page is slow. So
//! callers [`MappedFile::ensure`] the ranges they are about to touch: whole 256 KiB extents are
//! populated at once, which fails with an error where the file was truncated, and an extent that
//! was populated before costs one bit test. What slips through between the test and the use is
//! caught by `sigbus`.
//!
//! The bytes of a map may change when another process writes to the file. Nothing that was
//! validated is read from the map a second time: the decoder copies offsets, views, keys and the
//! like out of it, and only plain values stay mapped, for which every bit pattern is valid.

use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_buffer::Buffer;
use memmap2::Mmap;

use super::{FileIdentity, Source, beyond_the_end, positioned};
use crate::error::{Error, Result};

/// log2 of an extent: 256 KiB. A call costs little beside mapping 64 pages, and a shuffled stream, which touches
/// all of its windows within a few steps, does not wait at its start for every page of all of them.
const EXTENT_BITS: u32 = 18;

/// A read-only map of a file.
#[derive(Debug)]
pub struct MappedFile {
    map: Arc<Map>,
    file: File,
    path: PathBuf,
    identity: FileIdentity,
    /// One bit an extent: populated since it was last dropped.
    present: Box<[AtomicU64]>,
    bytes_read: AtomicU64,
}

/// The map proper, shared with every buffer that views it. Fields drop in order: the guard's
/// entry goes before the memory does.
#[derive(Debug)]
struct Map {
    #[cfg(unix)]
    guard: super::sigbus::Registration,
    bytes: Mmap,
}

impl MappedFile {
    /// Maps an open file that holds at least one byte.
    pub fn try_new(file: File, path: &Path, identity: FileIdentity) -> Result<Self> {
        let map_error = |error| Error::io("map", path, error);
        // SAFETY: the map is read-only and lives as long as any buffer that views it (`Map` is shared).
        // Another process may still write to the file; see the module's doc for why no validated
        // bytes are read twice.
        let bytes = unsafe { Mmap::map(&file) }.map_err(map_error)?;
        if (bytes.len() as u64) < identity.size {
            return Err(super::truncated(path, identity.size, bytes.len() as u64));
        }
        #[cfg(unix)]
        let guard =
            super::sigbus::Registration::new(bytes.as_ptr() as usize, bytes.len()).map_err(map_error)?;
        let num_words = (bytes.len() >> EXTENT_BITS) / 64 + 1;
        Ok(Self {
            map: Arc::new(Map {
                #[cfg(unix)]
                guard,
                bytes,
            }),
            file,
            path: path.to_owned(),
            identity,
            present: (0..num_words).map(|_| AtomicU64::new(0)).collect(),
            bytes_read: AtomicU64::new(0),
        })
    }

    /// Makes the pages of a range of the file present.
    #[inline]
    pub fn ensure(&self, offset: u64, len: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let Some(last_byte) = offset.checked_add(len as u64 - 1).filter(|last| *last < self.len()) else {
            return Err(beyond_the_end(&self.path, offset, len, self.len()));
        };
        let extents = (offset >> EXTENT_BITS) as usize..=(last_byte >> EXTENT_BITS) as usize;
        if extents.clone().all(|extent| self.is_present(extent)) {
            return Ok(());
        }
        self.populate_missing(extents)
    }

    /// Makes the pages under a slice present if the slice lies in this map; other memory is fine as it is.
    #[inline]
    pub fn ensure_slice(&self, slice: &[u8]) -> Result<()> {
        let base = self.map.bytes.as_ptr() as usize;
        match (slice.as_ptr() as usize).checked_sub(base) {
            Some(offset) if offset < self.map.bytes.len() => self.ensure(offset as u64, slice.len()),
            _ => Ok(()),
        }
    }

    /// Whether every page of a range is known to be present: nothing is left to do for any row in it.
    pub fn is_all_present(&self, offset: u64, len: usize) -> bool {
        let last_byte = offset + (len as u64).saturating_sub(1);
        last_byte < self.len()
            && ((offset >> EXTENT_BITS) as usize..=(last_byte >> EXTENT_BITS) as usize)
                .all(|extent| self.is_present(extent))
    }

    #[inline]
    fn is_present(&self, extent: usize) -> bool {
        self.present[extent / 64].load(Ordering::Relaxed) & (1 << (extent % 64)) != 0
    }

    /// Populates each run of missing extents with one call.
    #[cold]
    fn populate_missing(&self, extents: RangeInclusive<usize>) -> Result<()> {
        let mut next = *extents.start();
        while next <= *extents.end() {
            let first = next;
            while next <= *extents.end() && !self.is_present(next) {
                next += 1;
            }
            if first < next {
                self.populate(first << EXTENT_BITS, next << EXTENT_BITS)?;
                for extent in first..next {
                    self.present[extent / 64].fetch_or(1 << (extent % 64), Ordering::Relaxed);
                }
            } else {
                next += 1;
            }
        }
        Ok(())
    }

    fn populate(&self, start: usize, end: usize) -> Result<()> {
        let end = end.min(self.map.bytes.len());
        self.bytes_read.fetch_add((end - start) as u64, Ordering::Relaxed);
        #[cfg(target_os = "linux")]
        if linux::populate(&self.map.bytes, start, end - start).map_err(|error| self.fault(error))? {
            return Ok(());
        }
        self.advise_will_need(start as u64, end - start);
        self.check_length()
    }

    /// A page that could not be made present: the file ends before it, or the disk failed.
    #[cfg(target_os = "linux")]
    fn fault(&self, error: std::io::Error) -> Error {
        match self.check_length() {
            Err(truncated) => truncated,
            Ok(()) => Error::io("read", &self.path, error),
        }
    }

    /// An error if the file no longer reaches to the end of the map.
    fn check_length(&self) -> Result<()> {
        let now = self.file.metadata().map_err(|error| Error::io("stat", &self.path, error))?.len();
        if now < self.identity.size {
            Err(super::truncated(&self.path, self.identity.size, now))
        } else {
            Ok(())
        }
    }

    #[cfg(unix)]
    fn advise_will_need(&self, offset: u64, len: usize) {
        // Advice only: a failure costs speed, never correctness.
        let _ = self.map.bytes.advise_range(memmap2::Advice::WillNeed, offset as usize, len);
    }

    #[cfg(not(unix))]
    fn advise_will_need(&self, _offset: u64, _len: usize) {}

    /// The range cut to the map, or nothing where it lies outside.
    fn clamp(&self, offset: u64, len: usize) -> Option<(usize, usize)> {
        let start = usize::try_from(offset).ok().filter(|start| *start < self.map.bytes.len())?;
        let len = len.min(self.map.bytes.len() - start);
        (len > 0).then_some((start, len))
    }
}

impl Source for MappedFile {
    fn path(&self) -> &Path {
        &self.path
    }

    #[inline]
    fn len(&self) -> u64 {
        self.identity.size
    }

    fn as_mapped(&self) -> Option<&MappedFile> {
        Some(self)
    }

    fn buffer(&self, offset: u64, len: usize) -> Result<Buffer> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len());
        if end.is_none() {
            return Err(beyond_the_end(&self.path, offset, len, self.len()));
        }
        let start = NonNull::from(&self.map.bytes[offset as usize..]).cast::<u8>();
        let owner: Arc<Map> = Arc::clone(&self.map);
        // SAFETY: `start..start + len` was just checked to lie in the map, which `owner` keeps alive.
        Ok(unsafe { Buffer::from_custom_allocation(start, len, owner) })
    }

    fn ensure(&self, offset: u64, len: usize) -> Result<()> {
        MappedFile::ensure(self, offset, len)
    }

    fn will_need(&self, offset: u64, len: usize) {
        if let Some((start, len)) = self.clamp(offset, len) {
            self.advise_will_need(start as u64, len);
        }
    }

    fn drop_behind(&self, offset: u64, len: usize) {
        let Some((start, len)) = self.clamp(offset, len) else { return };
        // The whole extent is populated again when a neighbour is touched: cheap, as its pages are still cached.
        for extent in start >> EXTENT_BITS..=(start + len - 1) >> EXTENT_BITS {
            self.present[extent / 64].fetch_and(!(1 << (extent % 64)), Ordering::Relaxed);
        }
        #[cfg(target_os = "linux")]
        linux::unmap_pages(&self.map.bytes, start, len);
        positioned::drop_cached(&self.file, offset, len);
    }

    fn check_intact(&self) -> Result<()> {
        #[cfg(unix)]
        if self.map.guard.is_damaged() {
            self.check_length()?;
            return Err(Error::corrupt(
                &self.path,
                "pages of it could not be read (truncated for a moment, or the disk failed); open the dataset again",
            ));
        }
        self.identity.check_intact(&self.file, &self.path)
    }

    fn is_damaged(&self) -> bool {
        #[cfg(unix)]
        {
            self.map.guard.is_damaged()
        }
        #[cfg(not(unix))]
        {
            false
        }
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use memmap2::Mmap;
    use rustix::io::Errno;
    use rustix::mm::{Advice, madvise};

    /// Set once a kernel older than 5.14 has refused `MADV_POPULATE_READ`.
    static IS_REFUSED: AtomicBool = AtomicBool::new(false);

    /// Brings in `start..start + len`, `start` being page-aligned; false where the kernel cannot.
    pub(super) fn populate(map: &Mmap, start: usize, len: usize) -> io::Result<bool> {
        if IS_REFUSED.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let address = map[start..start + len].as_ptr().cast_mut().cast();
        loop {
            // SAFETY: the range lies in the map (sliced above); populating for reading changes no byte.
            match unsafe { madvise(address, len, Advice::LinuxPopulateRead) } {
                Ok(()) => return Ok(true),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(Errno::INVAL) => {
                    IS_REFUSED.store(true, Ordering::Relaxed);
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Unmaps the pages that lie wholly inside the range; a later touch maps them again.
    pub(super) fn unmap_pages(map: &Mmap, start: usize, len: usize) {
        let page = rustix::param::page_size();
        let (first, end) = (start.next_multiple_of(page), (start + len) / page * page);
        if first < end {
            let address = map[first..end].as_ptr().cast_mut().cast();
            // SAFETY: the range lies in the map (sliced above), and dropping pages of a read-only shared
            // file map loses nothing: they are read from the file again.
            let _ = unsafe { madvise(address, end - first, Advice::LinuxDontNeed) };
        }
    }
}
