//! Items numbered 0, 1, 2, ...: made by any thread, handed over in order.

use std::time::Duration;

use super::{Limits, MakeJob, Polled, Weigh, engine::Engine, ring::Ring};

/// Threads that make the items of a numbered sequence ahead of their consumer.
///
/// An error, or a panic, of job `n` is what the consumer gets in place of item `n`; the jobs after it
/// go on. After a fork every call in the child answers [`crate::Error::Closed`], and dropping leaks.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use rowmill_core::prefetch::{Job, Limits, Polled, Producer, Weigh};
///
/// struct Square(u64);
/// impl Weigh for Square {
///     fn weight(&self) -> usize { size_of::<Self>() }
/// }
///
/// let limits = Limits { num_threads: 2, slots: 8, bytes: 1 << 20, help: true };
/// let make_job = || Box::new(|seq: u64| Ok(Square(seq * seq))) as Job<u64, Square>;
/// let squares = Producer::start(limits, Some(10), Arc::new(make_job));
/// let mut sum = 0;
/// loop {
///     match squares.next_timeout(Duration::from_millis(100)) {
///         Polled::Ready(square) => sum += square?.0,
///         Polled::Pending => {} // a moment to look for signals
///         Polled::Finished => break,
///     }
/// }
/// assert_eq!(sum, 285);
/// # rowmill_core::Result::Ok(())
/// ```
pub struct Producer<T: Weigh + Send + 'static> {
    engine: Engine<Ring<T>>,
}

/// What a [`Producer`] or [`super::Requests`] did, and what lies ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProducerStats {
    /// Jobs done, failed ones too.
    pub produced: u64,
    /// Items (and errors) taken.
    pub delivered: u64,
    /// Jobs done by a waiting consumer itself.
    pub helped: u64,
    /// Time that consumers spent waiting, without the jobs they did meanwhile.
    pub waited_ns: u64,
    /// Time spent in jobs, over all threads and helping consumers.
    pub busy_ns: u64,
    /// Processor time of the threads, a few milliseconds old; 0 where it cannot be told.
    pub cpu_ns: u64,
    /// Items begun and not yet taken.
    pub ring_items: u64,
    /// Their bytes, those in the making counted as much as the last one made.
    pub ring_bytes: usize,
    /// The most that `ring_bytes` ever was.
    pub peak_ring_bytes: usize,
    /// Threads at work: what the limits asked for, unless the system refused some.
    pub num_threads: usize,
}

impl<T: Weigh + Send + 'static> Producer<T> {
    /// Starts the threads. `make_job` is called once in each, so that caches can be a thread's own
    /// (and again after a panic); `num_jobs` None is endless.
    pub fn start(limits: Limits, num_jobs: Option<u64>, make_job: MakeJob<u64, T>) -> Self {
        // More threads than jobs would only sleep.
        let num_threads =
            limits.num_threads.min(num_jobs.map_or(usize::MAX, |jobs| jobs.try_into().unwrap_or(usize::MAX)));
        let limits = Limits { num_threads, ..limits };
        Self { engine: Engine::start(Ring::new(&limits, num_jobs), &limits, make_job) }
    }

    /// The next item if it lies ready; never waits and never runs a job, so that without threads it
    /// never has one.
    pub fn try_next(&self) -> Polled<T> {
        self.engine.try_take(&())
    }

    /// The next item, waiting for it at most `timeout` (longer only while it runs a job itself).
    pub fn next_timeout(&self, timeout: Duration) -> Polled<T> {
        self.engine.take(&(), timeout)
    }

    /// Stops and joins the threads within a second, and frees what was not taken.
    pub fn close(&self) {
        self.engine.close();
    }

    /// What was done so far; all zero in a forked child.
    pub fn stats(&self) -> ProducerStats {
        self.engine.stats()
    }

    /// Whether nothing more will come in this process: closed, or made before a fork.
    pub fn is_closed(&self) -> bool {
        self.engine.supply().map_or(true, Ring::is_closed)
    }
}
