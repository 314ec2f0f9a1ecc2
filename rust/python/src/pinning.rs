//! Page-locking of batch buffers, each once, by functions that only Python knows.

use std::sync::Arc;

use pyo3::prelude::*;
use rowmill_core::assemble::PoolBuffer;
use rowmill_core::assemble::pool::Unpin;

/// Registers a pool's buffers with a device's driver and takes them off again before they are freed.
pub struct Pinning {
    register: Py<PyAny>,
    unregister: Unpin,
}

impl Pinning {
    /// `register(address, num_bytes)` and `unregister(address)`.
    pub fn new((register, unregister): (Py<PyAny>, Py<PyAny>)) -> Self {
        // A tensor may die on any thread, and even while the interpreter shuts down: the driver frees
        // its registrations with the process then.
        let unregister = move |bytes: &[u8]| {
            let address = bytes.as_ptr().addr();
            let _ = Python::try_attach(|py| {
                if let Err(error) = unregister.call1(py, (address,)) {
                    error.write_unraisable(py, None);
                }
            });
        };
        Self { register, unregister: Arc::new(unregister) }
    }

    /// Pins the buffer's memory unless it is pinned already.
    pub fn pin(&self, py: Python<'_>, buffer: &mut PoolBuffer) -> PyResult<()> {
        if buffer.is_pinned() || buffer.capacity() == 0 {
            return Ok(());
        }
        let register =
            |bytes: &mut [u8]| self.register.call1(py, (bytes.as_mut_ptr().addr(), bytes.len())).map(drop);
        buffer.pin(register, Arc::clone(&self.unregister))
    }
}
