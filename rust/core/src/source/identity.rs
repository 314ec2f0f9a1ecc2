//! What tells one version of a file from another.

use std::fs::{File, Metadata};
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::error::{Error, Result};

/// Size, modification time and inode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// Length in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970, 0 where the system has none.
    pub mtime_ns: i64,
    /// Inode number, 0 where the system has none.
    pub inode: u64,
}

impl FileIdentity {
    /// The identity that metadata describe.
    pub fn from_metadata(metadata: &Metadata) -> Self {
        let mtime_ns = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .and_then(|since| i64::try_from(since.as_nanos()).ok())
            .unwrap_or(0);
        Self { size: metadata.len(), mtime_ns, inode: inode(metadata) }
    }

    /// The identity of an open file; anything but a regular file is refused.
    pub fn of(file: &File, path: &Path) -> Result<Self> {
        let metadata = file.metadata().map_err(|error| Error::io("stat", path, error))?;
        Self::of_regular(&metadata, path)
    }

    fn of_regular(metadata: &Metadata, path: &Path) -> Result<Self> {
        if metadata.is_file() {
            return Ok(Self::from_metadata(metadata));
        }
        Err(Error::Unsupported {
            path: path.to_owned(),
            message: "not a regular file; name the shard files themselves, or a glob such as \"dir/*.arrow\""
                .to_owned(),
        })
    }

    /// An error if `self`, what the file is now, is not what was indexed.
    pub fn check_same(self, expected: Self, path: &Path) -> Result<()> {
        if self == expected {
            return Ok(());
        }
        Err(Error::corrupt(
            path,
            format!(
                "changed since it was indexed ({} bytes then, {} now); open the dataset again",
                expected.size, self.size
            ),
        ))
    }

    /// An error if an open file is no longer what it was when it was opened.
    pub(super) fn check_intact(self, file: &File, path: &Path) -> Result<()> {
        let now = Self::of(file, path)?;
        if now.size < self.size {
            return Err(super::truncated(path, self.size, now.size));
        }
        if now != self {
            return Err(Error::corrupt(path, "changed while it was read; open the dataset again"));
        }
        Ok(())
    }
}

/// Opens a regular file. Asked first and opened then: opening a pipe would wait for its writer.
pub(super) fn open_regular(path: &Path) -> Result<(File, FileIdentity)> {
    let metadata = std::fs::metadata(path).map_err(|error| Error::io("open", path, error))?;
    FileIdentity::of_regular(&metadata, path)?;
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let identity = FileIdentity::of(&file, path)?;
    Ok((file, identity))
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.ino()
}

#[cfg(not(unix))]
fn inode(_metadata: &Metadata) -> u64 {
    0
}
