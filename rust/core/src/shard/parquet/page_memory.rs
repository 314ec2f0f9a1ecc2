//! Memory of pages: mapped all at once, and kept for the pages to come.
//!
//! A system gives out memory zeroed and one small page at a time, each with a fault, which takes as long as copying it
//! twice. Asked for a whole run of pages it takes half of that; and what blocks are made of is of much the same sizes
//! all epoch long. The windows of all lanes fill and empty together: while a stream is read, what the last windows
//! gave back waits for the next ones, so that no more is held than they held when they were full.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::MmapMut;
use parquet::errors::{ParquetError, Result};

/// Smaller memory comes from the allocator's own stores.
const MIN_MAPPED: usize = 256 << 10;

/// A process may have 65,530 maps in all where nobody said otherwise, and others need some.
const MAX_MAPS: usize = 16 << 10;

/// Maps there are at present.
static NUM_MAPS: AtomicUsize = AtomicUsize::new(0);

/// More is a claim until it is used.
const MAX_POPULATED: usize = 32 << 20;

/// Idle bytes are memory beside the blocks' budget; while a stream is read, beside the most that its blocks held.
const MAX_IDLE_BYTES: usize = 16 << 20;

/// Memory is used for what takes at least all but this share of it.
const WASTE: usize = 16;

/// Nobody waits for it: who finds it taken goes to the system. So that a fork can do it no harm either, whoever
/// held it.
static IDLE: Mutex<Idle> = Mutex::new(Idle { bytes: 0, maps: Vec::new() });

/// Who reads at present, and the bytes that are used: mapped, and not idle.
static USE: Use = Use::new();

#[derive(Debug)]
struct Idle {
    bytes: usize,
    maps: Vec<Map>,
}

impl Idle {
    /// The smallest that fits, where one does.
    fn take(&mut self, len: usize) -> Option<Map> {
        let most = len + len / WASTE;
        let fitting = self.maps.iter().enumerate().filter(|(_, one)| (len..=most).contains(&one.len()));
        let (index, _) = fitting.min_by_key(|(_, one)| one.len())?;
        let map = self.maps.swap_remove(index);
        self.bytes -= map.len();
        Some(map)
    }

    /// Keeps memory, and gives back what there is no place for.
    fn keep(&mut self, map: Map, most: usize) -> Vec<Map> {
        self.bytes += map.len();
        self.maps.push(map);
        self.trim(most)
    }

    /// What there is no place for, the longest idle of it first.
    fn trim(&mut self, most: usize) -> Vec<Map> {
        let (mut bytes, mut count) = (self.bytes, 0);
        while bytes > most {
            bytes -= self.maps[count].len();
            count += 1;
        }
        self.bytes = bytes;
        self.maps.drain(..count).collect()
    }
}

#[derive(Debug)]
struct Use {
    readers: AtomicUsize,
    bytes: AtomicUsize,
    /// The most bytes at a time since the first of the readers came.
    most: AtomicUsize,
}

impl Use {
    const fn new() -> Self {
        Self { readers: AtomicUsize::new(0), bytes: AtomicUsize::new(0), most: AtomicUsize::new(0) }
    }

    fn begin(&self, len: usize) {
        let bytes = self.bytes.fetch_add(len, Ordering::Relaxed) + len;
        self.most.fetch_max(bytes, Ordering::Relaxed);
    }

    fn end(&self, len: usize) {
        self.bytes.fetch_sub(len, Ordering::Relaxed);
    }

