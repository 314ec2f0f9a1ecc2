//! How long a consumer waits awake before it sleeps: a little more than it usually has to.

use std::{
    hint,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

// To sleep and be woken costs 5 to 50 us on the machines we measured; awake longer than that is waste.
const LONGEST_NS: u64 = 50_000;
const SHORTEST_NS: u64 = 2_000;

/// Remembers how long waiting took.
pub(super) struct Spin {
    longest_ns: u64,
    usual_ns: AtomicU64,
}

impl Spin {
    /// For a consumer beside `num_threads` threads: where each of them needs a core, and the consumer
    /// has none of its own, waiting awake only keeps them from their work.
    pub(super) fn new(num_threads: usize) -> Self {
        let num_cores = num_cores();
        let longest_ns = match num_threads {
            _ if num_cores == 1 => 0,
            0 => 0,
            threads if threads < num_cores => LONGEST_NS,
            _ => SHORTEST_NS,
        };
        Self { longest_ns, usual_ns: AtomicU64::new(0) }
    }

    /// Whether `is_done` came true while we looked.
    pub(super) fn until(&self, is_done: impl Fn() -> bool) -> bool {
        let usual = self.usual_ns.load(Ordering::Relaxed);
        // Long waits are slept through: what is left is a short look.
        let wanted = if usual > LONGEST_NS { SHORTEST_NS } else { (usual * 2).max(SHORTEST_NS) };
        let budget = Duration::from_nanos(wanted.min(self.longest_ns));
        if budget.is_zero() {
            return false;
        }
        let start = Instant::now();
        while start.elapsed() < budget {
            for _ in 0..16 {
                if is_done() {
                    return true;
                }
                hint::spin_loop();
            }
        }
        false
    }

    /// Learns from a wait that is over.
    pub(super) fn learn(&self, waited: Duration) {
        // Clipped, so that one wait through a descheduled worker does not end spinning for long.
        let waited = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX).min(LONGEST_NS * 4);
        let usual = self.usual_ns.load(Ordering::Relaxed);
        self.usual_ns.store(usual - usual / 8 + waited / 8, Ordering::Relaxed);
    }
}

fn num_cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}
