//! What tells a file from its later self without opening it: size, modification time, inode.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::parallel;
use crate::{Error, Result};

/// Two writes this close together may carry the same modification time on coarse clocks
/// (FAT counts in 2 s), so a walk this close to the last write proves nothing later.
const RACY: Duration = Duration::from_secs(2);

/// A file's size, modification time and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Length in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Inode number; 0 where the system has none.
    pub inode: u64,
}

impl Identity {
    /// Asks the system; what is there but is no file is an error.
    pub fn of(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|source| Error::io("open", path, source))?;
        if metadata.is_dir() {
            let message = format!("{} is a folder, not a shard; open it on its own", path.display());
            return Err(Error::InvalidArgument(message));
        }
        Ok(Self::from_metadata(&metadata))
    }

    fn from_metadata(metadata: &Metadata) -> Self {
        let mtime_ns = metadata.modified().map_or(0, nanoseconds);
        Self { size: metadata.len(), mtime_ns, inode: inode(metadata) }
    }

    /// Whether a later change could hide behind the same modification time.
    pub(crate) fn is_racy(&self, walked_ns: i64) -> bool {
        walked_ns.abs_diff(self.mtime_ns) < RACY.as_nanos() as u64
    }
}

/// Identities of many files, in their order.
pub(crate) fn of_all(files: &[PathBuf], num_threads: usize) -> Vec<Result<Identity>> {
    // A stat costs a microsecond, a thread twenty.
    const FILES_A_THREAD: usize = 512;
    parallel::map(files, num_threads.min(files.len() / FILES_A_THREAD), |path| Identity::of(path))
}

/// The clock in the unit of modification times.
pub(crate) fn now_ns() -> i64 {
    nanoseconds(SystemTime::now())
}

fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_metadata: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_within_two_seconds_of_the_write_is_racy() {
        let identity = Identity { size: 1, mtime_ns: 10_000_000_000, inode: 1 };
        for (walked, racy) in [
            (10_000_000_000, true),
            (11_999_999_999, true),
            (12_000_000_000, false),
            (8_000_000_001, true),
            (0, false),
        ] {
            assert_eq!(identity.is_racy(walked), racy, "{walked}");
        }
    }

    #[test]
    fn a_folder_and_a_missing_file_are_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Identity::of(folder.path()), Err(Error::InvalidArgument(_))));
        assert!(matches!(Identity::of(&folder.path().join("x")), Err(Error::MissingShard { .. })));
    }
}
