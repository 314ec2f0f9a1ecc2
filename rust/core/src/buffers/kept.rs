//! A few maps that were given back: the next buffers take them over with their pages, which new ones would fault in.

use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

/// Maps kept at most.
const MAX_MAPS: usize = 32;

/// Bytes of them at most.
pub(super) const MAX_BYTES: usize = 48 << 20;

/// Of a map and its length; the oldest first, empty ones behind.
type Slot = (*mut u8, usize);

const EMPTY: Slot = (null_mut(), 0);

/// Maps that are nobody's. Who finds it taken goes without: to wait here could be for ever after a fork.
#[derive(Debug)]
pub(super) struct Kept {
    is_taken: AtomicBool,
    slots: UnsafeCell<[Slot; MAX_MAPS]>,
}

// SAFETY: one thread at a time looks at the slots, and the maps in them are no thread's.
unsafe impl Sync for Kept {}
// SAFETY: as above.
unsafe impl Send for Kept {}

impl Kept {
    pub const fn new() -> Self {
        Self { is_taken: AtomicBool::new(false), slots: UnsafeCell::new([EMPTY; MAX_MAPS]) }
    }

    /// A map of exactly this length, the one kept last.
    pub fn take(&self, len: usize) -> Option<*mut u8> {
        self.with(|slots| {
            let at = slots.iter().rposition(|slot| slot.1 == len)?;
            let (map, _) = std::mem::replace(&mut slots[at], EMPTY);
            slots[at..].rotate_left(1);
            Some(map)
        })?
    }

    /// Keeps a map, and gives back for it those that there is no more room for.
    pub fn put(&self, map: *mut u8, len: usize, give_back: impl Fn(*mut u8, usize)) {
        let is_kept = len <= MAX_BYTES / 2
            && self
                .with(|slots| {
                    let held: usize = slots.iter().map(|slot| slot.1).sum();
                    let (mut held, mut has_free) = (held, slots[MAX_MAPS - 1].1 == 0);
                    while held + len > MAX_BYTES || !has_free {
                        let (oldest, oldest_len) = std::mem::replace(&mut slots[0], EMPTY);
                        slots.rotate_left(1);
                        give_back(oldest, oldest_len);
                        (held, has_free) = (held - oldest_len, true);
                    }
                    if let Some(free) = slots.iter_mut().find(|slot| slot.1 == 0) {
                        *free = (map, len);
                    }
                })
                .is_some();
        if !is_kept {
            give_back(map, len);
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut [Slot; MAX_MAPS]) -> T) -> Option<T> {
        if self.is_taken.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: whoever else comes finds it taken.
        let seen = look(unsafe { &mut *self.slots.get() });
        self.is_taken.store(false, Ordering::Release);
        Some(seen)
    }
}
