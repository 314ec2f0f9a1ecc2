//! Runs jobs that may panic: the panic becomes an error in its item's place and prints nothing.

use std::sync::Arc;

use super::Weigh;
use crate::panics::guarded;
use crate::{Error, Result};

/// The work of one thread: from a job's number or key to its result. Holds that thread's caches.
pub type Job<K, T> = Box<dyn FnMut(K) -> Result<T> + Send>;

/// Makes the work of one thread; called in that thread.
pub type MakeJob<K, T> = Arc<dyn Fn() -> Job<K, T> + Send + Sync>;

/// One thread's job function, made at its first use and made anew after a panic.
pub(super) struct Runner<K, T> {
    make: MakeJob<K, T>,
    job: Option<Job<K, T>>,
}

impl<K, T: Weigh> Runner<K, T> {
    pub(super) fn new(make: MakeJob<K, T>) -> Self {
        Self { make, job: None }
    }

    /// The job's result and its weight.
    pub(super) fn run(&mut self, input: K) -> (Result<T>, usize) {
        let outcome = guarded(|| {
            let item = self.job.get_or_insert_with(|| (self.make)())(input);
            let weight = item.as_ref().map_or(0, Weigh::weight);
            (item, weight)
        });
        outcome.unwrap_or_else(|text| {
            // Its caches may be half changed.
            let broken = self.job.take();
            let _ = guarded(|| drop(broken));
            (Err(Error::Internal(text)), 0)
        })
    }
}
