//! What reading over networks has cost this process so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters of one process.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub requests: AtomicU64,
    pub bytes: AtomicU64,
    pub retries: AtomicU64,
    pub redirects: AtomicU64,
    pub waits: AtomicU64,
    pub waited_ns: AtomicU64,
    pub cache_hits: AtomicU64,
    pub cache_bytes: AtomicU64,
}

impl Counters {
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn waited(&self, time: Duration) {
        Self::add(&self.waits, 1);
        Self::add(&self.waited_ns, time.as_nanos() as u64);
    }

    pub fn read(&self) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            requests: load(&self.requests),
            bytes: load(&self.bytes),
            retries: load(&self.retries),
            redirects: load(&self.redirects),
            waits: load(&self.waits),
            waited: Duration::from_nanos(load(&self.waited_ns)),
            cache_hits: load(&self.cache_hits),
            cache_bytes: load(&self.cache_bytes),
        }
    }
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests sent, those after a redirect included.
    pub requests: u64,
    /// Bytes of bodies that came.
    pub bytes: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Answers that named another place.
    pub redirects: u64,
    /// Times that a reader waited for bytes to come.
    pub waits: u64,
    /// How long these waits were together.
    pub waited: Duration,
    /// Ranges that were found in the cache.
    pub cache_hits: u64,
    /// Bytes of them.
    pub cache_bytes: u64,
}
