//! Reads everything once: each block decoded and checked, each file and each block with a checksum.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use xxhash_rust::xxh3::Xxh3;

use super::content;
use super::table::Table;
use crate::error::{Error, Result};
use crate::panics::guarded;
use crate::source::remote::is_remote;
use crate::source::{self, FileIdentity, IoMode};

/// How often the caller is asked whether to go on.
const SLICE: Duration = Duration::from_millis(100);

const CHUNK: usize = 1 << 20;

/// The same of an object on a network: several requests at a time.
const OBJECT_CHUNK: u64 = 64 << 20;

/// What reading a whole shard found.
#[derive(Debug)]
pub struct ShardVerdict {
    /// The file.
    pub path: PathBuf,
    /// Its length when it was opened.
    pub num_bytes: u64,
    /// xxh3-128 of its bytes; `None` where they cannot be read.
    pub checksum: Option<u128>,
    /// Its blocks in storage order.
    pub blocks: Vec<BlockVerdict>,
    /// Everything that is wrong with it.
    pub problems: Vec<Error>,
}

/// What reading a block found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockVerdict {
    /// Where it lies in the file.
    pub offset: u64,
    /// How many rows it has.
    pub num_rows: u64,
    /// xxh3-128 over its values; `None` where it is damaged.
    pub checksum: Option<u128>,
}

/// How far a verification is, in bytes read and decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Reads all of `table` on `num_threads` threads; `None` where `watch`, which is asked ten times a second, said
/// to stop.
///
/// Damage is what this is looking for, and stands in the verdicts; only threads that cannot start are an error.
pub fn verify(
    table: &Table,
    num_threads: usize,
    watch: &mut dyn FnMut(Progress) -> bool,
) -> Result<Option<Vec<ShardVerdict>>> {
    let work = Work::new(table, num_threads.max(1));
    let outcomes = thread::scope(|scope| {
        let threads: Vec<_> = (0..work.num_threads)
            .map_while(|index| {
                let name = format!("rowmill-verify-{index}");
                thread::Builder::new().name(name).spawn_scoped(scope, || work.take_turns()).ok()
            })
            .collect();
        if threads.is_empty() {
            return Err(Error::Internal("the system starts no thread".to_owned()));
        }
        *work.running.lock() -= work.num_threads - threads.len();
        work.wait(watch);
        let joined = threads.into_iter().map(|thread| {
            thread.join().map_err(|_| Error::Internal("a thread of verify panicked".to_owned()))
        });
        Ok(joined.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>())
    })?;
    Ok((!work.is_stopped.load(Ordering::Relaxed)).then(|| work.verdicts(outcomes)))
}

/// One turn of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    File(usize),
    Block(usize),
}

type Outcome = (Job, Result<u128>);

struct Work<'a> {
    table: &'a Table,
    /// A file's bytes right before its blocks, which then find them in the page cache.
    jobs: Vec<Job>,
    next: AtomicUsize,
    done: AtomicU64,
    total: u64,
    is_stopped: AtomicBool,
    num_threads: usize,
    /// Threads that have not ended.
    running: Mutex<usize>,
    ended: Condvar,
}

impl<'a> Work<'a> {
    fn new(table: &'a Table, num_threads: usize) -> Self {
        let manifest = table.manifest();
        let jobs: Vec<_> = (0..manifest.num_shards())
            .flat_map(|shard| {
                std::iter::once(Job::File(shard)).chain(manifest.shard(shard).blocks.map(Job::Block))
            })
            .collect();
        let decoded = manifest.block_bytes().iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let num_threads = num_threads.min(jobs.len()).max(1);
        Self {
            table,
            jobs,
            next: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            total: manifest.total_bytes().saturating_add(decoded),
            is_stopped: AtomicBool::new(false),
            num_threads,
            running: Mutex::new(num_threads),
            ended: Condvar::new(),
        }
    }

    fn wait(&self, watch: &mut dyn FnMut(Progress) -> bool) {
        loop {
            let mut running = self.running.lock();
            if *running > 0 {
                self.ended.wait_for(&mut running, SLICE);
            }
            let is_over = *running == 0;
            drop(running);
            let progress = Progress { done: self.done.load(Ordering::Relaxed), total: self.total };
            if !watch(progress) {
                self.is_stopped.store(true, Ordering::Relaxed);
                return;
            }
            if is_over {
                return;
            }
        }
    }

