//! Whether the thread that waits here has been asked to stop: by Ctrl-C, or by whoever it works for.
//!
//! Waits for a network may last minutes. They last in slices, and between two of them [`is_interrupted`] is asked.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static HOOK: Cell<Option<fn() -> bool>> = const { Cell::new(None) };
    static FLAG: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Runs `run`; while it waits, `hook` is asked whether it is to give up.
pub fn watched<R>(hook: fn() -> bool, run: impl FnOnce() -> R) -> R {
    let before = HOOK.replace(Some(hook));
    let result = run();
    HOOK.set(before);
    result
}

/// The flag that stops this thread, or a new one; it counts for all that [`adopt`] it.
pub(crate) fn shared() -> Arc<AtomicBool> {
    FLAG.with_borrow(|flag| flag.clone().unwrap_or_default())
}

/// Runs `run`, to be stopped with the thread that `flag` is of.
pub(crate) fn adopt<R>(flag: &Arc<AtomicBool>, run: impl FnOnce() -> R) -> R {
    let before = FLAG.replace(Some(Arc::clone(flag)));
    let result = run();
    FLAG.replace(before);
    result
}

/// Whether this thread is to give up what it waits for.
pub(crate) fn is_interrupted() -> bool {
    let is_flagged = FLAG.with_borrow(|flag| flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)));
    if is_flagged {
        return true;
    }
    let is_asked = HOOK.get().is_some_and(|hook| hook());
    if is_asked {
        FLAG.with_borrow(|flag| {
            if let Some(flag) = flag {
                flag.store(true, Ordering::Relaxed);
            }
        });
    }
    is_asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_stops_its_thread_and_all_that_share_its_flag() {
        assert!(!is_interrupted());
        let flag = Arc::new(AtomicBool::new(false));
        adopt(&flag, || {
            assert!(!is_interrupted());
            assert!(watched(|| true, is_interrupted));
            std::thread::scope(|scope| {
                let helper = scope.spawn(|| adopt(&flag, is_interrupted));
                assert!(helper.join().unwrap());
            });
            assert!(is_interrupted());
        });
        assert!(!is_interrupted(), "what was adopted is given back");
    }
}
