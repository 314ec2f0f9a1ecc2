//! Locks that a fork leaves usable: those of the standard library keep nothing outside of themselves.
//!
//! `parking_lot` keeps all waiting threads of a process in one table. A child inherits it with threads that it does not
//! have, and new threads whose memory is theirs.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A lock over a value; a panic while it is held leaves it to the next one.
#[derive(Debug, Default)]
pub(super) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where threads wait for what a lock guards to change.
#[derive(Debug, Default)]
pub(super) struct Signal(Condvar);

impl Signal {
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits, and says whether nothing was signalled in time.
    pub fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, time: Duration) -> (MutexGuard<'a, T>, bool) {
        let (guard, timeout) = self.0.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner);
        (guard, timeout.timed_out())
    }
}
