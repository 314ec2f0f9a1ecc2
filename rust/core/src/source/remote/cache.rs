//! Fetched ranges on disk, for all processes of a machine.
//!
//! ```text
//! folder/ab/<version of the object>-<start>-<length>.part    bytes | xxh3 of them
//! folder/lock                                                held while old ones are removed
//! ```
//!
//! A file appears whole, by a rename, or not at all, and is never written again; one that is removed while it is read
//! stays readable for its reader. So readers take no lock, and a process that is killed leaves a temporary file at
//! worst, which is removed with the old ones.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::grown::Grown;
use super::settings::{CacheSettings, cache_settings};

/// Of the bytes, behind them.
const CHECKSUM: usize = 8;

/// Without a budget that was set: this share of the free disk, and no more than so much.
const FREE_SHARE: u64 = 5;
const MOST: u64 = 64 << 30;

/// Old ones are looked for after this share of the budget was written.
const SWEEP_SHARE: u64 = 16;

/// A temporary file that old is nobody's.
const STALE: Duration = Duration::from_secs(60 * 60);

/// A folder of fetched ranges.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    budget: u64,
    settings: CacheSettings,
    /// Bytes written since old ones were looked for.
    written: AtomicU64,
}

impl Cache {
    /// The cache that the settings name; `None` where there is to be none, or no folder is known.
    pub fn shared() -> Option<Arc<Self>> {
        static CACHES: Grown<Arc<Cache>> = Grown::new();
        let settings = cache_settings();
        if !settings.is_on {
            return None;
        }
        if let Some(known) = CACHES.iter().find(|cache| cache.settings == settings) {
            return Some(Arc::clone(known));
        }
        let cache = Arc::new(Self::new(&settings)?);
        CACHES.push(Arc::clone(&cache));
        Some(cache)
    }

    fn new(settings: &CacheSettings) -> Option<Self> {
        let default = || crate::source::cache_folder::cache_folder().map(|folder| folder.join("blocks"));
        let folder = settings.folder.clone().or_else(default)?;
        let budget = settings.budget.unwrap_or_else(|| MOST.min(free_bytes(&folder) / FREE_SHARE));
        // A new process cannot know what others have written: it looks soon.
        let written = AtomicU64::new(budget / SWEEP_SHARE);
        Some(Self { folder, budget, settings: settings.clone(), written })
    }

    /// Whether the blocks of a data set of so many bytes are kept. Of one that does not fit, the next pass would find
    /// none: each block would have driven out the one that is read next.
    pub fn keeps_blocks_of(&self, total_bytes: u64) -> bool {
        self.settings.keeps_blocks.unwrap_or(total_bytes <= self.budget)
    }

