//! Memory of pages: mapped all at once, and kept for the pages to come.
//!
//! A system gives out memory zeroed and one small page at a time, each with a fault, which takes as long as copying it
//! twice. Asked for a whole run of pages it takes half of that; and what blocks are made of is of much the same sizes
//! all epoch long.

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

/// Idle bytes are memory beside the blocks' budget.
const MAX_IDLE_BYTES: usize = 16 << 20;

/// Memory is used for what takes at least all but this share of it.
const WASTE: usize = 16;

/// Nobody waits for it: who finds it taken goes to the system. So that a fork can do it no harm either, whoever
/// held it.
static IDLE: Mutex<Idle> = Mutex::new(Idle { bytes: 0, maps: Vec::new() });

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
    fn keep(&mut self, map: Map) -> Vec<Map> {
        self.bytes += map.len();
        self.maps.push(map);
        let mut freed = Vec::new();
        while self.bytes > MAX_IDLE_BYTES {
            let oldest = self.maps.remove(0);
            self.bytes -= oldest.len();
            freed.push(oldest);
        }
        freed
    }
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
        let mapped = if len < MIN_MAPPED { None } else { idle(len).or_else(|| Map::new(len)) };
        let bytes = match mapped {
            Some(map) => Bytes::Mapped(map),
            None => Bytes::Allocated(allocated(len)?),
        };
        Ok(Self { bytes, len })
    }
}

fn idle(len: usize) -> Option<Map> {
    IDLE.try_lock().ok()?.take(len)
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
            // Unmapped behind the lock.
            let freed = IDLE.try_lock().ok().map(|mut idle| idle.keep(map));
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
            assert!(idle.keep(map(len)).is_empty());
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
        let freed: usize = (0..40).map(|_| idle.keep(map(1 << 20)).len()).sum();
        assert_eq!((idle.bytes, idle.maps.len(), freed), (MAX_IDLE_BYTES, 16, 24));
        assert_eq!(idle.keep(map(MAX_IDLE_BYTES + 1)).len(), 17);
        assert_eq!((idle.bytes, idle.maps.len()), (0, 0));
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
