//! The windows that lanes are in: the cache has room for them, and what lies behind them leaves it first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::epochs::{Epochs, Spot};
use super::shards::BlockSizes;
use super::table::Table;
use crate::order::{Mode, WindowSpan};
use crate::shard::parquet::KeptMemory;

/// What blocks take beyond what the index says, as a share.
const SLACK: u64 = 16;

/// Blocks that lanes have gone past and threads that lag behind still read.
const LAGGING: u64 = 2;

/// Follows lanes through their windows; in a mix each source's lanes.
pub struct OpenWindows {
    table: Arc<Table>,
    epochs: Arc<Epochs>,
    lanes: Vec<Option<LaneWindow>>,
    /// What each dataset's blocks take; there may be millions to look at, so this is done once.
    sizes: Vec<BlockSizes>,
    /// Lanes that were reached at all, by source.
    num_lanes: Vec<AtomicU64>,
    /// What blocks of full windows give back is there for those of the next windows.
    _memory: KeptMemory,
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
        let num_lanes = epochs.num_lanes() as usize;
        let lanes = epochs.all_settings().flat_map(|settings| {
            // Rows of one permutation over everything are in no window.
            let has_windows = settings.mode != Mode::Row;
            (0..num_lanes).map(move |_| has_windows.then(LaneWindow::default))
        });
        let lanes = lanes.collect();
        let reached = epochs.all_settings().map(|_| AtomicU64::new(0)).collect();
        let sizes = table.sizes().collect();
        let windows = Self { sizes, lanes, table, epochs, num_lanes: reached, _memory: KeptMemory::hold() };
        windows.make_room(lanes_read);
        windows
    }

    /// Notes that a spot is read.
    #[inline]
    pub fn reached(&self, spot: &Spot) {
        let Some(Some(window)) = self.lanes.get(self.epochs.track(spot)) else { return };
        let is_same = window.epoch.load(Ordering::Relaxed) == spot.epoch + 1
            && spot.element < window.end.load(Ordering::Relaxed)
            && spot.element >= window.start.load(Ordering::Relaxed);
        if !is_same {
            self.moved(window, spot);
        }
    }

    #[cold]
    fn moved(&self, window: &LaneWindow, spot: &Spot) {
        // Another thread that moves the lane has done the same.
        let Some(mut span) = window.span.try_lock() else { return };
        let known = window.epoch.load(Ordering::Relaxed);
        let is_same = known == spot.epoch + 1;
        if known > spot.epoch + 1 || (is_same && spot.element < window.start.load(Ordering::Relaxed)) {
            // A job from before, still at work on the window before.
            return;
        }
        if known == 0 {
            let reached = &self.num_lanes[spot.source as usize];
            self.make_room(reached.fetch_add(1, Ordering::Relaxed) + 1);
        }
        let Some(next) = self.epochs.window_at(spot) else { return };
        // The new ones first: a block of both windows is needed all the while.
        next.blocks.iter().for_each(|block| self.table.is_needed(block.block as usize));
        self.leave(span.as_ref());
        window.epoch.store(spot.epoch + 1, Ordering::Relaxed);
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
        let settings = self.epochs.all_settings().zip(&self.sizes);
        let rooms = settings.map(|(settings, sizes)| self.room(lanes, settings.window_bytes, sizes));
        self.table.cache.reserve(rooms.fold(0, u64::saturating_add));
    }

    /// What so many open windows of one dataset take.
    fn room(&self, lanes: u64, window_bytes: u64, sizes: &BlockSizes) -> u64 {
        let window_bytes = window_bytes.max(sizes.largest);
        if sizes.owns_memory {
            let open = lanes.saturating_mul(window_bytes).min(sizes.all);
            let num_blocks = (open / (sizes.all / sizes.num_blocks.max(1)).max(1)).min(sizes.num_blocks);
            let room =
                open.saturating_add(open / SLACK).saturating_add(sizes.largest.saturating_mul(LAGGING));
            return room.saturating_add(num_blocks * self.table.block_overhead());
        }
        let open = lanes.saturating_mul(window_bytes.saturating_add(sizes.largest)).min(sizes.file_bytes);
        // Mapped blocks hold little beside their bookkeeping; others are larger once decompressed.
        if sizes.is_mapped { open / 4 } else { open.saturating_mul(2) }
    }
}

impl Drop for OpenWindows {
    /// Another stream over the same data may go on, and what this one needed is not needed any more.
    fn drop(&mut self) {
        self.lanes.iter().flatten().for_each(|lane| self.leave(lane.span.lock().as_ref()));
    }
}
