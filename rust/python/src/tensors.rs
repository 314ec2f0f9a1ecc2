//! Buffers of the engine as tensors or arrays of the consumer, without a copy.

use pyo3::prelude::*;
use rowmill_core::assemble::{Dtype, PoolBuffer};

use crate::dlpack::{DType, OwnedBytes, ndarray, tensor};
use crate::pinning::Pinning;

/// Makes tensors (torch's, by its `from_dlpack`) or arrays (by numpy's `ndarray`).
pub struct Tensors {
    is_torch: bool,
    wrap: Option<Py<PyAny>>,
    pinning: Option<Pinning>,
}

impl Tensors {
    /// `wrap` makes the consumer's type, numpy's arrays where none is given; `pin` page-locks the buffers of torch
    /// tensors.
    pub fn try_new(
        py: Python<'_>,
        is_torch: bool,
        wrap: Option<Py<PyAny>>,
        pin: Option<(Py<PyAny>, Py<PyAny>)>,
    ) -> PyResult<Self> {
        let wrap = match wrap {
            None if !is_torch => Some(py.import("numpy")?.getattr("ndarray")?.unbind()),
            wrap => wrap,
        };
        Ok(Self { is_torch, wrap, pinning: pin.map(Pinning::new) })
    }

    /// A buffer in the hands of the consumer.
    pub fn make<'py>(
        &self,
        py: Python<'py>,
        mut buffer: PoolBuffer,
        dtype: Dtype,
        shape: &[usize],
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(pinning) = &self.pinning {
            pinning.pin(py, &mut buffer)?;
        }
        let dtype = DType::from_name(dtype.name()).unwrap_or(DType::U8);
        let Some(wrap) = &self.wrap else {
            return Err(pyo3::exceptions::PyRuntimeError::new_err("tensors need torch or numpy"));
        };
        let wrap = wrap.bind(py);
        if self.is_torch {
            tensor(py, wrap, Box::new(Handed(buffer)), dtype, shape)
        } else {
            ndarray(py, wrap, Box::new(Handed(buffer)), dtype, shape)
        }
    }
}

/// A pool's buffer in the hands of a tensor: it goes back to the pool when the tensor dies.
struct Handed(PoolBuffer);

// SAFETY: a PoolBuffer owns its memory on the heap, so moving the value moves no byte of it; nobody else
// holds it until it is dropped, and dropping it locks the pool and touches no Python object.
unsafe impl OwnedBytes for Handed {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_slice().as_mut_ptr()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
