//! Read-ahead: the order is a pure function, so the blocks that come next are known exactly.
//!
//! Each lane announces its next window while it is still in the one before, evenly over it, so that the
//! disk sees a steady stream of large reads instead of a burst a window. One thread talks to the kernel,
//! because advice may block. Data that is in memory already is never announced again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::epochs::Epochs;
use super::stream::StreamSpec;
use super::table::Table;
use crate::order::{Mode, WindowSpan};
use crate::prefetch::without_signals;

/// Announcements that may wait for the kernel; what does not fit is read when it is needed.
const QUEUE: usize = 4096;

/// A dataset larger than this share of memory is dropped behind the reader.
const MEMORY_SHARE: f64 = 0.5;

enum Advice {
    Need(usize),
    Done(usize),
}

/// Announces blocks to the kernel ahead of a stream, and lets them go behind it.
pub struct ReadAhead {
    epochs: Arc<Epochs>,
    num_lanes: u64,
    lanes: Vec<LaneAhead>,
    drops_behind: bool,
    queue: SyncSender<Advice>,
    is_closed: Arc<AtomicBool>,
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
    /// Starts the advising thread; `None` where advice cannot help.
    pub fn start(spec: &StreamSpec) -> Option<Self> {
        // Rows of one permutation over everything have no window to announce.
        if spec.epochs.settings().mode == Mode::Row || spec.num_threads == 0 {
            return None;
        }
        let (queue, advice) = sync_channel(QUEUE);
        let is_closed = Arc::new(AtomicBool::new(false));
        let (table, closed) = (Arc::clone(&spec.table), Arc::clone(&is_closed));
        let thread = std::thread::Builder::new().name("rowmill-ahead".to_owned());
        // As with the engine's threads: Python's signal handlers belong to its main thread.
        without_signals(|| thread.spawn(move || advise(&table, &advice, &closed))).ok()?;
        let num_lanes = u64::from(spec.epochs.settings().num_lanes);
        Some(Self {
            epochs: Arc::clone(&spec.epochs),
            num_lanes,
            lanes: (0..num_lanes).map(|_| LaneAhead::default()).collect(),
            drops_behind: spec.table.manifest().total_bytes() as f64 > MEMORY_SHARE * memory_bytes(),
            queue,
            is_closed,
        })
    }

    /// Notes that a position was reached, and announces what comes within one window after it.
    pub fn reached(&self, epoch: u64, position: u64) {
        let (lane, element) = ((position % self.num_lanes) as usize, position / self.num_lanes);
        let state = &self.lanes[lane];
        // The usual case is one load: the window after this one is announced already.
        if state.epoch.load(Ordering::Relaxed) == epoch + 1
            && element < state.next_element.load(Ordering::Relaxed)
        {
            return;
        }
        if state.is_busy.swap(true, Ordering::Acquire) {
            return;
        }
        self.announce(state, lane as u32, epoch, element);
        state.is_busy.store(false, Ordering::Release);
    }

    /// Announces the window at `element` where the lane begins, and from its middle on the one after it:
    /// all lanes' first windows come before any second one.
    fn announce(&self, state: &LaneAhead, lane: u32, epoch: u64, element: u64) {
        let order = self.epochs.order(epoch);
        let Some(span) = order.window_at(lane, element) else { return };
        if state.epoch.swap(epoch + 1, Ordering::Relaxed) != epoch + 1 {
            self.need(&span);
            state.next_element.store(middle(&span).max(element + 1), Ordering::Relaxed);
            return;
        }
        if self.drops_behind
            && let Some(before) =
                span.elements.start.checked_sub(1).and_then(|last| order.window_at(lane, last))
        {
            before.blocks.iter().for_each(|block| self.send(Advice::Done(block.block as usize)));
        }
        let next = order.next_window(lane, &span);
        if let Some(next) = &next {
            self.need(next);
        }
        state.next_element.store(next.as_ref().map_or(u64::MAX, middle), Ordering::Relaxed);
    }

    fn need(&self, span: &WindowSpan) {
        span.blocks.iter().for_each(|block| self.send(Advice::Need(block.block as usize)));
    }

    fn send(&self, advice: Advice) {
        // A full queue means that the disk is behind already: more advice would not help it.
        let _ = self.queue.try_send(advice);
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        // The queue closes with the sender; the flag spares the thread what is still in it.
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

fn middle(span: &WindowSpan) -> u64 {
    u64::midpoint(span.elements.start, span.elements.end)
}

fn advise(table: &Table, advice: &Receiver<Advice>, is_closed: &AtomicBool) {
    while let Ok(next) = advice.recv() {
        if is_closed.load(Ordering::Relaxed) {
            return;
        }
        match next {
            // What cannot be read will say so at the step that needs it.
            Advice::Need(block) => drop(table.will_need(block)),
            Advice::Done(block) => table.drop_behind(block),
        }
    }
}

/// Bytes of memory that this process may use, as far as the system tells.
fn memory_bytes() -> f64 {
    #[cfg(unix)]
    {
        let pages = rustix::param::page_size();
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        let total: f64 = kib.map_or(f64::MAX, |kib: f64| kib * 1024.0);
        let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<f64>().ok());
        total.min(limit.unwrap_or(f64::MAX)).max(pages as f64)
    }
    #[cfg(not(unix))]
    {
        f64::MAX
    }
}