    /// The bytes of a range of a version of an object, where they are there and whole.
    pub fn get(&self, key: u128, range: &Range<u64>) -> Option<Bytes> {
        let path = self.path(key, range);
        let len = usize::try_from(range.end - range.start).ok()?;
        let mut file = File::open(&path).ok()?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len + CHECKSUM + 1).ok()?;
        let read = Read::by_ref(&mut file).take((len + CHECKSUM + 1) as u64).read_to_end(&mut bytes).ok()?;
        let is_whole = read == len + CHECKSUM && xxh3_64(&bytes[..len]).to_le_bytes() == bytes[len..];
        if !is_whole {
            let _ = fs::remove_file(&path);
            return None;
        }
        // The time of its last use; where it cannot be set, it only leaves earlier.
        let _ = file.set_modified(SystemTime::now());
        bytes.truncate(len);
        Some(Bytes::from(bytes))
    }

    /// Keeps them; a disk that is full or cannot be written to costs speed only.
    pub fn put(&self, key: u128, range: &Range<u64>, bytes: &[u8]) {
        if bytes.len() as u64 > self.budget {
            return;
        }
        let path = self.path(key, range);
        if write(&path, bytes).is_ok() {
            let len = (bytes.len() + CHECKSUM) as u64;
            if self.written.fetch_add(len, Ordering::Relaxed) + len > self.budget / SWEEP_SHARE {
                self.written.store(0, Ordering::Relaxed);
                self.sweep();
            }
        }
    }

    fn path(&self, key: u128, range: &Range<u64>) -> PathBuf {
        let folder = self.folder.join(format!("{:02x}", (key ^ u128::from(range.start >> 20)) as u8));
        folder.join(format!("{key:032x}-{:x}-{:x}.part", range.start, range.end - range.start))
    }

    /// Removes what was not used for longest, until there is room again; one process at a time.
    fn sweep(&self) {
        let lock = File::options().create(true).truncate(false).write(true).open(self.folder.join("lock"));
        let Some(lock) = lock.ok().filter(|lock| lock.try_lock().is_ok()) else { return };
        let mut found = self.entries();
        let mut held: u64 = found.iter().map(|(_, len, _)| len).sum();
        found.sort_unstable();
        let target = self.budget - self.budget / SWEEP_SHARE;
        for (_, len, path) in found {
            if held <= target {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                held -= len;
            }
        }
        let _ = lock.unlock();
    }

    /// (last use, bytes, path) of what is kept; temporary files of the dead are removed on the way.
    fn entries(&self) -> Vec<(SystemTime, u64, PathBuf)> {
        let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found = Vec::new();
        for entry in list(&self.folder).flat_map(|folder| list(&folder.path())) {
            let Some((used, len)) =
                entry.metadata().ok().and_then(|meta| Some((meta.modified().ok()?, meta.len())))
            else {
                continue;
            };
            let path = entry.path();
            let is_part = path.extension().is_some_and(|extension| extension == "part");
            if is_part {
                found.push((used, len, path));
            } else if used.elapsed().is_ok_and(|age| age > STALE) {
                let _ = fs::remove_file(path);
            }
        }
        found
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}.{number}.tmp", std::process::id()));
    let written =
        File::options().write(true).create(true).truncate(true).open(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.write_all(&xxh3_64(bytes).to_le_bytes())
        });
    let done = written.and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

/// Bytes that may still be written to the disk that a folder is, or would be, on.
fn free_bytes(folder: &Path) -> u64 {
    #[cfg(unix)]
    {
        let there = folder.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok());
        there.map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(folder: &Path, budget: u64) -> Cache {
        let settings =
            CacheSettings { folder: Some(folder.to_owned()), budget: Some(budget), ..Default::default() };
        Cache::new(&settings).unwrap()
    }

    #[test]
    fn bytes_come_back_and_damaged_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1 << 20);
        cache.put(7, &(10..13), b"abc");
        assert_eq!(cache.get(7, &(10..13)).unwrap(), "abc");
        assert!(cache.get(7, &(10..12)).is_none() && cache.get(8, &(10..13)).is_none());
        for damage in [&b"abd\0\0\0\0\0\0\0\0"[..], b"ab", b""] {
            fs::write(cache.path(7, &(10..13)), damage).unwrap();
            assert!(cache.get(7, &(10..13)).is_none());
            assert!(!cache.path(7, &(10..13)).exists());
        }
    }

    #[test]
    fn what_was_used_last_stays_within_the_budget() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 16 << 10);
        for start in 0..40_u64 {
            cache.put(1, &(start * 1000..start * 1000 + 1000), &[start as u8; 1000]);
            let used = SystemTime::UNIX_EPOCH + Duration::from_secs(start);
            let path = cache.path(1, &(start * 1000..start * 1000 + 1000));
            if let Ok(file) = File::options().write(true).open(path) {
                file.set_modified(used).unwrap();
            }
        }
        cache.sweep();
        let held: u64 = cache.entries().iter().map(|(_, len, _)| len).sum();
        assert!(held <= 16 << 10, "{held}");
        assert!(cache.get(1, &(39_000..40_000)).is_some());
        assert!(cache.get(1, &(0..1000)).is_none());
    }

    #[test]
    fn the_dead_leave_nothing_for_ever_and_the_living_keep_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1 << 20);
        cache.put(1, &(0..3), b"abc");
        let beside = |name: &str| cache.path(1, &(0..3)).with_file_name(name);
        for (name, age) in [("old.1.0.tmp", STALE * 2), ("new.1.0.tmp", Duration::ZERO)] {
            let file = File::create(beside(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        cache.sweep();
        assert!(!beside("old.1.0.tmp").exists() && beside("new.1.0.tmp").exists());
    }

    #[test]
    fn a_data_set_that_does_not_fit_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 100);
        assert!(cache.keeps_blocks_of(100) && !cache.keeps_blocks_of(101));
    }
}
