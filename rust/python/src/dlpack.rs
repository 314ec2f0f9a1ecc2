//! Owned batch buffers as torch tensors and `NumPy` arrays, without a copy.
//!
//! A tensor takes the buffer in a `DLPack` capsule, an array takes it through the buffer protocol.
//! Both drop it when they die, on whatever thread that happens, and so hand it back to its pool.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::{NonNull, null_mut};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyTuple};
use pyo3::{ffi, intern};

/// The name of a capsule nobody has taken yet; who takes it renames it.
const UNTAKEN: &CStr = c"dltensor";

/// A buffer that nobody else reads or writes, given back to its pool by `Drop` on any thread.
///
/// # Safety
///
/// The memory behind `as_mut_ptr` must be readable and writable for `len` bytes, must not move
/// when the value moves, and must stay untouched by others until the value is dropped. `Drop`
/// must neither need the interpreter nor panic.
#[expect(clippy::len_without_is_empty, reason = "nobody asks whether a tensor's bytes are none")]
pub unsafe trait OwnedBytes: Send + 'static {
    /// The first byte.
    fn as_mut_ptr(&mut self) -> *mut u8;
    /// The number of bytes.
    fn len(&self) -> usize;
}

/// What the elements of a buffer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned integers.
    U8,
    /// 16 bits.
    U16,
    /// 32 bits.
    U32,
    /// 64 bits.
    U64,
    /// Signed integers.
    I8,
    /// 16 bits.
    I16,
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
    /// IEEE half.
    F16,
    /// bfloat16: torch only.
    BF16,
    /// IEEE single.
    F32,
    /// IEEE double.
    F64,
}

impl DType {
    /// The type of this name, which is the same in torch and `NumPy`.
    pub fn from_name(name: &str) -> Option<Self> {
        const ALL: [DType; 13] = [
            DType::Bool,
            DType::U8,
            DType::U16,
            DType::U32,
            DType::U64,
            DType::I8,
            DType::I16,
            DType::I32,
            DType::I64,
            DType::F16,
            DType::BF16,
            DType::F32,
            DType::F64,
        ];
        ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// The name that torch and `NumPy` give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// `DLDataTypeCode` of `dlpack.h`.
    fn code(self) -> u8 {
        match self {
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => 0,
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => 1,
            Self::F16 | Self::F32 | Self::F64 => 2,
            Self::BF16 => 4,
            Self::Bool => 6,
        }
    }
}

/// `DLDevice`.
#[repr(C)]
struct Device {
    kind: i32,
    id: i32,
}

/// `DLDataType`.
#[repr(C)]
struct DataType {
    code: u8,
    bits: u8,
    lanes: u16,
}

/// `DLTensor`.
#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device: Device,
    num_dims: i32,
    dtype: DataType,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

/// `DLManagedTensor`, the unversioned form, which every torch takes.
#[repr(C)]
struct ManagedTensor {
    tensor: Tensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut ManagedTensor)>,
}

/// What one capsule owns. The managed tensor comes first, so a pointer to it is one to all.
#[repr(C)]
struct Export {
    managed: ManagedTensor,
    /// The shape, then the strides.
    dims: Box<[i64]>,
    owner: Box<dyn OwnedBytes>,
}

const CPU: Device = Device { kind: 1, id: 0 };

impl Export {
    fn boxed(mut owner: Box<dyn OwnedBytes>, dtype: DType, shape: &[usize]) -> PyResult<Box<Self>> {
        check_fits(&*owner, dtype, shape)?;
        let mut dims = dims_of(shape);
        let (sizes, strides) = dims.split_at_mut(shape.len());
        let tensor = Tensor {
            data: owner.as_mut_ptr().cast(),
            device: CPU,
            num_dims: shape.len() as i32,
            dtype: DataType { code: dtype.code(), bits: 8 * dtype.size() as u8, lanes: 1 },
            shape: sizes.as_mut_ptr(),
            strides: strides.as_mut_ptr(),
            byte_offset: 0,
        };
        let managed = ManagedTensor { tensor, context: null_mut(), deleter: Some(delete) };
        Ok(Box::new(Self { managed, dims, owner }))
    }
}

/// Sizes, then strides in elements, of a C-contiguous tensor.
fn dims_of(shape: &[usize]) -> Box<[i64]> {
    let mut dims = vec![0_i64; 2 * shape.len()];
    let mut stride = 1_i64;
    for (index, &size) in shape.iter().enumerate().rev() {
        dims[index] = size as i64;
        dims[shape.len() + index] = stride;
        stride *= size.max(1) as i64;
    }
    dims.into_boxed_slice()
}

