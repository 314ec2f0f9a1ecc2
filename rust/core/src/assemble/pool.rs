//! Reused memory for batches: aligned, writable, returned by whoever drops it last.
//!
//! A batch goes to the consumer as an owned buffer and comes back when its tensor dies, on any
//! thread; the buffer returned last is given out first, because it still lies in the cache. Page
//! faults and pinning are paid once for a buffer, not once for a batch.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, mem,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use bytemuck::{Pod, Zeroable};

use crate::{
    Error, Result,
    prefetch::{fork_generation, watch_forks},
};

/// The alignment of every buffer: a cache line, and what torch and Arrow like best.
pub const ALIGNMENT: usize = 64;

// Below this a buffer costs more to account for than to keep.
const MIN_LINES: usize = 16;

#[repr(C, align(64))]
#[derive(Clone, Copy, Zeroable, Pod)]
struct Line([u8; ALIGNMENT]);

/// Called with a pinned buffer's bytes right before they are freed, on the thread that frees them.
pub type Unpin = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Gives out buffers and takes them back; keeps at most a number of idle bytes.
///
/// ```
/// use rowmill_core::assemble::pool::Pool;
///
/// let pool = Pool::new(1 << 20);
/// let mut batch = pool.get(8 * 2048 * 8);
/// batch.as_mut_of::<i64>().fill(7);
/// let id = batch.id();
/// drop(batch);
/// assert_eq!(pool.get(8 * 2048 * 8).id(), id);
/// ```
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// How much memory a pool holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes of buffers in use.
    pub bytes_out: usize,
    /// Bytes of buffers that wait for the next use.
    pub bytes_idle: usize,
    /// Buffers that had to be allocated.
    pub allocations: u64,
    /// Buffers that were given out again.
    pub reuses: u64,
}

struct Shared {
    max_idle_bytes: usize,
    fork_generation: u64,
    shelves: Mutex<Shelves>,
}

#[derive(Default)]
struct Shelves {
    /// Idle memory by capacity in lines; the one used last at the back, with the tick of its return.
    idle: BTreeMap<usize, VecDeque<(u64, Memory)>>,
    tick: u64,
    stats: PoolStats,
}

impl Pool {
    /// A pool that keeps up to `max_idle_bytes` for reuse; what comes back beyond that displaces
    /// what lay idle longest.
    pub fn new(max_idle_bytes: usize) -> Self {
        watch_forks();
        let (fork_generation, shelves) = (fork_generation(), Mutex::default());
        Self { shared: Arc::new(Shared { max_idle_bytes, fork_generation, shelves }) }
    }

    /// A buffer of `len` bytes, whose contents are whatever an earlier user left (or zero).
    ///
    /// # Panics
    /// When there is no such memory: for lengths that come from a file use [`Pool::try_get`].
    pub fn get(&self, len: usize) -> PoolBuffer {
        match self.try_get(len) {
            Ok(buffer) => buffer,
            Err(error) => panic!("a batch's length was checked before its buffer was asked for: {error}"),
        }
    }

    /// As [`Pool::get`], with an error when there is no such memory.
    pub fn try_get(&self, len: usize) -> Result<PoolBuffer> {
        let lines = class_lines(len);
        if self.shared.is_forked() {
            // The lock may be held by a thread that is not there.
            return Ok(PoolBuffer { len, memory: Some(Memory::try_new(lines, len)?), home: Weak::new() });
        }
        let memory = match self.shared.take(lines) {
            Some(memory) => memory,
            None => Memory::try_new(lines, len)?,
        };
        self.shared.lock().stats.bytes_out += memory.capacity();
        Ok(PoolBuffer { len, memory: Some(memory), home: Arc::downgrade(&self.shared) })
    }

    /// How much is in use and idle; all zero in a forked child.
    pub fn stats(&self) -> PoolStats {
        if self.shared.is_forked() { PoolStats::default() } else { self.shared.lock().stats }
    }

