//! How rows of tokens are padded, as Python asks for it.

use std::ops::Range;

use pyo3::prelude::*;
use rowmill_core::text::pack::{PadSpec, Padding};
use rowmill_core::text::padded::PadRequest;

use crate::error::raise;

/// Widths, sides and what stands where there is no token.
#[pyclass(frozen, module = "rowmill._rust", name = "Padding")]
pub struct PyPadding {
    /// What is asked for.
    pub request: PadRequest,
}

/// A row's parts that stay, and the first place that they fill.
type Places = (Vec<(usize, usize)>, usize);

#[pymethods]
impl PyPadding {
    /// What `Dataset.pad` asks for; `special` counts the tokens at both ends that truncation leaves standing.
    #[new]
    #[pyo3(signature = (*, tokens, padding, max_length, truncation, multiple_of, padding_side, truncation_side, special,
                        pad_id, values, labels, label_mask))]
    #[expect(clippy::too_many_arguments, reason = "the keywords of Dataset.pad, one each")]
    fn new(
        py: Python<'_>,
        tokens: String,
        padding: &str,
        max_length: Option<usize>,
        truncation: bool,
        multiple_of: Option<usize>,
        padding_side: &str,
        truncation_side: &str,
        special: (usize, usize),
        pad_id: u32,
        values: Vec<(String, Option<f64>)>,
        labels: Option<String>,
        label_mask: Option<String>,
    ) -> PyResult<Self> {
        let spec = || {
            Ok(PadSpec {
                padding: if padding == "max_length" { Padding::MaxLength } else { Padding::Longest },
                max_length,
                truncation,
                multiple_of,
                padding_side: padding_side.parse()?,
                truncation_side: truncation_side.parse()?,
                special,
                pad_id,
            })
        };
        let spec = spec().map_err(|error| raise(py, error))?;
        Ok(Self { request: PadRequest { spec, tokens, values, labels, label_mask } })
    }

    /// The width of a batch of rows of these lengths; and of each row the parts that stay, and where they begin.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn places(&self, py: Python<'_>, lengths: Vec<usize>) -> PyResult<(usize, Vec<Places>)> {
        let spec = &self.request.spec;
        let made = || {
            let width = spec.width(lengths.iter().copied())?;
            let places = lengths.iter().map(|len| {
                let (parts, real) = spec.place(*len, width)?;
                let parts = parts.into_iter().filter(|part| !part.is_empty());
                Ok((parts.map(|Range { start, end }| (start, end)).collect(), real.start))
            });
            Ok((width, places.collect::<rowmill_core::Result<_>>()?))
        };
        made().map_err(|error| raise(py, error))
    }

    fn __repr__(&self) -> String {
        format!("Padding({:?})", self.request.tokens)
    }
}
