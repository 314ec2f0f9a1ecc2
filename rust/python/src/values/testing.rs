//! What only the test suite calls: values and buffers without a dataset around them.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::{Array, ArrayRef, make_array};
use arrow_data::ArrayData;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rowmill_core::shard::storage::storage_type;

use super::{ConvertError, RowConverter};
use crate::arrow_export::{PyRecordBatch, import_record_batch, import_schema, pyarrow_schema};
use crate::dlpack::{self, DType, OwnedBytes};

/// All rows of a record batch; with `storage`, its strings are first turned into bytes.
#[pyfunction]
#[pyo3(signature = (batch, *, storage=false))]
pub fn rows_from_arrow<'py>(
    py: Python<'py>,
    batch: &Bound<'py, PyAny>,
    storage: bool,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let batch = import_record_batch(batch)?;
    let converter = RowConverter::try_new(py, batch.schema_ref())?;
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    if storage {
        columns = columns.iter().map(|column| make_array(storage_data(&column.to_data()))).collect();
    }
    let row = |row| converter.row(py, columns.iter().map(|array| (array, row))).map_err(value_error);
    (0..batch.num_rows()).map(row).collect()
}

fn value_error(error: ConvertError) -> PyErr {
    match error {
        ConvertError::Python(error) => error,
        ConvertError::Damaged { column, problem } => {
            PyValueError::new_err(format!("column {column:?} is damaged: {problem}"))
        }
    }
}

/// The same data with every string type, at any depth, called its binary twin.
fn storage_data(data: &ArrayData) -> ArrayData {
    let children = data.child_data().iter().map(storage_data).collect();
    let builder = data.clone().into_builder();
    let builder = builder.data_type(storage_type(data.data_type())).child_data(children);
    // SAFETY: the layouts of a string type and its binary twin are the same.
    unsafe { builder.build_unchecked() }
}

static LIVE_BUFFERS: AtomicUsize = AtomicUsize::new(0);

/// A zeroed, aligned buffer that is counted while it lives.
struct CountedBytes {
    data: *mut u8,
    layout: Layout,
    len: usize,
}

// SAFETY: the allocation belongs to this value alone.
unsafe impl Send for CountedBytes {}

// SAFETY: `data` is a private heap allocation of at least `len` bytes, freed by `Drop` only.
unsafe impl OwnedBytes for CountedBytes {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.data
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl CountedBytes {
    fn try_new(len: usize) -> PyResult<Self> {
        let layout = Layout::from_size_align(len.max(1), 64);
        let layout = layout.map_err(|_| PyValueError::new_err(format!("{len} bytes are too many")))?;
        // SAFETY: the size is not zero.
        let data = unsafe { alloc_zeroed(layout) };
        if data.is_null() {
            handle_alloc_error(layout);
        }
        LIVE_BUFFERS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { data, layout, len })
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        LIVE_BUFFERS.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: allocated in `try_new` with this layout.
        unsafe { dealloc(self.data, self.layout) }
    }
}

/// How many counted buffers are alive.
#[pyfunction]
pub fn live_buffers() -> usize {
    LIVE_BUFFERS.load(Ordering::Relaxed)
}

/// The batch, taken in and handed out again over the C interface.
#[pyfunction]
pub fn roundtrip(batch: &Bound<'_, PyAny>) -> PyResult<PyRecordBatch> {
    Ok(PyRecordBatch::new(import_record_batch(batch)?))
}

/// The schema, taken in and handed out again as a `pyarrow.Schema`.
#[pyfunction]
pub fn roundtrip_schema<'py>(schema: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    pyarrow_schema(schema.py(), import_schema(schema)?.into())
}

/// A counted buffer of zeros as `kind`: "capsule", "tensor" or "ndarray".
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "a list from Python can only be taken owned")]
pub fn export_zeros<'py>(
    py: Python<'py>,
    kind: &str,
    num_bytes: usize,
    dtype: &str,
    shape: Vec<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let unknown = || PyValueError::new_err(format!("no dtype {dtype:?}"));
    let dtype = DType::from_name(dtype).ok_or_else(unknown)?;
    let buffer: Box<dyn OwnedBytes> = Box::new(CountedBytes::try_new(num_bytes)?);
    match kind {
        "capsule" => Ok(dlpack::capsule(py, buffer, dtype, &shape)?.into_any()),
        "tensor" => {
            let from_dlpack = py.import("torch")?.getattr("from_dlpack")?;
            dlpack::tensor(py, &from_dlpack, buffer, dtype, &shape)
        }
        "ndarray" => dlpack::ndarray(py, &py.import("numpy")?.getattr("ndarray")?, buffer, dtype, &shape),
        _ => Err(PyValueError::new_err(format!("no kind {kind:?}"))),
    }
}
