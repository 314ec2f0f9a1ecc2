//! Runs jobs that may panic: the panic becomes an error in its item's place and prints nothing.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Once},
};

use super::Weigh;
use crate::{Error, Result};

/// The work of one thread: from a job's number or key to its result. Holds that thread's caches.
pub type Job<K, T> = Box<dyn FnMut(K) -> Result<T> + Send>;

/// Makes the work of one thread; called in that thread.
pub type MakeJob<K, T> = Arc<dyn Fn() -> Job<K, T> + Send + Sync>;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

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

// The text of the panic, with its place, instead of the panic.
fn guarded<R>(run: impl FnOnce() -> R) -> std::result::Result<R, String> {
    silence_guarded_threads();
    let was_guarded = IS_GUARDED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    IS_GUARDED.set(was_guarded);
    outcome.map_err(|payload| {
        let place = PLACE.take();
        format!("{} (at {place})", payload_text(payload.as_ref()))
    })
}

// The hook is the process's; ours hands every panic on that is not inside a job.
fn silence_guarded_threads() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_GUARDED.try_with(Cell::get).unwrap_or(false) {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                PLACE.set(place);
            } else {
                before(info);
            }
        }));
    });
}

fn payload_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}
