//! An object on a network as a source of bytes.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use arrow_buffer::{Buffer, MutableBuffer};
use bytes::Bytes;

use super::cache::Cache;
use super::engine::{Task, engine};
use super::fetch::{Asked, fetch};
use super::lock::{Lock, Signal};
use super::parts::{Parts, State, Wanted};
use super::place::Place;
use super::request::SLICE;
use super::spans::{coalesce, pieces};
use super::stats::Counters;
use super::trouble::Trouble;
use super::version::key_of;
use crate::error::{Error, Result};
use crate::interrupt::is_interrupted;
use crate::prefetch::fork_generation;
use crate::source::{FileIdentity, Need, Source, beyond_the_end};

/// Reads that no block announced are kept on disk up to this: footers and page indexes, which every process reads.
const SMALL: u64 = 4 << 20;

/// What is copied at a time: several requests.
const CHUNK: u64 = 64 << 20;

/// One version of an object, read by ranges.
#[derive(Debug)]
pub struct RemoteFile {
    path: PathBuf,
    identity: FileIdentity,
    place: Place,
    parts: Lock<Parts>,
    arrived: Signal,
    cache: Option<Arc<Cache>>,
    /// Whether blocks are kept on disk too.
    keeps_blocks: AtomicBool,
    /// Whether what the cache holds of it is fetched again: something of it was damaged on its way.
    is_distrusted: AtomicBool,
    key: u128,
    bytes_read: AtomicU64,
    /// Of the process that it is read in: a child finds locks that may be held for ever.
    generation: u64,
    me: Weak<Self>,
}

impl RemoteFile {
    /// The version `identity` of the object at `path`; nothing is asked yet.
    pub fn new(path: &Path, identity: FileIdentity) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            path: path.to_owned(),
            identity,
            place: Place::default(),
            parts: Lock::default(),
            arrived: Signal::default(),
            cache: Cache::shared(),
            keeps_blocks: AtomicBool::new(false),
            is_distrusted: AtomicBool::new(false),
            key: key_of(path, identity),
            bytes_read: AtomicU64::new(0),
            generation: fork_generation(),
            me: me.clone(),
        })
    }

    /// Says how many bytes the whole data set has: where all of it fits into the cache, blocks are kept there.
    pub fn is_of_dataset(&self, total_bytes: u64) {
        let keeps = self.cache.as_ref().is_some_and(|cache| cache.keeps_blocks_of(total_bytes));
        self.keeps_blocks.store(keeps, Ordering::Relaxed);
    }

    /// Fetches a part, unless nobody wants it any more or somebody fetches it already.
    pub(super) fn run(&self, task: &Task, is_ahead: bool) {
        let is_due = {
            let mut parts = self.parts.lock();
            match parts.get(task.start, task.id) {
                Some(part) if matches!(part.state, State::Queued { .. }) => {
                    part.state = State::Running;
                    part.is_ahead = is_ahead;
                    Some(part.is_block)
                }
                Some(_) | None => None,
            }
        };
        let Some(is_block) = is_due else {
            if is_ahead {
                engine().give_back(task.len);
            }
            return;
        };
        let range = task.start..task.start + task.len;
        let state = match crate::panics::guarded(|| self.bring(&range, is_block, task)) {
            Ok(Ok(bytes)) => State::Ready(bytes),
            Ok(Err(trouble)) => State::Failed(trouble),
            Err(text) => {
                State::Failed(Trouble::Unsupported(format!("internal error, please report it: {text}")))
            }
        };
        // Where it was let go of on its way, whoever did so gave its bytes back.
        if let Some(part) = self.parts.lock().get(task.start, task.id) {
            part.state = state;
        }
        self.arrived.notify_all();
    }

    fn bring(&self, range: &Range<u64>, is_block: bool, task: &Task) -> std::result::Result<Bytes, Trouble> {
        let is_kept = if is_block { self.keeps_blocks.load(Ordering::Relaxed) } else { task.len <= SMALL };
        let cache = self.cache.as_ref().filter(|_| is_kept);
        let counters = &engine().counters;
        let trusted = cache.filter(|_| !self.is_distrusted.load(Ordering::Relaxed));
        if let Some(bytes) = trusted.and_then(|cache| cache.get(self.key, range)) {
            Counters::add(&counters.cache_hits, 1);
            Counters::add(&counters.cache_bytes, task.len);
            return Ok(bytes);
        }
        let is_wanted = || self.parts.lock().get(task.start, task.id).is_some();
        let asked = Asked {
            path: &self.path,
            place: &self.place,
            expected: Some(self.identity),
            range: range.clone(),
            is_wanted: &is_wanted,
        };
        let (bytes, _) = fetch(engine(), &asked)?;
        self.bytes_read.fetch_add(task.len, Ordering::Relaxed);
        if let Some(cache) = cache {
            cache.put(self.key, range, &bytes);
        }
        Ok(Bytes::from(bytes))
    }

    fn push(&self, wanted: Vec<Wanted>, is_urgent: bool) {
        let Some(file) = self.me.upgrade() else { return };
        let task = |(start, id, len)| Task { file: Arc::clone(&file), start, id, len };
        engine().push(wanted.into_iter().map(task).collect(), is_urgent);
    }

    /// Waits until all these parts are there.
    fn wait_for(&self, taken: &[(u64, u64)]) -> std::result::Result<Vec<(u64, Bytes)>, Trouble> {
        let begun = Instant::now();
        let mut has_waited = false;
        let mut parts = self.parts.lock();
        let mut found = Vec::with_capacity(taken.len());
        while let Some((start, id)) = taken.get(found.len()) {
            match parts.get(*start, *id).map(|part| part.state.clone()) {
                Some(State::Ready(bytes)) => found.push((*start, bytes)),
                Some(State::Failed(trouble)) => return Err(trouble),
                // Let go of by another thread that closes what is read here.
                None => return Err(Trouble::Stopped),
                Some(State::Queued { .. } | State::Running) => {
                    has_waited = true;
                    let (guard, is_late) = self.arrived.wait_for(parts, SLICE);
                    parts = guard;
                    if is_late {
                        // Python may be asked whether to stop: not under a lock.
                        drop(parts);
                        if is_interrupted() {
                            return Err(Trouble::Stopped);
                        }
                        parts = self.parts.lock();
                    }
                }
            }
        }
        drop(parts);
        if has_waited {
            engine().counters.waited(begun.elapsed());
        }
        Ok(found)
    }

    fn read_range(&self, range: Range<u64>) -> std::result::Result<Buffer, Trouble> {
        let asked: Vec<_> = pieces(range.clone()).collect();
        let (taken, wanted) = self.parts.lock().take(&asked, true, false);
        self.push(wanted, true);
        let found = self.wait_for(&taken);
        let freed = self.parts.lock().let_go(&taken);
        engine().give_back(freed);
        // Aligned to 64 bytes, as arrow recommends; what came from the network lies anywhere.
        let mut bytes = MutableBuffer::new((range.end - range.start) as usize);
        let mut at = range.start;
        for (start, part) in found? {
            // A part that blocks have cut otherwise may lie under two of our pieces, and is there twice.
            let end = (start + part.len() as u64).min(range.end);
            if end > at {
                bytes.extend_from_slice(&part[(at - start) as usize..(end - start) as usize]);
                at = end;
            }
        }
        Ok(bytes.into())
    }
}

