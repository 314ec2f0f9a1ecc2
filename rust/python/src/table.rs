//! A dataset opened for reading some of its columns.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use rowmill_core::assemble::{BatchRequest, ColumnPlan, RowSet, plan_columns};
use rowmill_core::loader::Table;
use rowmill_core::text::encoder::{Encoder, EncoderSpec, Part};

use crate::arrow_export::PySchema;
use crate::counts::PyTokenCounts;
use crate::error::{raise, raise_conversion};
use crate::interpreter::detached;
use crate::tokenizer::PyTokenizer;
use crate::values::RowConverter;

/// Reads rows of some columns.
#[pyclass(frozen, module = "rowmill._rust", name = "Table")]
pub struct PyTable {
    /// The opened data.
    pub table: Arc<Table>,
    /// Makes its rows Python dicts.
    pub converter: Arc<RowConverter>,
    /// What becomes of rows that are tokenized.
    pub encoder: Option<Arc<Encoder>>,
}

impl PyTable {
    /// Compiles the conversion of rows.
    pub fn try_new(py: Python<'_>, table: Arc<Table>, encoder: Option<Arc<Encoder>>) -> PyResult<Self> {
        let schema = encoder.as_ref().map_or(table.schema(), |encoder| encoder.schema());
        let converter = Arc::new(RowConverter::try_new(py, schema)?);
        Ok(Self { table, converter, encoder })
    }

    /// The columns that are handed out.
    pub fn schema_ref(&self) -> &SchemaRef {
        self.encoder.as_ref().map_or(self.table.schema(), |encoder| encoder.schema())
    }
}

#[pymethods]
impl PyTable {
    /// The columns read, under their names here.
    #[getter]
    fn schema(&self) -> PySchema {
        PySchema::new(Arc::clone(self.schema_ref()))
    }

    /// (name, dtype) of the numeric columns, as batches of them have it.
    fn numeric_dtypes(&self, tokens_as_int64: bool) -> Vec<(String, &'static str)> {
        let request = BatchRequest { tokens_as_int64, ..BatchRequest::default() };
        let schema = self.schema_ref();
        let plans = plan_columns(schema, &request).unwrap_or_default();
        let numeric = schema.fields().iter().zip(plans).filter_map(|(field, plan)| match plan {
            ColumnPlan::Numeric(numeric) => Some((field.name().clone(), numeric.target.name())),
            ColumnPlan::Objects => None,
        });
        numeric.collect()
    }

    /// The rows with these row ids, as dicts.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn fetch<'py>(&self, py: Python<'py>, row_ids: Vec<u64>) -> PyResult<Bound<'py, PyList>> {
        let rows = detached(py, || {
            let rows = self.table.fetch(&row_ids)?;
            match &self.encoder {
                Some(encoder) => encoder.apply(&rows),
                None => Ok(rows),
            }
        })?;
        dicts(py, &self.converter, &rows)
    }

    /// The same rows as token ids, with some of the columns beside them.
    ///
    /// `parts` are what a document's text is made of: characters, then the name of a column or None.
    #[pyo3(signature = (*, tokenizer, parts, bos, eos, kept))]
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn encoded(
        &self,
        py: Python<'_>,
        tokenizer: &PyTokenizer,
        parts: Vec<(String, Option<String>)>,
        bos: Option<u32>,
        eos: Option<u32>,
        kept: Vec<String>,
    ) -> PyResult<Self> {
        let schema = self.table.schema();
        let index =
            |name: &String| schema.index_of(name).map_err(|error| PyValueError::new_err(error.to_string()));
        let mut made = Vec::new();
        for (literal, column) in parts {
            made.extend((!literal.is_empty()).then_some(Part::Literal(literal)));
            if let Some(column) = column {
                made.push(Part::Column(index(&column)?));
            }
        }
        let kept = kept.iter().map(index).collect::<PyResult<_>>()?;
        let spec = EncoderSpec { tokenizer: tokenizer.tokenizer.clone(), parts: made, bos, eos, kept };
        let encoder = Encoder::try_new(spec, schema).map_err(|error| raise(py, error))?;
        Self::try_new(py, Arc::clone(&self.table), Some(Arc::new(encoder)))
    }

    /// Counts the tokens of each row as a document, and keeps the counts in `path`; what is kept there under the
    /// same key is not counted again. Rows that are not tokenized hold ids in `token_column`, ended by `eos`.
    ///
    /// `progress` is called with the rows done and all rows, some ten times a second.
    #[pyo3(signature = (*, token_column, eos, path, key, num_threads, force, progress))]
    #[expect(clippy::too_many_arguments, reason = "what is counted, and where it is kept, one each")]
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn count_tokens(
        &self,
        py: Python<'_>,
        token_column: &str,
        eos: Option<u32>,
        path: PathBuf,
        key: &str,
        num_threads: Option<usize>,
        force: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<PyTokenCounts> {
        self.counted(py, token_column, eos, path, key, num_threads, force, progress.as_ref())
    }

    fn __repr__(&self) -> String {
        format!("Table({} columns)", self.schema_ref().fields().len())
    }
}

/// All rows as a list of dicts.
pub fn dicts<'py>(py: Python<'py>, converter: &RowConverter, rows: &RowSet) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for index in 0..rows.len() {
        list.append(dict(py, converter, rows, index)?)?;
    }
    Ok(list)
}

/// One row as a dict.
pub fn dict<'py>(
    py: Python<'py>,
    converter: &RowConverter,
    rows: &RowSet,
    index: usize,
) -> PyResult<Bound<'py, pyo3::types::PyDict>> {
    let cells = (0..converter.num_columns()).map(|column| rows.cell(column, index));
    converter.row(py, cells).map_err(|error| raise_conversion(py, error, rows.locate(index).0))
}
