//! Where threads sleep until what they need has changed, at no cost to the others while nobody sleeps.

use std::time::{Duration, Instant};

use super::sync::{AtomicUsize, Condvar, Mutex, Ordering, fence, lock, wait};

/// A counted event: each wake lets exactly one sleeper go.
///
/// The law that no wake is lost: a sleeper counts itself in `sleepers`, fences, and looks at its
/// condition once more; a waker changes the condition, fences ([`Gate::publish`]), and reads
/// `sleepers`. One of the two always sees the other.
pub(super) struct Gate {
    sleepers: AtomicUsize,
    // Wakes that were given and not yet used; their sleepers are no longer in `sleepers`.
    wakes: Mutex<usize>,
    signal: Condvar,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { sleepers: AtomicUsize::new(0), wakes: Mutex::new(0), signal: Condvar::new() }
    }

    /// Orders the change of a condition before the look for sleepers that follows.
    pub(super) fn publish() {
        fence(Ordering::SeqCst);
    }

    /// Whether somebody sleeps; call [`Gate::publish`] between the change and this.
    pub(super) fn has_sleepers(&self) -> bool {
        self.sleepers.load(Ordering::Relaxed) > 0
    }

    /// Lets one sleeper go.
    #[cold]
    pub(super) fn wake_one(&self) {
        let mut wakes = lock(&self.wakes);
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            self.sleepers.fetch_sub(1, Ordering::Relaxed);
            *wakes += 1;
            self.signal.notify_one();
        }
    }

    /// Lets all sleepers go.
    #[cold]
    pub(super) fn wake_all(&self) {
        let mut wakes = lock(&self.wakes);
        *wakes += self.sleepers.swap(0, Ordering::Relaxed);
        self.signal.notify_all();
    }

    /// Sleeps while `is_blocked`, until woken or `timeout` has passed; may return early.
    #[cold]
    pub(super) fn sleep_while(&self, is_blocked: impl Fn() -> bool, timeout: Option<Duration>) {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut wakes = lock(&self.wakes);
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !is_blocked() {
            self.sleepers.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        while *wakes == 0 {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) && cfg!(not(loom)) {
                self.sleepers.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            wakes = wait(&self.signal, wakes, left);
        }
        *wakes -= 1;
    }
}