    fn enter(&self) {
        if self.readers.fetch_add(1, Ordering::Relaxed) == 0 {
            self.most.store(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Whether it was the last one.
    fn leave(&self) -> bool {
        self.readers.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// So many bytes may lie idle now.
    fn most_idle(&self) -> usize {
        if self.readers.load(Ordering::Relaxed) == 0 {
            return MAX_IDLE_BYTES;
        }
        let given_back = self.most.load(Ordering::Relaxed).saturating_sub(self.bytes.load(Ordering::Relaxed));
        given_back + MAX_IDLE_BYTES
    }
}

/// While one lives, memory that blocks give back is kept for the blocks to come: never so much that it and what is used
/// are more than was used at a time.
#[derive(Debug)]
pub struct KeptMemory(());

impl KeptMemory {
    /// Somebody begins to read.
    pub fn hold() -> Self {
        USE.enter();
        Self(())
    }
}

impl Drop for KeptMemory {
    fn drop(&mut self) {
        if USE.leave() {
            // Nobody comes after this one; who holds the lock holds it for a moment, or did before a fork.
            let _ = (0..1_000).any(|_| {
                let is_done = trim_idle();
                if !is_done {
                    std::thread::yield_now();
                }
                is_done
            });
        }
    }
}

/// Gives back what may not lie idle any more; unmapped behind the lock.
fn trim_idle() -> bool {
    let freed = IDLE.try_lock().ok().map(|mut idle| idle.trim(USE.most_idle()));
    freed.is_some()
}

/// The bytes of one page.
#[derive(Debug)]
pub(super) struct PageMemory {
    bytes: Bytes,
    len: usize,
}

#[derive(Debug)]
enum Bytes {
    /// At least as long as the page.
    Mapped(Map),
    Allocated(Vec<u8>),
    /// Only while it is dropped.
    Gone,
}

impl PageMemory {
    /// Memory of `len` bytes that hold anything.
    ///
    /// # Errors
    /// Where there is no such memory.
    pub fn take(len: usize) -> Result<Self> {
        let mapped = if len < MIN_MAPPED { None } else { mapped(len) };
        let bytes = match mapped {
            Some(map) => Bytes::Mapped(map),
            None => Bytes::Allocated(allocated(len)?),
        };
        Ok(Self { bytes, len })
    }
}

fn mapped(len: usize) -> Option<Map> {
    let idle = IDLE.try_lock().ok().and_then(|mut idle| idle.take(len));
    let is_new = idle.is_none();
    let map = idle.or_else(|| Map::new(len))?;
    USE.begin(map.len());
    if is_new {
        // What lies idle is of other sizes, and gives way.
        trim_idle();
    }
    Some(map)
}

/// Mapped memory, which is counted.
#[derive(Debug)]
struct Map(MmapMut);

impl Map {
    /// It is there already where the system can do that at once.
    fn new(len: usize) -> Option<Self> {
        if NUM_MAPS.fetch_add(1, Ordering::Relaxed) >= MAX_MAPS {
            NUM_MAPS.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let map = MmapMut::map_anon(len).inspect_err(|_| {
            NUM_MAPS.fetch_sub(1, Ordering::Relaxed);
        });
        let map = Self(map.ok()?);
        #[cfg(target_os = "linux")]
        if len <= MAX_POPULATED {
            // Linux before 5.14 cannot: its pages come one by one then.
            let _ = map.0.advise(memmap2::Advice::PopulateWrite);
        }
        Some(map)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        NUM_MAPS.fetch_sub(1, Ordering::Relaxed);
    }
}

fn allocated(len: usize) -> Result<Vec<u8>> {
    bytemuck::try_zeroed_vec(len)
        .map_err(|()| ParquetError::General(format!("there is no memory for a page of {len} bytes")))
}

impl Drop for PageMemory {
    fn drop(&mut self) {
        if let Bytes::Mapped(map) = std::mem::replace(&mut self.bytes, Bytes::Gone) {
            USE.end(map.len());
            // Unmapped behind the lock.
            let freed = IDLE.try_lock().ok().map(|mut idle| idle.keep(map, USE.most_idle()));
            drop(freed);
        }
    }
}

impl Deref for PageMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => &map.0[..self.len],
            Bytes::Allocated(bytes) => bytes,
            Bytes::Gone => &[],
        }
    }
}

impl DerefMut for PageMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.bytes {
            Bytes::Mapped(map) => &mut map.0[..self.len],
            Bytes::Allocated(bytes) => bytes,
            Bytes::Gone => &mut [],
        }
    }
}

impl AsRef<[u8]> for PageMemory {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(len: usize) -> Map {
        Map::new(len).unwrap()
    }

    #[test]
    fn what_fits_closely_is_used_again() {
        let mut idle = Idle { bytes: 0, maps: Vec::new() };
        for len in [1600, 1000, 1040] {
            assert!(idle.keep(map(len), MAX_IDLE_BYTES).is_empty());
        }
        assert_eq!(idle.bytes, 3640);
        assert_eq!(idle.take(990).map(|one| one.len()), Some(1000));
        assert_eq!(idle.take(990).map(|one| one.len()), Some(1040));
        assert!(idle.take(990).is_none(), "too much of it would lie waste");
        assert!(idle.take(1601).is_none());
        assert_eq!(idle.bytes, 1600);
    }

    #[test]
    fn no_more_lies_idle_than_may() {
        let mut idle = Idle { bytes: 0, maps: Vec::new() };
        let freed: usize = (0..40).map(|_| idle.keep(map(1 << 20), 16 << 20).len()).sum();
        assert_eq!((idle.bytes, idle.maps.len(), freed), (16 << 20, 16, 24));
        assert_eq!(idle.trim(5 << 20).len(), 11);
        assert_eq!(idle.keep(map((16 << 20) + 1), 16 << 20).len(), 6);
        assert_eq!((idle.bytes, idle.maps.len()), (0, 0));
    }

    #[test]
    fn what_full_windows_held_is_kept_while_somebody_reads() {
        let using = Use::new();
        let both = |using: &Use, idle: usize| using.bytes.load(Ordering::Relaxed) + idle;
        using.begin(100);
        assert_eq!(using.most_idle(), MAX_IDLE_BYTES, "nobody reads");
        using.enter();
        using.begin(900);
        assert_eq!(using.most_idle(), MAX_IDLE_BYTES);
        using.end(700);
        assert_eq!(both(&using, using.most_idle()), 1000 + MAX_IDLE_BYTES);
        using.begin(200);
        assert_eq!(both(&using, using.most_idle()), 1000 + MAX_IDLE_BYTES);
        using.enter();
        assert!(!using.leave());
        assert_eq!(both(&using, using.most_idle()), 1000 + MAX_IDLE_BYTES);
        assert!(using.leave());
        assert_eq!(using.most_idle(), MAX_IDLE_BYTES);
        using.enter();
        assert_eq!(both(&using, using.most_idle()), 500 + MAX_IDLE_BYTES, "of this reader's own time");
    }

    #[test]
    fn pages_come_back_and_hold_what_they_are_asked_for() {
        for len in [0, 1, MIN_MAPPED - 1, MIN_MAPPED, 3 * MIN_MAPPED + 5] {
            for _ in 0..3 {
                let mut page = PageMemory::take(len).unwrap();
                assert_eq!(page.len(), len);
                page.fill(9);
                assert!(page.as_ref().iter().all(|byte| *byte == 9));
            }
        }
        assert!(PageMemory::take(usize::MAX / 2).is_err());
    }
}
