//! What threads borrow, each for the time of a call, and find again with what the last call left in it.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use parking_lot::Mutex;

/// Things that are handed out one to a thread; more threads than it has places for go on with new ones.
///
/// Nobody waits for a place: in a forked child a lock that another thread held stays held for ever.
pub(super) struct Pool<T> {
    places: Box<[Mutex<Option<Box<T>>>]>,
}

impl<T> Pool<T> {
    /// An empty one.
    pub(super) fn new() -> Self {
        let num_threads = available_parallelism().map_or(1, usize::from);
        Self { places: (0..2 * num_threads).map(|_| Mutex::default()).collect() }
    }

    /// Does `work` with one that lies here, else with a new one; it is gone where `work` panics.
    pub(super) fn with<R>(&self, make: impl FnOnce() -> T, work: impl FnOnce(&mut T) -> R) -> R {
        let first = this_thread() % self.places.len();
        let (before, from) = self.places.split_at(first);
        let places = || from.iter().chain(before).filter_map(|place| place.try_lock());
        let lying = places().find_map(|mut place| place.take());
        let mut item = lying.unwrap_or_else(|| Box::new(make()));
        let done = work(&mut item);
        if let Some(mut place) = places().find(|place| place.is_none()) {
            *place = Some(item);
        }
        done
    }
}

/// A number that few other threads have: each looks first where it left something.
fn this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.with(|own| {
        let number = own.get().unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed));
        own.set(Some(number));
        number
    })
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_thread_finds_again_what_it_left() {
        let pool = Pool::new();
        for round in 0..10 {
            pool.with(Vec::new, |rounds| {
                assert_eq!(rounds.len(), round);
                rounds.push(round);
            });
        }
    }

    #[test]
    fn threads_at_once_have_one_each_and_no_more_are_kept_than_there_are_places() {
        let pool = Pool::new();
        let depth = pool.places.len() + 3;
        nested(&pool, depth);
        let kept = pool.places.iter().filter(|place| place.lock().is_some()).count();
        assert_eq!(kept, pool.places.len());
    }

    fn nested(pool: &Pool<bool>, depth: usize) {
        pool.with(bool::default, |is_taken| {
            assert!(!std::mem::replace(is_taken, true), "it is somebody else's");
            if depth > 0 {
                nested(pool, depth - 1);
            }
            *is_taken = false;
        });
    }

    #[test]
    fn a_held_place_is_passed_by_and_what_a_panic_met_is_gone() {
        let pool = Pool::new();
        pool.with(|| 1, |_| ());
        let held: Vec<_> = pool.places.iter().map(Mutex::lock).collect();
        assert_eq!(pool.with(|| 2, |item| *item), 2);
        drop(held);
        assert!(catch_unwind(AssertUnwindSafe(|| pool.with(|| 3, |_| panic!("met")))).is_err());
        assert_eq!(pool.with(|| 4, |item| *item), 4);
    }
}
