//! What a producer and a board of requests share: threads, helping, waiting, closing, forks.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Limits, MakeJob, Polled, Weigh,
    crew::{Crew, Meter},
    guard::Runner,
    process,
    producer::ProducerStats,
    spin::Spin,
};
use crate::{Error, Result};

/// What a thread that looks for work is told.
pub(super) enum Claimed<C> {
    /// Do this, and fill its place.
    Job(C),
    /// Nothing now; sleep until there is.
    Full,
    /// Nothing ever again.
    Over,
}

/// How much lies between the threads and the consumer.
#[derive(Clone, Copy, Default)]
pub(super) struct Levels {
    pub taken: u64,
    pub items: u64,
    pub bytes: usize,
    pub peak_bytes: usize,
}

/// Where jobs come from and results go to: the ring, or the board of requests.
pub(super) trait Supply: Send + Sync + 'static {
    /// What a job is given.
    type Key: 'static;
    type Item: Weigh + Send + 'static;
    /// The right, and the duty, to do one job.
    type Claim;
    /// How a consumer says which item it wants.
    type Wanted;

    fn key(claim: &Self::Claim) -> Self::Key;
    fn try_claim(&self) -> Claimed<Self::Claim>;
    fn wait_for_work(&self);
    fn fill(&self, claim: Self::Claim, item: Result<Self::Item>, weight: usize);

    fn try_take(&self, wanted: &Self::Wanted) -> Polled<Self::Item>;
    /// The job of a wanted item, if nobody has begun it; room does not matter.
    fn claim_wanted(&self, wanted: &Self::Wanted) -> Option<Self::Claim>;
    fn is_ready(&self, wanted: &Self::Wanted) -> bool;
    fn wait_for(&self, wanted: &Self::Wanted, timeout: Duration);

    fn close(&self);
    /// Frees what was not taken, once closed.
    fn clear(&self);
    fn levels(&self) -> Levels;
}

/// One supply with its threads; made in one process and dead in its children.
pub(super) struct Engine<S: Supply> {
    // None only while it is being dropped.
    inner: Option<Inner<S>>,
    fork_generation: u64,
}

struct Inner<S: Supply> {
    supply: Arc<S>,
    crew: Crew,
    may_help: bool,
    // The job function of whoever consumes; made at its first use.
    helper: Mutex<Runner<S::Key, S::Item>>,
    helper_meter: Meter,
    spin: Spin,
    waited_ns: AtomicU64,
}

impl<S: Supply> Engine<S> {
    pub(super) fn start(supply: S, limits: &Limits, make: MakeJob<S::Key, S::Item>) -> Self {
        process::watch_forks();
        let fork_generation = process::fork_generation();
        let supply = Arc::new(supply);
        let crew = Crew::start(limits.num_threads, &supply, &make);
        let num_threads = crew.num_threads();
        let inner = Inner {
            supply,
            // No thread, wanted or possible: all is done by the consumer.
            may_help: limits.help || num_threads == 0,
            spin: Spin::new(num_threads),
            crew,
            helper: Mutex::new(Runner::new(make)),
            helper_meter: Meter::default(),
            waited_ns: AtomicU64::new(0),
        };
        Self { inner: Some(inner), fork_generation }
    }

    // Stands before every lock: in a forked child they may be held by threads that are not there.
    fn inner(&self) -> Result<&Inner<S>> {
        match &self.inner {
            Some(inner) if self.fork_generation == process::fork_generation() => Ok(inner),
            _ => Err(Error::Closed),
        }
    }

    pub(super) fn supply(&self) -> Result<&S> {
        Ok(&self.inner()?.supply)
    }

    pub(super) fn try_take(&self, wanted: &S::Wanted) -> Polled<S::Item> {
        match self.inner() {
            Ok(inner) => inner.supply.try_take(wanted),
            Err(error) => Polled::Ready(Err(error)),
        }
    }

    pub(super) fn take(&self, wanted: &S::Wanted, timeout: Duration) -> Polled<S::Item> {
        match self.inner() {
            Ok(inner) => match inner.supply.try_take(wanted) {
                Polled::Pending => inner.wait(wanted, timeout),
                polled => polled,
            },
            Err(error) => Polled::Ready(Err(error)),
        }
    }

    pub(super) fn close(&self) {
        if let Ok(inner) = self.inner() {
            inner.close();
        }
    }

    pub(super) fn stats(&self) -> ProducerStats {
        self.inner().map(Inner::stats).unwrap_or_default()
    }
}

impl<S: Supply> Inner<S> {
    fn wait(&self, wanted: &S::Wanted, timeout: Duration) -> Polled<S::Item> {
        let mut now = Instant::now();
        let deadline = now.checked_add(timeout);
        loop {
            let is_helped = self.may_help && self.help(wanted);
            if !is_helped {
                let left = deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(now));
                if !self.spin.until(|| self.supply.is_ready(wanted)) {
                    self.supply.wait_for(wanted, left);
                }
                let waited = now.elapsed();
                now += waited;
                self.spin.learn(waited);
                self.waited_ns.fetch_add(waited.as_nanos() as u64, Ordering::Relaxed);
            }
            match self.supply.try_take(wanted) {
                Polled::Pending if deadline.is_none_or(|deadline| now < deadline) => {
                    now = Instant::now();
                }
                polled => return polled,
            }
        }
    }

    // Does the wanted job here, if no thread has begun it. Beware: for as long as the job takes.
    fn help(&self, wanted: &S::Wanted) -> bool {
        // Held: another consumer helps already.
        let Ok(mut runner) = self.helper.try_lock() else { return false };
        let Some(claim) = self.supply.claim_wanted(wanted) else { return false };
        let start = Instant::now();
        let (item, weight) = runner.run(S::key(&claim));
        drop(runner);
        self.helper_meter.add_busy(start.elapsed());
        self.helper_meter.count_job();
        self.supply.fill(claim, item, weight);
        true
    }

    fn close(&self) {
        self.supply.close();
        self.crew.join();
        self.supply.clear();
    }

    fn stats(&self) -> ProducerStats {
        let levels = self.supply.levels();
        let crew = self.crew.totals();
        let (helped, helped_ns) = self.helper_meter.read();
        ProducerStats {
            produced: crew.jobs + helped,
            delivered: levels.taken,
            helped,
            waited_ns: self.waited_ns.load(Ordering::Relaxed),
            busy_ns: crew.busy_ns + helped_ns,
            cpu_ns: crew.cpu_ns,
            ring_items: levels.items,
            ring_bytes: levels.bytes,
            peak_ring_bytes: levels.peak_bytes,
            num_threads: self.crew.num_threads(),
        }
    }
}

impl<S: Supply> Drop for Engine<S> {
    fn drop(&mut self) {
        let is_forked = self.fork_generation != process::fork_generation();
        if let Some(inner) = self.inner.take() {
            if is_forked {
                // Its threads stayed in the parent; joining or locking would hang.
                mem::forget(inner);
            } else {
                inner.close();
            }
        }
    }
}