    /// Frees all idle memory.
    pub fn clear(&self) {
        if !self.shared.is_forked() {
            let mut shelves = self.shared.lock();
            shelves.stats.bytes_idle = 0;
            let idle = mem::take(&mut shelves.idle);
            // Unpinning is foreign code: never under the lock.
            drop(shelves);
            drop(idle);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Shared {
    fn is_forked(&self) -> bool {
        self.fork_generation != fork_generation()
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, lines: usize) -> Option<Memory> {
        let mut shelves = self.lock();
        let taken = shelves.idle.get_mut(&lines).and_then(VecDeque::pop_back);
        let Some((_, memory)) = taken else {
            shelves.stats.allocations += 1;
            return None;
        };
        shelves.stats.reuses += 1;
        shelves.stats.bytes_idle -= memory.capacity();
        Some(memory)
    }

    fn put(&self, memory: Memory) {
        let mut freed = Vec::new();
        let mut shelves = self.lock();
        let capacity = memory.capacity();
        shelves.stats.bytes_out -= capacity;
        if capacity > self.max_idle_bytes {
            freed.push(memory);
        } else {
            while shelves.stats.bytes_idle + capacity > self.max_idle_bytes {
                match shelves.take_coldest() {
                    Some(coldest) => freed.push(coldest),
                    None => break,
                }
            }
            shelves.keep(memory);
        }
        drop(shelves);
        drop(freed);
    }
}

impl Shelves {
    fn keep(&mut self, memory: Memory) {
        self.tick += 1;
        self.stats.bytes_idle += memory.capacity();
        self.idle.entry(memory.lines.len()).or_default().push_back((self.tick, memory));
    }

    fn take_coldest(&mut self) -> Option<Memory> {
        let tick_of = |shelf: &VecDeque<(u64, Memory)>| shelf.front().map(|(tick, _)| *tick);
        let shelf =
            self.idle.values_mut().filter(|shelf| !shelf.is_empty()).min_by_key(|shelf| tick_of(shelf))?;
        let (_, memory) = shelf.pop_front()?;
        self.stats.bytes_idle -= memory.capacity();
        Some(memory)
    }
}

/// Bytes that one owner may write; dropping returns them to their pool, or frees them if it is gone.
pub struct PoolBuffer {
    len: usize,
    // None only while it is being dropped.
    memory: Option<Memory>,
    home: Weak<Shared>,
}

impl PoolBuffer {
    /// Length in bytes, as asked for.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it was asked for with length 0.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory behind it.
    pub fn capacity(&self) -> usize {
        self.memory().capacity()
    }

    /// Names the memory: the same as long as it is reused, never given to other memory.
    pub fn id(&self) -> u64 {
        self.memory().id
    }

    /// All bytes, to read.
    pub fn as_slice(&self) -> &[u8] {
        &self.memory().bytes()[..self.len]
    }

    /// All bytes, to write.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len;
        match &mut self.memory {
            Some(memory) => &mut bytemuck::cast_slice_mut(&mut memory.lines)[..len],
            None => &mut [],
        }
    }

    /// The whole elements that fit into the length, to read.
    pub fn as_of<T: Pod>(&self) -> &[T] {
        bytemuck::cast_slice(&self.as_slice()[..whole_elements::<T>(self.len)])
    }

    /// The whole elements that fit into the length, to write.
    pub fn as_mut_of<T: Pod>(&mut self) -> &mut [T] {
        let whole = whole_elements::<T>(self.len);
        bytemuck::cast_slice_mut(&mut self.as_mut_slice()[..whole])
    }

    /// Whether the memory was pinned, by this user or an earlier one.
    pub fn is_pinned(&self) -> bool {
        self.memory().unpin.get().is_some()
    }

    /// Pins the memory once: runs `register` on all of its bytes unless that was done before.
    ///
    /// Pinned memory is pooled like other memory and stays pinned; `unpin` is called when it is
    /// really freed, so a driver never holds an address that is gone. In a forked child it is
    /// neither unpinned nor freed: the registration belongs to the parent.
    pub fn pin<E>(
        &mut self,
        register: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
        unpin: Unpin,
    ) -> std::result::Result<(), E> {
        if let Some(memory) = self.memory.as_mut().filter(|memory| memory.unpin.get().is_none()) {
            register(bytemuck::cast_slice_mut(&mut memory.lines))?;
            let _ = memory.unpin.set(unpin);
        }
        Ok(())
    }

    fn memory(&self) -> &Memory {
        self.memory.as_ref().expect("a buffer has its memory until it is dropped")
    }
}

impl Deref for PoolBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for PoolBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl Drop for PoolBuffer {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        match self.home.upgrade() {
            Some(home) if !home.is_forked() => home.put(memory),
            _ => drop(memory),
        }
    }
}

impl fmt::Debug for PoolBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = formatter.debug_struct("PoolBuffer");
        text.field("id", &self.id()).field("len", &self.len).finish_non_exhaustive()
    }
}

struct Memory {
    lines: Vec<Line>,
    id: u64,
    unpin: OnceLock<Unpin>,
    fork_generation: u64,
}

impl Memory {
    fn try_new(num_lines: usize, len: usize) -> Result<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let mut lines = Vec::new();
        lines.try_reserve_exact(num_lines).map_err(|_| {
            Error::InvalidArgument(format!("a batch of {len} bytes does not fit in memory; make it smaller"))
        })?;
        lines.resize(num_lines, Line::zeroed());
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Self { lines, id, unpin: OnceLock::new(), fork_generation: fork_generation() })
    }

    fn capacity(&self) -> usize {
        self.lines.len() * ALIGNMENT
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(unpin) = self.unpin.get() {
            if self.fork_generation == fork_generation() {
                unpin(self.bytes());
            } else {
                mem::forget(mem::take(&mut self.lines));
            }
        }
    }
}

