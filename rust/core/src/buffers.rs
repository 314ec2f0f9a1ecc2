//! Where large buffers come from: straight from the system, in huge pages, and straight back.
//!
//! Decoded blocks are megabytes that come and go for hours. In the heap they leave holes between them, which the
//! process keeps: up to as much again as the blocks. And memory that is new costs a fault for each 4 KiB, which took
//! a third of the time of decoding. A map of its own for each large buffer leaves no holes, comes 2 MiB at a time
//! where the system has huge pages, and is the system's again when it is done with; but for a few, which the next
//! blocks take over.
//!
//! Nobody waits for anybody here, so a process may fork at any time.

mod kept;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{Advice, MapFlags, MremapFlags, ProtFlags, madvise, mmap_anonymous, mremap, munmap};

use self::kept::Kept;

/// Buffers from this size on are maps of their own.
const LARGE: usize = 1 << 20;

/// What a huge page holds on most systems.
const HUGE: usize = 2 << 20;

/// Maps are multiples of this, and this is one of the pages of any system.
const GRAIN: usize = 64 << 10;

/// Maps are rounded up to this part of their size, so that one fits the next buffer about as large.
const STEP: usize = 8;

/// Maps at most: a process may have 65,530, and a buffer can take two.
const MAX_MAPS: usize = 16 << 10;

/// Large buffers of the heap begin this far behind a [`GRAIN`]; maps begin on one.
const HEAP_OFFSET: usize = 64;

/// The system's allocator, but for large buffers.
#[derive(Debug)]
pub struct LargeBuffers {
    num_maps: AtomicUsize,
    max_maps: usize,
    kept: Kept,
}

impl LargeBuffers {
    /// One for `#[global_allocator]`.
    #[allow(clippy::new_without_default, reason = "an allocator is a static")]
    pub const fn new() -> Self {
        Self { num_maps: AtomicUsize::new(0), max_maps: MAX_MAPS, kept: Kept::new() }
    }

    /// A map, and whether it is new and so zeroed; `None` where the system has none to give.
    fn map(&self, size: usize) -> Option<(*mut u8, bool)> {
        let len = map_len(size)?;
        if let Some(buffer) = self.kept.take(len) {
            return Some((buffer, false));
        }
        if self.num_maps.fetch_add(1, Ordering::Relaxed) < self.max_maps
            && let Some(buffer) = map_aligned(len)
        {
            return Some((buffer, true));
        }
        self.num_maps.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// SAFETY: `buffer` is a map that this gave for `size` bytes.
    unsafe fn unmap(&self, buffer: *mut u8, size: usize) {
        let len = map_len(size).unwrap_or_default();
        self.kept.put(buffer, len, |buffer, len| {
            // SAFETY: the map is the caller's to give up, and nobody's while it is kept.
            unsafe { give_back(buffer, len) };
            self.num_maps.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Whether such a buffer may be a map; the rest is the system allocator's.
fn is_large(size: usize, align: usize) -> bool {
    size >= LARGE && align <= HEAP_OFFSET
}

fn map_len(size: usize) -> Option<usize> {
    size.checked_next_multiple_of((size.checked_next_power_of_two()? / 2 / STEP).max(GRAIN))
}

fn is_map(buffer: *mut u8) -> bool {
    buffer.addr().is_multiple_of(GRAIN)
}

/// A map that begins where a huge page may; the whole ones in it are asked for.
fn map_aligned(len: usize) -> Option<*mut u8> {
    let all = len.checked_add(HUGE)?;
    // SAFETY: a new private map, over nothing that there is.
    let start = unsafe {
        mmap_anonymous(null_mut(), all, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).ok()?
    };
    let start = start.cast::<u8>();
    let before = start.addr().next_multiple_of(HUGE) - start.addr();
    // SAFETY: all of these lie in the map that was made, and what is given back is not handed out.
    unsafe {
        let buffer = start.add(before);
        if before > 0 {
            give_back(start, before);
        }
        if before < HUGE {
            give_back(buffer.add(len), HUGE - before);
        }
        if len >= HUGE {
            // Without huge pages it is an error, and a map like any other.
            let _ = madvise(buffer.cast::<c_void>(), len / HUGE * HUGE, Advice::LinuxHugepage);
        }
        Some(buffer)
    }
}

/// SAFETY: these bytes are maps, and nobody's.
unsafe fn give_back(start: *mut u8, len: usize) {
    // SAFETY: as the caller says. Where a map cannot be cut in two its addresses are lost, its memory is not.
    unsafe {
        if munmap(start.cast::<c_void>(), len).is_err() {
            let _ = madvise(start.cast::<c_void>(), len, Advice::LinuxDontNeed);
        }
    }
}

/// A large buffer of the heap, which tells itself from a map by where it begins.
fn heap_layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(HEAP_OFFSET)?, GRAIN).ok()
}

/// A zeroed buffer of the heap for what found no map; null where there is none either.
fn from_heap(size: usize) -> *mut u8 {
    let Some(layout) = heap_layout(size) else { return null_mut() };
    // SAFETY: the layout is not empty, and the offset lies within it.
    unsafe {
        let buffer = System.alloc_zeroed(layout);
        if buffer.is_null() { buffer } else { buffer.add(HEAP_OFFSET) }
    }
}

// SAFETY: a large buffer is a map or, as its address tells, of the heap; the others are the system allocator's.
unsafe impl GlobalAlloc for LargeBuffers {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout.size(), layout.align()) {
            // SAFETY: the caller's promises are those that are asked for.
            return unsafe { System.alloc(layout) };
        }
        self.map(layout.size()).map_or_else(|| from_heap(layout.size()), |(buffer, _)| buffer)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout.size(), layout.align()) {
            // SAFETY: the caller's promises are those that are asked for.
            return unsafe { System.alloc_zeroed(layout) };
        }
        let Some((buffer, is_new)) = self.map(layout.size()) else { return from_heap(layout.size()) };
        if !is_new {
            // SAFETY: the map holds so many bytes.
            unsafe { buffer.write_bytes(0, layout.size()) };
        }
        buffer
    }

