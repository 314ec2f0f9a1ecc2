//! Where bytes lie: one trait over mapped, read and direct files.
//!
//! - [`mode`]: which way of reading, and which one suits a file system
//! - [`identity`]: size, mtime and inode, so that a file replaced under us is noticed
//! - [`mapped_file`]: mmap, pages made present before use (the crate's `unsafe`, with `sigbus`)
//! - `sigbus`: turns a truncation under a map into an error instead of a dead process
//! - [`read`]: pread into owned, aligned buffers
//! - [`direct`]: `O_DIRECT` reads that leave the page cache alone
//! - [`remote`]: objects on a network, by ranges
//! - `cache_folder`: where rowmill keeps what it can make again

mod cache_folder;
pub mod direct;
pub mod identity;
pub mod mapped_file;
pub mod mode;
mod positioned;
pub mod read;
pub mod remote;
#[cfg(unix)]
mod sigbus;

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_buffer::Buffer;

pub(crate) use cache_folder::cache_folder;
pub use direct::DirectFile;
pub use identity::FileIdentity;
pub use mapped_file::MappedFile;
pub use mode::{IoMode, resolve_auto};
pub use read::ReadFile;
pub use remote::RemoteFile;

use crate::error::{Error, Result};

/// What ranges are needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A block that will be read.
    Ahead,
    /// A block that is being read.
    Now,
    /// Headers that are being read, and will be by other processes.
    Headers,
}

/// One open file that blocks are read from.
pub trait Source: Send + Sync + Debug {
    /// The file.
    fn path(&self) -> &Path;

    /// Its length when it was opened.
    fn len(&self) -> u64;

    /// Whether it held no byte when it was opened.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether [`Source::buffer`] hands out views of a map instead of memory of its own.
    fn is_mapped(&self) -> bool {
        self.as_mapped().is_some()
    }

    /// The map itself, so that a hot loop can call it without dynamic dispatch.
    fn as_mapped(&self) -> Option<&MappedFile> {
        None
    }

    /// Whether each read is a round trip over a network.
    fn is_remote(&self) -> bool {
        false
    }

    /// The file's bytes at `offset`: a view of the map, or an owned copy aligned to 64 bytes.
    fn buffer(&self, offset: u64, len: usize) -> Result<Buffer>;

    /// Makes the pages of this range present; an error, not a SIGBUS, where the file no longer reaches.
    fn ensure(&self, offset: u64, len: usize) -> Result<()>;

    /// Starts reading this range in the background.
    fn will_need(&self, offset: u64, len: usize);

    /// Starts bringing in all of what the block `key` needs, and keeps it until [`Source::release`]; where reads are round
    /// trips, and nowhere else.
    fn hold(&self, _key: u64, _ranges: &[Range<u64>], _need: Need) {}

    /// Lets go of what a block holds.
    fn release(&self, _key: u64) {}

    /// Lets go of what all blocks hold: nobody reads on.
    fn release_all(&self) {}

    /// Says that what came of it is damaged: copies of it that were kept on a disk are asked for anew.
    fn distrust(&self) {}

    /// Fills `into` from `offset` and says how much of it the file could fill.
    fn read_up_to(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let len = (into.len() as u64).min(self.len().saturating_sub(offset)) as usize;
        self.ensure(offset, len)?;
        into[..len].copy_from_slice(&self.buffer(offset, len)?);
        Ok(len)
    }

    /// Gives this range's pages back to the system.
    fn drop_behind(&self, offset: u64, len: usize);

    /// An error if the file was truncated or changed since it was opened.
    fn check_intact(&self) -> Result<()>;

    /// Whether a page of a map could not be read: one load of a flag, for hot loops.
    fn is_damaged(&self) -> bool {
        false
    }

    /// Bytes brought in so far.
    fn bytes_read(&self) -> u64;

    /// What the user should know, once: that the file is not read the way that was asked for.
    fn note(&self) -> Option<String> {
        None
    }
}

/// Opens a file for reading blocks.
///
/// With `expected`, a file whose size, mtime or inode differ from it is refused.
pub fn open(path: &Path, mode: IoMode, expected: Option<FileIdentity>) -> Result<Arc<dyn Source>> {
    if remote::is_remote(path) {
        let identity = expected.map_or_else(|| remote::probe(path), Ok)?;
        return Ok(RemoteFile::new(path, identity));
    }
    allow_many_files();
    let (file, identity) = identity::open_regular(path)?;
    if let Some(expected) = expected {
        identity.check_same(expected, path)?;
    }
    let mode = if mode == IoMode::Auto { resolve_auto(path) } else { mode };
    Ok(match mode {
        // A map of zero bytes is an error on some systems, and there is nothing to map.
        IoMode::Mmap | IoMode::Auto if identity.size > 0 => {
            Arc::new(MappedFile::try_new(file, path, identity)?)
        }
        IoMode::Direct => Arc::new(DirectFile::try_new(file, path, identity)?),
        IoMode::Mmap | IoMode::Auto | IoMode::Read => Arc::new(ReadFile::new(file, path, identity)),
    })
}

/// What may be damaged on its way, or was kept so on a disk, is fetched once more before it is called damaged.
pub fn twice<T>(source: &dyn Source, read: impl Fn() -> Result<T>) -> Result<T> {
    match read() {
        Err(Error::CorruptShard { .. }) => {
            source.distrust();
            read()
        }
        done => done,
    }
}

/// Raises the soft limit of open files to the hard one, once: each open shard keeps its file, and the usual
/// soft limit of 1024 would end a pass over ten thousand shards.
fn allow_many_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        static RAISED: std::sync::Once = std::sync::Once::new();
        RAISED.call_once(|| {
            let limit = getrlimit(Resource::Nofile);
            let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
            // Refused where the system has a lower bound of its own: the limit then stays what it was.
            let _ = setrlimit(Resource::Nofile, raised);
        });
    }
}

/// The error of a range that the file never had.
fn beyond_the_end(path: &Path, offset: u64, len: usize, file_len: u64) -> Error {
    Error::corrupt_at(
        path,
        offset,
        format!(
            "{len} bytes were asked for, but the file ends at byte {file_len}; restore the file and open the dataset again"
        ),
    )
}

/// The error of a file that lost its tail under us.
fn truncated(path: &Path, was: u64, is: u64) -> Error {
    Error::corrupt_at(
        path,
        is,
        format!(
            "truncated while it was read: {was} bytes when it was opened, {is} now; restore the file and open the dataset again"
        ),
    )
}
