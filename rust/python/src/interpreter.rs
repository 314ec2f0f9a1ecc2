//! The one exit from the interpreter: work and waits happen without the GIL, signals are seen between waits.

use std::cell::RefCell;
use std::time::Duration;

use pyo3::prelude::*;
use rowmill_core::interrupt::watched;
use rowmill_core::prefetch::Polled;

use crate::error::raise;

/// How long a wait may last before Python's signal handlers run: Ctrl-C always works.
const SLICE: Duration = Duration::from_millis(100);

thread_local! {
    /// What a signal handler raised while this thread waited inside of the core.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Lets Python's signal handlers run; whether one of them raised.
fn is_stopped() -> bool {
    Python::attach(|py| match py.check_signals() {
        Ok(()) => false,
        Err(error) => {
            RAISED.set(Some(error));
            true
        }
    })
}

/// Runs `work` without the GIL; where it waits for a network, signals are seen.
pub fn detached<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> rowmill_core::Result<T> + Send,
) -> PyResult<T> {
    let result = py.detach(|| watched(is_stopped, work));
    match RAISED.take() {
        Some(raised) => Err(raised),
        None => result.map_err(|error| raise(py, error)),
    }
}

/// Polls until there is something, without the GIL while waiting; `None` at the end.
///
/// The first poll keeps the GIL and waits for nothing: what is ready costs no hand-over.
pub fn wait<T: Send>(
    py: Python<'_>,
    poll: &mut (impl FnMut(Duration) -> Polled<T> + Send),
) -> PyResult<Option<T>> {
    let mut polled = poll(Duration::ZERO);
    loop {
        match polled {
            Polled::Ready(item) => return item.map(Some).map_err(|error| raise(py, error)),
            Polled::Finished => return Ok(None),
            Polled::Pending => {
                py.check_signals()?;
                polled = py.detach(|| watched(is_stopped, || poll(SLICE)));
                if let Some(raised) = RAISED.take() {
                    return Err(raised);
                }
            }
        }
    }
}
