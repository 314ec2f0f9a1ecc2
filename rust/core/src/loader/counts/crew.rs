//! Work on several threads, of which the caller is asked ten times a second whether it shall go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::panics::guarded;

/// How often the caller is asked.
const SLICE: Duration = Duration::from_millis(100);

/// Runs `work` on the numbers below `num_items`, on up to `num_threads` threads, each with a state of its own.
///
/// Results come in the order of the numbers; `None` where `watch` said to stop. The first error stops all.
pub(super) fn run<S, R: Send>(
    num_items: usize,
    num_threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<R> + Sync,
    watch: &mut dyn FnMut() -> bool,
) -> Result<Option<Vec<R>>> {
    // Before the first thread as well: short work may be done before it is time to ask again.
    if !watch() {
        return Ok(None);
    }
    let (next, is_stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (running, ended) = (Mutex::new(0_usize), Condvar::new());
    let take_turns = || {
        let mut done = Vec::new();
        let mut state = state();
        let mut outcome = Ok(());
        while !is_stopped.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= num_items {
                break;
            }
            let made = guarded(|| work(&mut state, index));
            match made.unwrap_or_else(|text| Err(Error::Internal(format!("counting panicked: {text}")))) {
                Ok(made) => done.push((index, made)),
                Err(error) => {
                    is_stopped.store(true, Ordering::Relaxed);
                    outcome = Err((index, error));
                }
            }
        }
        *running.lock() -= 1;
        ended.notify_one();
        (done, outcome)
    };
    let outcomes = thread::scope(|scope| {
        let threads: Vec<_> = (0..num_threads.clamp(1, num_items.max(1)))
            .map_while(|index| {
                *running.lock() += 1;
                let name = format!("rowmill-count-{index}");
                let spawned = thread::Builder::new().name(name).spawn_scoped(scope, take_turns);
                if spawned.is_err() {
                    *running.lock() -= 1;
                }
                spawned.ok()
            })
            .collect();
        if threads.is_empty() {
            return Err(Error::Internal("the system starts no thread".to_owned()));
        }
        loop {
            let mut running = running.lock();
            if *running == 0 {
                break;
            }
            ended.wait_for(&mut running, SLICE);
            drop(running);
            if !watch() {
                is_stopped.store(true, Ordering::Relaxed);
            }
        }
        let joined = threads.into_iter().map(|thread| {
            thread.join().map_err(|_| Error::Internal("a thread that counts panicked".to_owned()))
        });
        joined.collect::<Result<Vec<_>>>()
    })?;
    let (mut made, mut failed) = (Vec::with_capacity(num_items), Vec::new());
    for (done, outcome) in outcomes {
        made.extend(done);
        failed.extend(outcome.err());
    }
    // The same damage is the same error on every run, as far as threads let it be.
    if let Some((_, error)) = failed.into_iter().min_by_key(|(index, _)| *index) {
        return Err(error);
    }
    made.sort_unstable_by_key(|(index, _)| *index);
    Ok((made.len() == num_items).then(|| made.into_iter().map(|(_, made)| made).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_and_the_first_error_counts() {
        for num_threads in [0, 1, 3, 90] {
            let made = run(50, num_threads, || (), |(), index| Ok(index * 2), &mut || true).unwrap().unwrap();
            assert_eq!(made, (0..50).map(|index| index * 2).collect::<Vec<_>>());
            let fails =
                |index: usize| if index >= 7 { Err(Error::Topology(index.to_string())) } else { Ok(()) };
            let failed = run(8, num_threads, || (), |(), index| fails(index), &mut || true);
            assert_eq!(failed.unwrap_err().to_string(), "7");
        }
        assert_eq!(run(0, 2, || (), |(), index| Ok(index), &mut || true).unwrap().unwrap(), [0; 0]);
    }

    #[test]
    fn who_is_told_to_stop_stops() {
        let slow = |(): &mut (), _| {
            thread::sleep(Duration::from_millis(30));
            Ok(())
        };
        assert!(run(1_000_000, 2, || (), slow, &mut || false).unwrap().is_none());
    }

    #[test]
    fn a_panic_is_an_error() {
        let failed = run(3, 2, || (), |(), _| -> Result<()> { panic!("lost") }, &mut || true);
        assert!(failed.unwrap_err().to_string().contains("lost"));
    }
}
