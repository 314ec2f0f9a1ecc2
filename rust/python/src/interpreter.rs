//! The one exit from the interpreter: work and waits happen without the GIL, signals are seen between waits.

use std::time::Duration;

use pyo3::prelude::*;
use rowmill_core::prefetch::Polled;

use crate::error::raise;

/// How long a wait may last before Python's signal handlers run: Ctrl-C always works.
const SLICE: Duration = Duration::from_millis(100);

/// Runs `work` without the GIL.
pub fn detached<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> rowmill_core::Result<T> + Send,
) -> PyResult<T> {
    py.detach(work).map_err(|error| raise(py, error))
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
                polled = py.detach(|| poll(SLICE));
            }
        }
    }
}