impl Source for RemoteFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.identity.size
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn buffer(&self, offset: u64, len: usize) -> Result<Buffer> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len());
        let Some(end) = end else { return Err(beyond_the_end(&self.path, offset, len, self.len())) };
        if len == 0 {
            return Ok(MutableBuffer::new(0).into());
        }
        self.read_range(offset..end).map_err(|trouble| trouble.into_error(&self.path))
    }

    fn ensure(&self, _offset: u64, _len: usize) -> Result<()> {
        Ok(())
    }

    fn will_need(&self, _offset: u64, _len: usize) {}

    fn drop_behind(&self, _offset: u64, _len: usize) {}

    fn hold(&self, key: u64, ranges: &[Range<u64>], need: Need) {
        let (is_urgent, is_block) = (need != Need::Ahead, need != Need::Headers);
        let wanted = self.parts.lock().hold(key, &coalesce(ranges), is_urgent, is_block);
        self.push(wanted, is_urgent);
    }

    fn release(&self, key: u64) {
        let freed = self.parts.lock().release(key);
        engine().give_back(freed);
    }

    fn release_all(&self) {
        if self.generation != fork_generation() {
            return;
        }
        let freed = self.parts.lock().release_all();
        self.arrived.notify_all();
        engine().give_back(freed);
    }

    fn distrust(&self) {
        self.is_distrusted.store(true, Ordering::Relaxed);
    }

    fn check_intact(&self) -> Result<()> {
        // Every answer was compared with the version that was indexed.
        Ok(())
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }
}

/// Asks which version the object at `path` has now; its first bytes come along.
pub fn probe(path: &Path) -> Result<FileIdentity> {
    let place = Place::default();
    let is_wanted = || !is_interrupted();
    let asked = Asked { path, place: &place, expected: None, range: 0..1, is_wanted: &is_wanted };
    match fetch(engine(), &asked) {
        Ok((_, seen)) => Ok(seen.identity()),
        // Of nothing there is no first byte.
        Err(Trouble::Changed(_)) => Err(Error::corrupt(
            path,
            "the file is empty (0 bytes), its writer was probably stopped; write or upload it again",
        )),
        Err(trouble) => Err(trouble.into_error(path)),
    }
}

/// Copies the object at `path` into the file `to`, which appears when all of it is there.
pub fn download(path: &Path, to: &Path) -> Result<()> {
    let object = RemoteFile::new(path, probe(path)?);
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    // As Python's copies are called, which removes those of the killed.
    let part = to.with_file_name(format!("{name}.{}.part", std::process::id()));
    let copied = copy(object.as_ref(), &part)
        .and_then(|()| std::fs::rename(&part, to).map_err(|error| Error::io("write", to, error)));
    if copied.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    copied
}

fn copy(object: &RemoteFile, part: &Path) -> Result<()> {
    let failed = |error| Error::io("write", part, error);
    let mut file = File::create(part).map_err(failed)?;
    let mut at = 0;
    while at < object.len() {
        let len = (object.len() - at).min(CHUNK);
        file.write_all(&object.buffer(at, len as usize)?).map_err(failed)?;
        at += len;
    }
    file.sync_all().map_err(failed)
}
