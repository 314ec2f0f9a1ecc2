//! Where indexes lie: one file a set of folders, mapped read-only, replaced atomically under a lock.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memmap2::Mmap;
use xxhash_rust::xxh3::Xxh3;

use super::codec::{Index, Problem};
use crate::source::cache_folder;

/// Longer than a walk over cold network shards takes; then a second walk beats waiting for a stopped process.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);
const TEMPORARY: &str = "tmp";

/// The index file of one set of folders.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    key: String,
}

/// A mapped index file; [`Loaded::index`] borrows from it.
#[derive(Debug)]
pub(crate) struct Loaded(Mmap);

impl Loaded {
    /// Checks and reads the index: once per open, since the checksum covers every byte.
    pub(crate) fn index(&self) -> Result<Index<'_>, Problem> {
        Index::decode(&self.0)
    }
}

/// Holds the lock until dropped; the system lets go of it if this process dies.
#[derive(Debug)]
pub(crate) struct StoreLock(File);

impl Drop for StoreLock {
    fn drop(&mut self) {
        // Explicit, because a forked child may still hold the same open file.
        let _ = self.0.unlock();
    }
}

impl Store {
    /// The store for shards that lie in these folders; absolute, in any order.
    pub(crate) fn new(folder: PathBuf, mut parents: Vec<&Path>) -> Self {
        parents.sort_unstable();
        parents.dedup();
        let mut hasher = Xxh3::new();
        for parent in parents {
            let bytes = parent.as_os_str().as_encoded_bytes();
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        Self { folder, key: format!("{:032x}", hasher.digest128()) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.index", self.key))
    }

    /// Maps what is stored; `None` where nothing is.
    pub(crate) fn load(&self) -> io::Result<Option<Loaded>> {
        let file = match File::open(self.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // SAFETY: index files are never written in place: `save` renames a finished file over them,
        // so the mapped inode keeps its bytes and its length while the map lives.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Some(Loaded(map)))
    }

    /// Waits for other ranks that walk the same shards, then keeps them waiting.
    pub(crate) fn lock(&self) -> io::Result<StoreLock> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{}.lock", self.key));
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        let began = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(StoreLock(file)),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if began.elapsed() > LOCK_PATIENCE => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds its lock"));
                }
                Err(TryLockError::WouldBlock) => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(20));
                }
            }
        }
    }

    /// Replaces the stored index; the caller holds the lock.
    pub(crate) fn save(&self, _lock: &StoreLock, bytes: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        self.remove_leftovers();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{}.{}.{number}.{TEMPORARY}", self.key, std::process::id()));
        let written = write_synced(&temporary, bytes).and_then(|()| fs::rename(&temporary, self.path()));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
            return written;
        }
        sync_folder(&self.folder);
        Ok(())
    }

    /// Only the lock's holder writes, so every temporary file of this key is a dead process's.
    fn remove_leftovers(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_ours = entry.file_name().as_encoded_bytes().starts_with(self.key.as_bytes());
            if is_ours && path.extension().is_some_and(|extension| extension == TEMPORARY) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the rename last; a lost one only costs a walk, so failure is no error.
fn sync_folder(folder: &Path) {
    if cfg!(unix)
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
}

/// The index folder of this user, from the environment.
pub(crate) fn default_folder() -> Option<PathBuf> {
    cache_folder().map(|folder| folder.join("index"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_knows_folders_as_a_set() {
        let key = |parents: &[&str]| Store::new(PathBuf::new(), parents.iter().map(Path::new).collect()).key;
        assert_eq!(key(&["/a", "/b", "/a"]), key(&["/b", "/a"]));
        assert_ne!(key(&["/a", "/b"]), key(&["/a"]));
        assert_ne!(key(&["/a/b"]), key(&["/a", "/b"]));
    }

    #[test]
    fn a_dead_writers_leftovers_go_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned(), vec![Path::new("/a")]);
        let leftover = folder.path().join(format!("{}.1.0.tmp", store.key));
        let foreign = folder.path().join("other.1.0.tmp");
        fs::write(&leftover, "half").unwrap();
        fs::write(&foreign, "half").unwrap();
        store.save(&store.lock().unwrap(), b"whole").unwrap();
        assert!(!leftover.exists() && foreign.exists());
        assert_eq!(fs::read(store.path()).unwrap(), b"whole");
    }
}