// Four sizes to a doubling: at most a quarter is wasted, and batches of nearly the same size share.
fn class_lines(len: usize) -> usize {
    let lines = len.div_ceil(ALIGNMENT).max(MIN_LINES);
    let step = (1 << lines.ilog2()) / 4;
    lines.div_ceil(step).saturating_mul(step)
}

fn whole_elements<T: Pod>(len: usize) -> usize {
    const { assert!(size_of::<T>() > 0 && align_of::<T>() <= ALIGNMENT) };
    len / size_of::<T>() * size_of::<T>()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{convert::Infallible, thread};

    use super::*;

    #[test]
    fn buffers_are_aligned_and_at_most_a_quarter_larger() {
        let pool = Pool::new(0);
        for len in (0..20).map(|bit| 1 << bit).flat_map(|len| [len - 1, len, len + 1, len * 5 / 3]) {
            let mut buffer = pool.get(len);
            assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
            assert_eq!((buffer.len(), buffer.as_mut_slice().len()), (len, len));
            assert!(buffer.capacity() >= len);
            assert!(buffer.capacity() <= (len * 5 / 4 + ALIGNMENT).max(MIN_LINES * ALIGNMENT), "{len}");
        }
    }

    #[test]
    fn the_buffer_returned_last_is_given_out_first_with_its_old_bytes() {
        let pool = Pool::new(1 << 20);
        let (cold, mut hot) = (pool.get(5000), pool.get(5000));
        hot.fill(9);
        let ids = (hot.id(), cold.id());
        drop(cold);
        drop(hot);
        let (first, second) = (pool.get(4990), pool.get(5000));
        assert_eq!((first.id(), second.id()), ids);
        assert!(first.iter().all(|byte| *byte == 9));
        assert_eq!((pool.stats().allocations, pool.stats().reuses), (2, 2));
    }

    #[test]
    fn idle_bytes_are_bounded_and_the_coldest_goes_first() {
        let pool = Pool::new(3 * 4096);
        let buffers: Vec<_> = (0..5).map(|_| pool.get(4096)).collect();
        let newest = buffers[4].id();
        assert_eq!(pool.stats().bytes_out, 5 * 4096);
        buffers.into_iter().for_each(drop);
        assert_eq!((pool.stats().bytes_out, pool.stats().bytes_idle), (0, 3 * 4096));
        drop(pool.get(2 * 4096));
        assert_eq!(pool.stats().bytes_idle, 3 * 4096, "two cold small ones made place");
        assert_eq!(pool.get(4096).id(), newest);
        drop(pool.get(1 << 20));
        assert!(pool.stats().bytes_idle <= 3 * 4096, "too large to keep");
        pool.clear();
        assert_eq!(pool.stats().bytes_idle, 0);
    }

    #[test]
    fn buffers_come_back_from_any_thread_and_outlive_their_pool() {
        let pool = Pool::new(1 << 20);
        let (there, orphan) = (pool.get(4096), pool.get(4096));
        thread::spawn(move || drop(there)).join().expect("the thread ends");
        assert_eq!(pool.stats().bytes_idle, 4096);
        drop(pool);
        assert_eq!(orphan.len(), 4096);
        drop(orphan);
    }

    #[test]
    fn a_length_that_cannot_be_is_an_error() {
        let pool = Pool::new(0);
        for len in [usize::MAX, usize::MAX / 2, isize::MAX as usize] {
            assert!(matches!(pool.try_get(len), Err(Error::InvalidArgument(_))));
        }
    }

    #[test]
    fn elements_are_whole() {
        let mut buffer = Pool::new(0).get(17);
        assert_eq!((buffer.as_mut_of::<i64>().len(), buffer.as_of::<u16>().len()), (2, 8));
    }

    #[test]
    fn memory_is_pinned_once_and_unpinned_when_freed() {
        let pool = Pool::new(8192);
        let unpinned = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&unpinned);
        let unpin: Unpin = Arc::new(move |bytes| log.lock().unwrap().push(bytes.as_ptr() as usize));
        let mut registered = Vec::new();
        for _ in 0..3 {
            let mut buffer = pool.get(4096);
            let register = |bytes: &mut [u8]| {
                registered.push(bytes.as_ptr() as usize);
                Ok::<_, Infallible>(())
            };
            buffer.pin(register, Arc::clone(&unpin)).unwrap();
            assert!(buffer.is_pinned());
        }
        assert_eq!(registered.len(), 1);
        assert!(unpinned.lock().unwrap().is_empty());
        assert!(pool.get(4096).pin(|_| Err("never called"), unpin).is_ok());
        drop(pool);
        assert_eq!(*unpinned.lock().unwrap(), registered);
    }

    #[test]
    fn memory_that_was_not_registered_is_not_pinned() {
        let mut buffer = Pool::new(0).get(64);
        let unpin: Unpin = Arc::new(|_| unreachable!("it never was pinned"));
        assert_eq!(buffer.pin(|_| Err("no driver"), unpin), Err("no driver"));
        assert!(!buffer.is_pinned());
    }
}
