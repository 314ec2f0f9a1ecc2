//! When a stored record still holds for a file: by its identity, and by when it was walked.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::parallel;
use crate::source::FileIdentity;
use crate::source::remote::{is_remote, probe};
use crate::{Error, Result};

/// A stat costs a microsecond, a thread twenty.
const FILES_A_THREAD: usize = 512;

/// Two writes this close together may carry the same modification time on coarse clocks
/// (FAT counts in 2 s), so a walk this close to the last write proves nothing later.
const RACY: Duration = Duration::from_secs(2);

/// Walks of objects on a network wait for answers, not for a core.
pub(crate) const REQUESTS: usize = 32;

/// Asks the system, or the object's server; a folder is refused here, whatever else is no shard by its walk.
pub(crate) fn of(path: &Path) -> Result<FileIdentity> {
    if is_remote(path) {
        return probe(path);
    }
    let metadata = std::fs::metadata(path).map_err(|source| Error::io("open", path, source))?;
    if metadata.is_dir() {
        let message = format!("{} is a folder, not a shard; open it on its own", path.display());
        return Err(Error::InvalidArgument(message));
    }
    Ok(FileIdentity::from_metadata(&metadata))
}

/// Whether a change after the walk could hide behind the same modification time.
pub(crate) fn is_racy(identity: FileIdentity, walked_ns: i64) -> bool {
    u128::from(walked_ns.abs_diff(identity.mtime_ns)) < RACY.as_nanos()
}

/// Absolute paths and identities of many files, in their order. Of objects on a network that are `known`, nobody is asked.
pub(crate) fn of_all(
    files: &[PathBuf],
    known: &HashMap<PathBuf, FileIdentity>,
    num_threads: usize,
) -> Vec<(PathBuf, Result<FileIdentity>)> {
    if files.iter().any(|file| is_remote(file)) {
        return parallel::map(files, num_threads.max(REQUESTS), |file| {
            let identity = known.get(file).copied().map_or_else(|| of(file), Ok);
            (file.clone(), identity)
        });
    }
    parallel::map(files, num_threads.min(files.len() / FILES_A_THREAD), |file| {
        match std::path::absolute(file) {
            Ok(path) => {
                let identity = of(&path);
                (path, identity)
            }
            Err(source) => (file.clone(), Err(Error::Io { action: "find", path: file.clone(), source })),
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_within_two_seconds_of_the_write_is_racy() {
        let identity = FileIdentity { size: 1, mtime_ns: 10_000_000_000, inode: 1 };
        for (walked, racy) in [
            (10_000_000_000, true),
            (11_999_999_999, true),
            (12_000_000_000, false),
            (8_000_000_001, true),
            (0, false),
        ] {
            assert_eq!(is_racy(identity, walked), racy, "{walked}");
        }
    }

    #[test]
    fn a_folder_and_a_missing_file_are_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(of(folder.path()), Err(Error::InvalidArgument(_))));
        assert!(matches!(of(&folder.path().join("x")), Err(Error::MissingShard { .. })));
    }
}
