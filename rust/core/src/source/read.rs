//! pread into owned buffers: the way for network and overlay file systems.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_buffer::Buffer;

use super::identity::open_regular;
use super::{FileIdentity, Source, beyond_the_end, positioned, truncated};
use crate::error::{Error, Result};

/// What arrow recommends, and a cache line.
const ALIGNMENT: usize = 64;

/// A file that is read with pread.
#[derive(Debug)]
pub struct ReadFile {
    file: File,
    path: PathBuf,
    identity: FileIdentity,
    bytes_read: AtomicU64,
}

impl ReadFile {
    /// Reads from an open file.
    pub fn new(file: File, path: &Path, identity: FileIdentity) -> Self {
        Self { file, path: path.to_owned(), identity, bytes_read: AtomicU64::new(0) }
    }

    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, identity) = open_regular(path)?;
        Ok(Self::new(file, path, identity))
    }

    /// What the file was when it was opened.
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// An error if the range is not inside the file as it was opened.
    pub(super) fn check_range(&self, offset: u64, len: usize) -> Result<()> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.identity.size => Ok(()),
            _ => Err(beyond_the_end(&self.path, offset, len, self.identity.size)),
        }
    }
}

impl Source for ReadFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.identity.size
    }

    fn buffer(&self, offset: u64, len: usize) -> Result<Buffer> {
        self.check_range(offset, len)?;
        let refused = |error| Error::io("read", &self.path, error);
        let mut bytes: Vec<u8> = Vec::new();
        bytes.try_reserve_exact(len + ALIGNMENT).map_err(|_| refused(ErrorKind::OutOfMemory.into()))?;
        let pad = bytes.as_ptr().align_offset(ALIGNMENT);
        bytes.resize(pad, 0);
        let count = positioned::append_up_to(&self.file, &mut bytes, len, offset).map_err(refused)?;
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        if count < len {
            return Err(truncated(&self.path, self.identity.size, offset + count as u64));
        }
        Ok(Buffer::from_vec(bytes).slice_with_length(pad, len))
    }

    fn read_up_to(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let count = positioned::read_up_to(&self.file, into, offset)
            .map_err(|error| Error::io("read", &self.path, error))?;
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn ensure(&self, _offset: u64, _len: usize) -> Result<()> {
        Ok(())
    }

    fn will_need(&self, offset: u64, len: usize) {
        positioned::will_need(&self.file, offset, len);
    }

    fn drop_behind(&self, offset: u64, len: usize) {
        positioned::drop_cached(&self.file, offset, len);
    }

    fn check_intact(&self) -> Result<()> {
        self.identity.check_intact(&self.file, &self.path)
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }
}
