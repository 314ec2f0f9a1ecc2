//! `O_DIRECT` reads, which leave the page cache to others.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use arrow_buffer::Buffer;

use super::{FileIdentity, ReadFile, Source, truncated};
use crate::error::{Error, Result};

/// What `O_DIRECT` wants offsets, lengths and memory aligned to; 4096 suits every disk in use.
const ALIGNMENT: u64 = 4096;

/// A file that is read past the page cache, or with plain reads where that is refused.
#[derive(Debug)]
pub struct DirectFile {
    /// Opened with `O_DIRECT`; absent where the system or the file system has no such thing.
    direct: Option<ReadFile>,
    plain: ReadFile,
}

impl DirectFile {
    /// Reads from a file, reopening it with `O_DIRECT` if possible.
    pub fn try_new(file: File, path: &Path, identity: FileIdentity) -> Result<Self> {
        let plain = ReadFile::new(file, path, identity);
        let direct = match open_direct(path) {
            // Opened by name a second time: it must still be the same file.
            Some(again) if FileIdentity::of(&again, path)? == identity => {
                let again = ReadFile::new(again, path, identity);
                is_served(&again).then_some(again)
            }
            _ => None,
        };
        Ok(Self { direct, plain })
    }

    fn read_aligned(&self, direct: &ReadFile, offset: u64, len: usize) -> Result<Buffer> {
        let start = offset - offset % ALIGNMENT;
        let lead = (offset - start) as usize;
        let span = (lead + len).next_multiple_of(ALIGNMENT as usize);
        let mut bytes: Vec<u8> = Vec::new();
        let room = span + ALIGNMENT as usize;
        let refused = |_| Error::io("read", self.path(), ErrorKind::OutOfMemory.into());
        bytes.try_reserve_exact(room).map_err(refused)?;
        bytes.resize(room, 0);
        let pad = bytes.as_ptr().align_offset(ALIGNMENT as usize);
        let count = direct.read_up_to(start, &mut bytes[pad..pad + span])?;
        if count < lead + len {
            return Err(truncated(self.path(), self.len(), start + count as u64));
        }
        Ok(Buffer::from_vec(bytes).slice_with_length(pad + lead, len))
    }
}

impl Source for DirectFile {
    fn path(&self) -> &Path {
        self.plain.path()
    }

    fn len(&self) -> u64 {
        self.plain.len()
    }

    fn buffer(&self, offset: u64, len: usize) -> Result<Buffer> {
        self.plain.check_range(offset, len)?;
        match &self.direct {
            Some(direct) => self.read_aligned(direct, offset, len),
            None => self.plain.buffer(offset, len),
        }
    }

    fn ensure(&self, _offset: u64, _len: usize) -> Result<()> {
        Ok(())
    }

    fn will_need(&self, offset: u64, len: usize) {
        // Reading ahead into the page cache is what direct reads are asked not to do.
        if self.direct.is_none() {
            self.plain.will_need(offset, len);
        }
    }

    fn drop_behind(&self, offset: u64, len: usize) {
        if self.direct.is_none() {
            self.plain.drop_behind(offset, len);
        }
    }

    fn check_intact(&self) -> Result<()> {
        self.plain.check_intact()
    }

    fn bytes_read(&self) -> u64 {
        self.plain.bytes_read() + self.direct.as_ref().map_or(0, Source::bytes_read)
    }

    fn note(&self) -> Option<String> {
        let path = self.path().display();
        let text = || format!("{path}: this file system does not serve O_DIRECT; plain reads are used");
        self.direct.is_none().then(text)
    }
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_path: &Path) -> Option<File> {
    None
}

/// Some file systems accept the flag at open and refuse the first read.
fn is_served(file: &ReadFile) -> bool {
    let mut bytes = vec![0_u8; 2 * ALIGNMENT as usize];
    let pad = bytes.as_ptr().align_offset(ALIGNMENT as usize);
    file.read_up_to(0, &mut bytes[pad..pad + ALIGNMENT as usize]).is_ok()
}