    unsafe fn dealloc(&self, buffer: *mut u8, layout: Layout) {
        // SAFETY: the buffer is of this layout, and its address tells where it came from.
        unsafe {
            if !is_large(layout.size(), layout.align()) {
                System.dealloc(buffer, layout);
            } else if is_map(buffer) {
                self.unmap(buffer, layout.size());
            } else if let Some(whole) = heap_layout(layout.size()) {
                System.dealloc(buffer.sub(HEAP_OFFSET), whole);
            }
        }
    }

    unsafe fn realloc(&self, buffer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let (was_large, is_large) =
            (is_large(layout.size(), layout.align()), is_large(new_size, layout.align()));
        // SAFETY: the buffer is of this layout; it is given up only once its bytes lie in the new one.
        unsafe {
            if !was_large && !is_large {
                return System.realloc(buffer, layout, new_size);
            }
            if was_large && is_large && is_map(buffer) {
                // Buffers grow and are cut at last: to copy into a map that was kept is less than new pages each time.
                let kept = map_len(new_size).filter(|len| Some(*len) != map_len(layout.size()));
                if let Some(new) = kept.and_then(|len| self.kept.take(len)) {
                    std::ptr::copy_nonoverlapping(buffer, new, layout.size().min(new_size));
                    self.unmap(buffer, layout.size());
                    return new;
                }
                if resize(buffer, layout.size(), new_size) {
                    return buffer;
                }
            }
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(buffer, new, layout.size().min(new_size));
                self.dealloc(buffer, layout);
            }
            new
        }
    }
}

/// Makes a map longer or shorter where it lies; `false` where there is no room behind it.
///
/// SAFETY: `buffer` is a map for `size` bytes.
unsafe fn resize(buffer: *mut u8, size: usize, new_size: usize) -> bool {
    let (Some(old), Some(new)) = (map_len(size), map_len(new_size)) else { return false };
    // SAFETY: the map is the caller's, and does not move.
    unsafe {
        if new < old {
            give_back(buffer.add(new), old - new);
        }
        new <= old || mremap(buffer.cast::<c_void>(), old, new, MremapFlags::empty()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 64).unwrap()
    }

    /// Fills a buffer, takes it through these sizes, and looks at its bytes after each.
    fn check(buffers: &LargeBuffers, sizes: &[usize]) {
        let mut size = sizes[0];
        // SAFETY: each buffer is used within its size, and given back with it.
        unsafe {
            let mut buffer = buffers.alloc_zeroed(layout(size));
            assert!(!buffer.is_null() && buffer.addr().is_multiple_of(64));
            assert!(
                (0..size).all(|at| *buffer.add(at) == 0),
                "a buffer that was used before is zeroed again"
            );
            (0..size).for_each(|at| *buffer.add(at) = at as u8 | 1);
            for new_size in &sizes[1..] {
                buffer = buffers.realloc(buffer, layout(size), *new_size);
                assert!((0..size.min(*new_size)).all(|at| *buffer.add(at) == at as u8 | 1));
                (0..*new_size).for_each(|at| *buffer.add(at) = at as u8 | 1);
                size = *new_size;
            }
            buffers.dealloc(buffer, layout(size));
        }
    }

    const SIZES: [usize; 8] = [LARGE, 5 << 20, 2 << 20, 100, LARGE - 1, LARGE + 1, 3 << 20, 3 << 20];

    #[test]
    fn buffers_keep_their_bytes_through_all_sizes() {
        let buffers = LargeBuffers::new();
        (0..3).for_each(|_| check(&buffers, &SIZES));
    }

    #[test]
    fn buffers_beyond_the_number_of_maps_are_of_the_heap() {
        let buffers = LargeBuffers { max_maps: 0, ..LargeBuffers::new() };
        check(&buffers, &SIZES);
        assert_eq!(buffers.num_maps.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let buffers = LargeBuffers::new();
        // SAFETY: every buffer is given back with its own layout.
        unsafe {
            let all: Vec<_> = (0..100).map(|_| buffers.alloc(layout(4 << 20))).collect();
            assert!(all.iter().all(|buffer| !buffer.is_null()));
            for buffer in all {
                buffers.dealloc(buffer, layout(4 << 20));
            }
        }
        assert_eq!(buffers.num_maps.load(Ordering::Relaxed), kept::MAX_BYTES / (4 << 20));
    }
}