    fn take_turns(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some(job) = self.jobs.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if self.is_stopped.load(Ordering::Relaxed) {
                break;
            }
            let result = guarded(|| self.run(*job));
            let unwound = |text| Err(Error::Internal(format!("reading {job:?} panicked: {text}")));
            outcomes.push((*job, result.unwrap_or_else(unwound)));
        }
        *self.running.lock() -= 1;
        self.ended.notify_one();
        outcomes
    }

    fn run(&self, job: Job) -> Result<u128> {
        match job {
            Job::File(shard) => {
                let shard = self.table.manifest().shard(shard);
                if is_remote(shard.path) {
                    self.object(shard.path, shard.identity)
                } else {
                    self.file(shard.path)
                }
            }
            Job::Block(index) => {
                let checksum = self.block(index);
                self.done.fetch_add(self.table.manifest().block_bytes()[index], Ordering::Relaxed);
                checksum
            }
        }
    }

    fn file(&self, path: &Path) -> Result<u128> {
        let mut file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let (mut hasher, mut chunk) = (Xxh3::new(), vec![0; CHUNK]);
        loop {
            let read = file.read(&mut chunk).map_err(|error| Error::io("read", path, error))?;
            if read == 0 || self.is_stopped.load(Ordering::Relaxed) {
                return Ok(hasher.digest128());
            }
            hasher.update(&chunk[..read]);
            self.done.fetch_add(read as u64, Ordering::Relaxed);
        }
    }

    fn object(&self, path: &Path, identity: FileIdentity) -> Result<u128> {
        let object = source::open(path, IoMode::Read, Some(identity))?;
        let (mut hasher, mut at) = (Xxh3::new(), 0);
        while at < object.len() && !self.is_stopped.load(Ordering::Relaxed) {
            let chunk = object.buffer(at, (object.len() - at).min(OBJECT_CHUNK) as usize)?;
            hasher.update(&chunk);
            at += chunk.len() as u64;
            self.done.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        Ok(hasher.digest128())
    }

    fn block(&self, index: usize) -> Result<u128> {
        let (_, meta) = self.table.manifest().block(index);
        let block = self.table.block(index)?;
        // Each block is looked at once: none of them is worth keeping.
        self.table.cache.remove(index as u64);
        if block.num_rows as u64 != meta.num_rows {
            return Err(block.corrupt(format!("{} rows, not the {} indexed", block.num_rows, meta.num_rows)));
        }
        block.ensure_all()?;
        content::checksum(&block, self.table.schema().fields())
    }

    fn verdicts(&self, mut outcomes: Vec<Outcome>) -> Vec<ShardVerdict> {
        let manifest = self.table.manifest();
        let mut verdicts: Vec<_> = (0..manifest.num_shards())
            .map(|index| {
                let shard = manifest.shard(index);
                ShardVerdict {
                    path: shard.path.to_owned(),
                    num_bytes: shard.identity.size,
                    checksum: None,
                    blocks: Vec::with_capacity(shard.blocks.len()),
                    problems: Vec::new(),
                }
            })
            .collect();
        // Files before blocks, blocks in storage order.
        outcomes.sort_unstable_by_key(|(job, _)| *job);
        for (job, result) in outcomes {
            let (shard, checksum) = match job {
                Job::File(shard) => (shard, &mut verdicts[shard].checksum),
                Job::Block(index) => {
                    let (shard, meta) = manifest.block(index);
                    let blocks = &mut verdicts[shard].blocks;
                    let verdict =
                        BlockVerdict { offset: meta.offset, num_rows: meta.num_rows, checksum: None };
                    blocks.push(verdict);
                    let last = blocks.len() - 1;
                    (shard, &mut blocks[last].checksum)
                }
            };
            match result {
                Ok(found) => *checksum = Some(found),
                Err(error) => verdicts[shard].problems.push(error),
            }
        }
        verdicts
    }
}
