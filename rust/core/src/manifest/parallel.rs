//! A map over a slice on several threads, results in the slice's order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::interrupt;

/// Calls `work` on every item on up to `num_threads` threads; few or no threads means the caller's own.
///
/// Items are taken one by one, since one shard may cost a thousand times another.
/// A panic in `work` is passed on to the caller, and what interrupts the caller interrupts all.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    num_threads: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if num_threads <= 1 || items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take_turns = || {
        let mut done = Vec::with_capacity(items.len() / num_threads);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return done };
            done.push((index, work(item)));
        }
    };
    let flag = interrupt::shared();
    let mut done = thread::scope(|scope| {
        let help = || interrupt::adopt(&flag, take_turns);
        let helpers: Vec<_> = (1..num_threads.min(items.len())).map(|_| scope.spawn(help)).collect();
        let mut all = help();
        for helper in helpers {
            match helper.join() {
                Ok(part) => all.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        for num_threads in [0, 1, 2, 7, 2000] {
            assert_eq!(
                map(&items, num_threads, |item| item * 2),
                items.iter().map(|item| item * 2).collect::<Vec<_>>()
            );
        }
        assert!(map(&[] as &[u8], 4, |_| ()).is_empty());
    }
}
