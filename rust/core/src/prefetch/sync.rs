//! The synchronisation primitives of `ring` and `gate`: std's, or loom's under `cfg(loom)`.
//!
//! Poisoning is ignored on purpose: no user code runs under these locks, and a panic elsewhere must
//! not turn every later call into another one.

#[cfg(loom)]
pub(super) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
pub(super) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};
use std::{sync::PoisonError, time::Duration};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a signal, at most `timeout`; under loom time does not pass, so it waits for the signal.
pub(super) fn wait<'a, T>(
    signal: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: Option<Duration>,
) -> MutexGuard<'a, T> {
    match timeout {
        Some(timeout) if cfg!(not(loom)) => {
            signal.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner).0
        }
        _ => signal.wait(guard).unwrap_or_else(PoisonError::into_inner),
    }
}

/// Keeps what two threads write apart, so that one does not steal the other's cache line
/// (128: x86 fetches lines in pairs, Apple's cores have lines of 128).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Apart<T>(pub T);

impl<T> std::ops::Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
