//! Record batches and schemas over the Arrow C Data Interface, without a copy.
//!
//! pyarrow, polars and `DuckDB` take any object with these methods; they need nothing of ours.

use std::ffi::CStr;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{Array, RecordBatch, RecordBatchIterator, RecordBatchOptions, StructArray};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};

const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";
const STREAM: &CStr = c"arrow_array_stream";

/// Rows as Arrow holds them; `pyarrow.record_batch(x)` and `polars.DataFrame(x)` read them in place.
#[pyclass(frozen, module = "rowmill", name = "RecordBatch")]
pub struct PyRecordBatch(RecordBatch);

impl PyRecordBatch {
    /// Wraps a batch whose arrays have their logical types: strings as strings.
    pub fn new(batch: RecordBatch) -> Self {
        Self(batch)
    }
}

#[pymethods]
impl PyRecordBatch {
    /// The pair of capsules; a wish for another schema may be ignored, says the protocol.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        drop(requested_schema);
        let data = StructArray::from(self.0.clone()).into_data();
        let array = PyCapsule::new_with_value(py, FFI_ArrowArray::new(&data), ARRAY)?;
        Ok((schema_capsule(py, self.0.schema_ref())?, array))
    }

    /// The batch as a stream of one, the form that `DuckDB` asks for.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let reader = RecordBatchIterator::new([Ok(self.0.clone())], self.0.schema());
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), STREAM)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, self.0.schema_ref())
    }

    /// The number of rows.
    #[getter]
    fn num_rows(&self) -> usize {
        self.0.num_rows()
    }

    /// The number of columns.
    #[getter]
    fn num_columns(&self) -> usize {
        self.0.num_columns()
    }

    /// The schema, as an object that `pyarrow.schema` takes.
    #[getter]
    fn schema(&self) -> PySchema {
        PySchema(self.0.schema())
    }

    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    fn __repr__(&self) -> String {
        format!("RecordBatch({} rows, {} columns)", self.0.num_rows(), self.0.num_columns())
    }
}

/// A schema that `pyarrow.schema(x)` takes, with its metadata and extension types.
#[pyclass(frozen, module = "rowmill", name = "Schema")]
pub struct PySchema(SchemaRef);

impl PySchema {
    /// Wraps a schema.
    pub fn new(schema: SchemaRef) -> Self {
        Self(schema)
    }
}

#[pymethods]
impl PySchema {
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.0)
    }

    /// The names of the columns.
    #[getter]
    fn names(&self) -> Vec<&str> {
        self.0.fields().iter().map(|field| field.name().as_str()).collect()
    }

    fn __len__(&self) -> usize {
        self.0.fields().len()
    }

    fn __repr__(&self) -> String {
        format!("Schema({})", self.names().join(", "))
    }
}

/// The schema as a `pyarrow.Schema`.
pub fn pyarrow_schema(py: Python<'_>, schema: SchemaRef) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "pyarrow"))?.call_method1(intern!(py, "schema"), (PySchema(schema),))
}

fn schema_capsule<'py>(py: Python<'py>, schema: &Schema) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(schema).map_err(|error| unexportable(&error))?;
    // The capsule drops the struct, and dropping it releases what no consumer has moved out.
    PyCapsule::new_with_value(py, schema, SCHEMA)
}

fn unexportable(error: &ArrowError) -> PyErr {
    PyValueError::new_err(format!("this schema cannot cross the Arrow C interface: {error}"))
}

/// The schema of any object with `__arrow_c_schema__`.
pub fn import_schema(object: &Bound<'_, PyAny>) -> PyResult<Schema> {
    let capsule = object.call_method0(intern!(object.py(), "__arrow_c_schema__"))?;
    schema_of(capsule.cast::<PyCapsule>()?)
}

fn schema_of(capsule: &Bound<'_, PyCapsule>) -> PyResult<Schema> {
    let pointer = capsule.pointer_checked(Some(SCHEMA))?.cast::<FFI_ArrowSchema>();
    // SAFETY: a capsule of this name holds a live ArrowSchema, which is only read here.
    let schema = unsafe { pointer.as_ref() };
    Schema::try_from(schema).map_err(|error| unimportable(&error))
}

/// The record batch of any object with `__arrow_c_array__`, sharing its memory.
pub fn import_record_batch(object: &Bound<'_, PyAny>) -> PyResult<RecordBatch> {
    let pair = object.call_method0(intern!(object.py(), "__arrow_c_array__"))?;
    let pair = pair.cast::<PyTuple>()?;
    let schema = schema_of(pair.get_item(0)?.cast::<PyCapsule>()?)?;
    let array = pair.get_item(1)?;
    let pointer = array.cast::<PyCapsule>()?.pointer_checked(Some(ARRAY))?.cast::<FFI_ArrowArray>();
    let fields = DataType::Struct(schema.fields().clone());
    // SAFETY: a capsule of this name holds an ArrowArray of the type its schema capsule names;
    // `from_raw` moves it out and leaves a released struct behind, as the protocol asks.
    let data = unsafe { from_ffi_and_data_type(FFI_ArrowArray::from_raw(pointer.as_ptr()), fields) };
    let rows = StructArray::from(data.map_err(|error| unimportable(&error))?);
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.into(), rows.columns().to_vec(), &options)
        .map_err(|error| unimportable(&error))
}

fn unimportable(error: &ArrowError) -> PyErr {
    PyValueError::new_err(format!("not a record batch that can be read: {error}"))
}