fn check_fits(owner: &dyn OwnedBytes, dtype: DType, shape: &[usize]) -> PyResult<()> {
    // Zeros count as ones here, so that the strides of an empty tensor cannot overflow either.
    let elements = shape.iter().try_fold(dtype.size(), |bytes, &size| bytes.checked_mul(size.max(1)));
    let needed = if shape.contains(&0) { elements.map(|_| 0) } else { elements };
    match needed {
        Some(needed) if needed <= owner.len() && i64::try_from(elements.unwrap_or(0)).is_ok() => Ok(()),
        _ => Err(PyValueError::new_err(format!(
            "a buffer of {} bytes does not hold {shape:?} elements of {}",
            owner.len(),
            dtype.name()
        ))),
    }
}

/// The deleter of a tensor; called once, from any thread, with or without the interpreter.
unsafe extern "C" fn delete(managed: *mut ManagedTensor) {
    // SAFETY: `managed` is the first field of the `Export` that `capsule` leaked, and DLPack
    // calls a deleter exactly once.
    drop(unsafe { Box::from_raw(managed.cast::<Export>()) });
}

/// The destructor of a capsule: frees the buffer if nobody took it.
unsafe extern "C" fn drop_untaken(capsule: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this with the live capsule, attached. A consumer renames the
    // capsule, so under the old name the pointer is still the `Export` that `capsule` leaked.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, UNTAKEN.as_ptr()) == 1 {
            delete(ffi::PyCapsule_GetPointer(capsule, UNTAKEN.as_ptr()).cast());
        }
    }
}

/// The buffer as a `DLPack` capsule: CPU, C-contiguous, writable.
pub fn capsule<'py>(
    py: Python<'py>,
    buffer: Box<dyn OwnedBytes>,
    dtype: DType,
    shape: &[usize],
) -> PyResult<Bound<'py, PyCapsule>> {
    let export = NonNull::from(Box::leak(Export::boxed(buffer, dtype, shape)?));
    // SAFETY: the pointer stays valid until the deleter runs, which the consumer calls or, where
    // there is none, the destructor; the buffer may be dropped on any thread.
    let made =
        unsafe { PyCapsule::new_with_pointer_and_destructor(py, export.cast(), UNTAKEN, Some(drop_untaken)) };
    if made.is_err() {
        // SAFETY: no capsule was made, so nobody else holds the leaked box.
        unsafe { delete(export.as_ptr().cast()) };
    }
    made
}

/// The buffer as a torch tensor; `torch_from_dlpack` is `torch.from_dlpack`.
pub fn tensor<'py>(
    py: Python<'py>,
    torch_from_dlpack: &Bound<'py, PyAny>,
    buffer: Box<dyn OwnedBytes>,
    dtype: DType,
    shape: &[usize],
) -> PyResult<Bound<'py, PyAny>> {
    torch_from_dlpack.call1((capsule(py, buffer, dtype, shape)?,))
}

/// The buffer as a writable `NumPy` array; `numpy_ndarray` is `numpy.ndarray`.
pub fn ndarray<'py>(
    py: Python<'py>,
    numpy_ndarray: &Bound<'py, PyAny>,
    buffer: Box<dyn OwnedBytes>,
    dtype: DType,
    shape: &[usize],
) -> PyResult<Bound<'py, PyAny>> {
    if dtype == DType::BF16 {
        return Err(PyTypeError::new_err(
            "NumPy has no bfloat16; ask for another dtype or use the torch format",
        ));
    }
    check_fits(&*buffer, dtype, shape)?;
    let shape = PyTuple::new(py, shape)?;
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "buffer"), Buffer::new(buffer))?;
    numpy_ndarray.call((shape, dtype.name()), Some(&keywords))
}

/// Owned bytes behind Python's buffer protocol: writable, one flat run.
#[pyclass(frozen, module = "rowmill")]
pub struct Buffer {
    data: *mut u8,
    len: usize,
    #[expect(dead_code, reason = "held for its Drop, which gives the bytes back")]
    owner: Box<dyn OwnedBytes>,
}

// SAFETY: nothing here touches the memory or the owner before `Drop`; what Python does through
// the exported pointer is under Python's own rules, and the owner may be dropped on any thread.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Takes the bytes until the last view of them dies.
    pub fn new(mut owner: Box<dyn OwnedBytes>) -> Self {
        Self { data: owner.as_mut_ptr(), len: owner.len(), owner }
    }
}

#[pymethods]
impl Buffer {
    fn __len__(&self) -> usize {
        self.len
    }

    fn __repr__(&self) -> String {
        format!("Buffer({} bytes)", self.len)
    }

    #[expect(clippy::needless_pass_by_value, reason = "the signature is PyO3's")]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        // SAFETY: the interpreter passes a view to fill; the bytes live as long as `slf`, to
        // which the filled view holds a reference.
        let status = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                this.data.cast(),
                this.len as ffi::Py_ssize_t,
                0,
                flags,
            )
        };
        if status == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
