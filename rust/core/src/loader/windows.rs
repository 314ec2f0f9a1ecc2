//! The windows that lanes are in: the cache has room for them, and what lies behind them leaves it first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::epochs::Epochs;
use super::table::Table;
use crate::order::{Mode, WindowSpan};
use crate::source::IoMode;

/// What blocks take beyond what the index says, as a share.
const SLACK: u64 = 16;

/// Blocks that lanes have gone past and threads that lag behind still read.
const LAGGING: u64 = 2;

/// Follows lanes through their windows.
pub struct OpenWindows {
    table: Arc<Table>,
    epochs: Arc<Epochs>,
    lanes: Vec<LaneWindow>,
    /// Bytes of the largest block; there may be millions to look at, so this is done once.
    largest: u64,
    /// Lanes that were reached at all.
    num_lanes: AtomicU64,
}

#[derive(Default)]
struct LaneWindow {
    /// Epoch + 1 and the elements of the window that the lane is in.
    epoch: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
    span: Mutex<Option<WindowSpan>>,
}

impl OpenWindows {
    /// No lane is anywhere yet. `lanes_read` makes room for so many at once; others make room as they are met.
    pub fn new(table: Arc<Table>, epochs: Arc<Epochs>, lanes_read: u64) -> Self {
        // Rows of one permutation over everything are in no window.
        let has_windows = epochs.settings().mode != Mode::Row;
        let num_lanes = if has_windows { epochs.settings().num_lanes } else { 0 };
        let largest = table.manifest().block_bytes().iter().copied().max().unwrap_or(0);
        let windows = Self {
            largest,
            lanes: (0..num_lanes).map(|_| LaneWindow::default()).collect(),
            table,
            epochs,
            num_lanes: AtomicU64::new(0),
        };
        windows.make_room(lanes_read);
        windows
    }

    /// Notes that an element of a lane is read.
    #[inline]
    pub fn reached(&self, epoch: u64, lane: u32, element: u64) {
        let Some(window) = self.lanes.get(lane as usize) else { return };
        let is_same = window.epoch.load(Ordering::Relaxed) == epoch + 1
            && element < window.end.load(Ordering::Relaxed)
            && element >= window.start.load(Ordering::Relaxed);
        if !is_same {
            self.moved(window, epoch, lane, element);
        }
    }

    #[cold]
    fn moved(&self, window: &LaneWindow, epoch: u64, lane: u32, element: u64) {
        // Another thread that moves the lane has done the same.
        let Some(mut span) = window.span.try_lock() else { return };
        let known = window.epoch.load(Ordering::Relaxed);
        if known == epoch + 1 && element < window.start.load(Ordering::Relaxed) {
            // A job from before, still at work on the window before.
            return;
        }
        if known == 0 {
            self.make_room(self.num_lanes.fetch_add(1, Ordering::Relaxed) + 1);
        }
        let Some(next) = self.epochs.order(epoch).window_at(lane, element) else { return };
        // The new ones first: a block of both windows is needed all the while.
        next.blocks.iter().for_each(|block| self.table.is_needed(block.block as usize));
        self.leave(span.as_ref());
        window.epoch.store(epoch + 1, Ordering::Relaxed);
        window.start.store(next.elements.start, Ordering::Relaxed);
        window.end.store(next.elements.end, Ordering::Relaxed);
        *span = Some(next);
    }

    fn leave(&self, span: Option<&WindowSpan>) {
        let blocks = span.into_iter().flat_map(|span| &span.blocks);
        blocks.for_each(|block| self.table.is_done(block.block as usize));
    }

    /// The cache must hold the windows that are open at once, or blocks would be decoded again and again.
    fn make_room(&self, lanes: u64) {
        let manifest = self.table.manifest();
        let memory = manifest.block_bytes();
        let window_bytes = self.epochs.settings().window_bytes.max(self.largest);
        if self.table.owns_memory() {
            let all = memory.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
            let open = lanes.saturating_mul(window_bytes).min(all);
            let num_blocks = (open / (all / memory.len().max(1) as u64).max(1)).min(memory.len() as u64);
            let room = open.saturating_add(open / SLACK).saturating_add(self.largest.saturating_mul(LAGGING));
            self.table.cache.reserve(room.saturating_add(num_blocks * self.table.block_overhead()));
            return;
        }
        let open =
            lanes.saturating_mul(window_bytes.saturating_add(self.largest)).min(manifest.total_bytes());
        // Mapped blocks hold little beside their bookkeeping; others are larger once decompressed.
        let held = if self.table.io() == IoMode::Mmap { open / 4 } else { open.saturating_mul(2) };
        self.table.cache.reserve(held);
    }
}

impl Drop for OpenWindows {
    /// Another stream over the same data may go on, and what this one needed is not needed any more.
    fn drop(&mut self) {
        self.lanes.iter().for_each(|lane| self.leave(lane.span.lock().as_ref()));
    }
}
