//! Read-ahead: the order is a pure function, so the blocks that come next are known exactly.
//!
//! Each lane announces the window after the one that it enters, so that a disk always has work: while the rows of
//! one window are handed out, those of the next are read. Where two windows of every lane would take too much of
//! the memory, the second is announced from the middle of the first. Data that is in memory already costs little.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::advice::Adviser;
use super::epochs::{Epochs, Spot};
use super::pruned::Pruned;
use super::table::Table;
use crate::memory::memory_bytes;
use crate::order::{Mode, WindowSpan};

/// A dataset larger than this share of memory is dropped behind the reader.
const MEMORY_SHARE: f64 = 0.5;

/// Two windows of every lane are read ahead where they take no more than this share of memory.
const EARLY_SHARE: f64 = 0.2;

/// Announces blocks to the kernel ahead of a stream, and lets them go behind it.
pub struct ReadAhead {
    epochs: Arc<Epochs>,
    /// Of each source's lanes, and none of sources without windows.
    lanes: Vec<Option<LaneAhead>>,
    drops_behind: bool,
    is_early: bool,
    adviser: Adviser,
    table: Arc<Table>,
    pruned: Option<Arc<Pruned>>,
}

/// How far one lane has been announced.
#[derive(Default)]
struct LaneAhead {
    /// Epoch + 1 of the windows that were announced.
    epoch: AtomicU64,
    /// Element at which the window after the announced ones is to be announced.
    next_element: AtomicU64,
    /// Taken by the thread that announces, so that two never do it at once.
    is_busy: AtomicBool,
}

impl ReadAhead {
    /// Starts the advising thread, where there are to be threads; `None` where advice cannot help.
    pub fn start(table: &Arc<Table>, epochs: &Arc<Epochs>, has_threads: bool) -> Option<Self> {
        let adviser =
            || if has_threads { Adviser::start(table) } else { Some(Adviser::Inline(Arc::clone(table))) };
        Self::with(table, epochs, 1, adviser)
    }

    /// The same of one of so many files that are read side by side, whose readers announce their blocks themselves.
    pub fn of_file(table: &Arc<Table>, epochs: &Arc<Epochs>, num_files: u64) -> Option<Self> {
        Self::with(table, epochs, num_files, || Some(Adviser::InlineOfFile(Arc::clone(table))))
    }

    fn with(
        table: &Arc<Table>,
        epochs: &Arc<Epochs>,
        num_files: u64,
        adviser: impl FnOnce() -> Option<Adviser>,
    ) -> Option<Self> {
        // Rows of one permutation over everything have no window to announce.
        if epochs.all_settings().all(|settings| settings.mode == Mode::Row) {
            return None;
        }
        let num_lanes = epochs.num_lanes() as usize;
        let lanes = epochs.all_settings().flat_map(|settings| {
            let has_windows = settings.mode != Mode::Row;
            (0..num_lanes).map(move |_| has_windows.then(LaneAhead::default))
        });
        let lanes = lanes.collect();
        let (total, memory) = (table.total_bytes() as f64, memory_bytes());
        let window_bytes: f64 = epochs.all_settings().map(|settings| settings.window_bytes as f64).sum();
        let windows = (2.0 * num_lanes as f64 * window_bytes).min(total) * num_files as f64;
        Some(Self {
            epochs: Arc::clone(epochs),
            lanes,
            drops_behind: total > MEMORY_SHARE * memory,
            is_early: windows < EARLY_SHARE * memory,
            table: Arc::clone(table),
            pruned: None,
            adviser: adviser()?,
        })
    }

    /// The same, which leaves out the blocks that a filter needs not see.
    #[must_use]
    pub fn without(mut self, pruned: Arc<Pruned>) -> Self {
        self.pruned = Some(pruned);
        self
    }

    /// Notes that a spot was reached, and announces what comes within one window after it.
    pub fn reached(&self, spot: &Spot) {
        let Some(state) = &self.lanes[self.epochs.track(spot)] else { return };
        // The usual case is one load: the window after this one is announced already.
        let known = state.epoch.load(Ordering::Relaxed);
        if known > spot.epoch + 1
            || (known == spot.epoch + 1 && spot.element < state.next_element.load(Ordering::Relaxed))
        {
            return;
        }
        if state.is_busy.swap(true, Ordering::Acquire) {
            return;
        }
        self.announce(state, spot);
        state.is_busy.store(false, Ordering::Release);
    }

    /// Announces the window at `element` where the lane begins, and after that the one that follows it:
    /// all lanes' first windows come before any second one.
    fn announce(&self, state: &LaneAhead, spot: &Spot) {
        let window_at = |element| self.epochs.window_at(&Spot { element, ..*spot });
        let Some(span) = window_at(spot.element) else { return };
        if state.epoch.swap(spot.epoch + 1, Ordering::Relaxed) != spot.epoch + 1 {
            self.need(&span);
            state.next_element.store(self.turn(&span).max(spot.element + 1), Ordering::Relaxed);
            return;
        }
        if self.drops_behind
            && let Some(before) = span.elements.start.checked_sub(1).and_then(window_at)
        {
            before.blocks.iter().for_each(|block| self.adviser.done(block.block as usize));
        }
        let next = window_at(span.elements.end);
        if let Some(next) = &next {
            self.need(next);
        }
        let turn = next.map_or(u64::MAX, |next| self.turn(&next));
        state.next_element.store(turn, Ordering::Relaxed);
    }

    /// The element of a window at which the one after it is announced.
    fn turn(&self, span: &WindowSpan) -> u64 {
        let Range { start, end } = span.elements;
        if self.is_early { start } else { u64::midpoint(start, end) }
    }

    fn need(&self, span: &WindowSpan) {
        let is_read =
            |block: u32| self.pruned.as_ref().is_none_or(|pruned| pruned.may_read(&self.table, block));
        let blocks = span.blocks.iter().map(|block| block.block).filter(|block| is_read(*block));
        blocks.for_each(|block| self.adviser.need(block as usize));
    }
}
