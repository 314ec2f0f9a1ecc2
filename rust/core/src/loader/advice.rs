//! The thread that talks to the kernel for a stream: it starts reads, waits for them in order, and lets pages go.
//!
//! Its own thread because advice may block, and one so that reads are served in the order of need. It keeps no more
//! than some megabytes in flight: disks reorder what is queued, and a queue of a gigabyte would serve the first
//! batch's blocks last.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use super::shards::Part;
use super::table::Table;
use crate::prefetch::without_signals;

/// Announcements that may wait; what does not fit is read when it is needed.
const QUEUE: usize = 4096;

/// Reads that are started before the oldest is waited for; enough to keep a fast disk busy.
const BYTES_IN_FLIGHT: u64 = 64 << 20;

/// What is said of a block.
pub enum Advice {
    /// It will be read.
    Need(usize),
    /// It was read.
    Done(usize),
}

/// Where blocks are announced.
pub enum Adviser {
    /// By a thread that ends with it.
    Thread {
        /// What is announced of.
        table: Arc<Table>,
        /// To the thread.
        queue: SyncSender<Advice>,
        /// Spares the thread what is still queued at the end.
        is_closed: Arc<AtomicBool>,
    },
    /// By whoever announces, for streams that are to have no threads.
    Inline(Arc<Table>),
    /// The same of a table of one file whose footer is read: nothing is waited for.
    InlineOfFile(Arc<Table>),
}

impl Adviser {
    /// Starts the thread; `None` where the system has none to give, which costs speed only.
    pub fn start(table: &Arc<Table>) -> Option<Self> {
        let (queue, advice) = sync_channel(QUEUE);
        let is_closed = Arc::new(AtomicBool::new(false));
        let (own, closed) = (Arc::clone(table), Arc::clone(&is_closed));
        let thread = std::thread::Builder::new().name("rowmill-ahead".to_owned());
        // As with the engine's threads: Python's signal handlers belong to its main thread.
        without_signals(|| thread.spawn(move || advise(&own, &advice, &closed))).ok()?;
        Some(Self::Thread { table: Arc::clone(table), queue, is_closed })
    }

    /// A block will be read soon.
    pub fn need(&self, block: usize) {
        self.advise(Advice::Need(block));
    }

    /// A block will not be read again in this epoch.
    pub fn done(&self, block: usize) {
        self.advise(Advice::Done(block));
    }

    fn advise(&self, advice: Advice) {
        match (self, advice) {
            // A full queue means that the disk is behind already: more advice would not help it.
            (Self::Thread { queue, .. }, advice) => drop(queue.try_send(advice)),
            // Whoever announces would wait for footers to come; a block's ranges are asked for together when it is read.
            (Self::Inline(table), Advice::Need(_)) if table.is_remote() => {}
            (Self::Inline(table) | Self::InlineOfFile(table), Advice::Need(block)) => {
                table.parts(block).unwrap_or_default().iter().for_each(Part::will_need);
            }
            (Self::Inline(table) | Self::InlineOfFile(table), Advice::Done(block)) => {
                table.drop_behind(block);
            }
        }
    }
}

impl Drop for Adviser {
    fn drop(&mut self) {
        match self {
            Self::Thread { table, is_closed, .. } => {
                is_closed.store(true, Ordering::Relaxed);
                table.forget_ahead();
            }
            Self::Inline(table) | Self::InlineOfFile(table) => table.forget_ahead(),
        }
    }
}

/// What was announced to the kernel and not yet waited for.
#[derive(Default)]
struct InFlight {
    parts: VecDeque<Part>,
    bytes: u64,
}

impl InFlight {
    fn start(&mut self, part: Part, is_closed: &AtomicBool) {
        part.will_need();
        self.bytes += part.num_bytes();
        self.parts.push_back(part);
        while self.bytes > BYTES_IN_FLIGHT && !is_closed.load(Ordering::Relaxed) && self.finish_oldest() {}
    }

    /// Waits for the oldest read and maps its pages; `false` where there is none.
    fn finish_oldest(&mut self) -> bool {
        let Some(part) = self.parts.pop_front() else { return false };
        self.bytes -= part.num_bytes();
        part.make_present();
        true
    }
}

fn advise(table: &Table, advice: &Receiver<Advice>, is_closed: &AtomicBool) {
    let mut in_flight = InFlight::default();
    loop {
        let next = match advice.try_recv() {
            Ok(next) => next,
            Err(TryRecvError::Empty) if in_flight.finish_oldest() => continue,
            Err(_) => match advice.recv() {
                Ok(next) => next,
                Err(_) => return,
            },
        };
        if is_closed.load(Ordering::Relaxed) {
            return;
        }
        match next {
            // What cannot be read will say so at the step that needs it.
            Advice::Need(block) => {
                table
                    .parts(block)
                    .unwrap_or_default()
                    .into_iter()
                    .for_each(|part| in_flight.start(part, is_closed));
            }
            Advice::Done(block) => table.drop_behind(block),
        }
    }
}
