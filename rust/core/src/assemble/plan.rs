//! How each column of the asked rows becomes a column of the batch, decided once from the schema.

use arrow_schema::{DataType, Field, Schema};

use super::convert::is_convertible;
use super::dtype::Dtype;
use crate::error::{Error, Result};

/// Deeper nesting than this is handed out as Python lists.
pub const MAX_RANK: usize = 8;

/// One step from a column's array towards the numbers it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// Through the keys of a dictionary to its values.
    Dictionary,
    /// Through run ends to the run's value.
    RunEnd,
    /// Into a list of 32-bit offsets.
    List,
    /// Into a list of 64-bit offsets.
    LargeList,
    /// Into a list that always has this many elements.
    FixedSizeList(usize),
}

/// A column whose rows are numbers, or (nested) lists of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct NumericPlan {
    /// From the column to its leaf.
    pub hops: Vec<Hop>,
    /// Element type as stored.
    pub stored: Dtype,
    /// Element type of the batch.
    pub target: Dtype,
    /// What stands for a null; `None` makes a null an error.
    pub fill: Option<f64>,
}

/// How one column is assembled.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnPlan {
    /// One tensor, where the rows' shapes agree.
    Numeric(NumericPlan),
    /// A list of Python values.
    Objects,
}

/// What the caller asked of the batches.
#[derive(Debug, Clone, Default)]
pub struct BatchRequest {
    /// Element types by column name; the empty name stands for every numeric column.
    pub dtypes: Vec<(String, Dtype)>,
    /// Fill values for nulls by column name; the empty name stands for every numeric column.
    pub fills: Vec<(String, f64)>,
    /// Token columns become int64, as embedding layers want them.
    pub tokens_as_int64: bool,
}

/// Columns that hold token ids by the convention of the field, whatever integer type stores them.
const TOKEN_NAMES: [&str; 5] = ["input_ids", "labels", "attention_mask", "token_type_ids", "position_ids"];

/// Plans every column of `schema`.
///
/// # Errors
/// `SchemaMismatch` where a dtype or fill value names a column that is not there or is not numeric, or
/// asks for a conversion that loses information by design (float to integer).
pub fn plan_columns(schema: &Schema, request: &BatchRequest) -> Result<Vec<ColumnPlan>> {
    for name in request.dtypes.iter().map(|(name, _)| name).chain(request.fills.iter().map(|(name, _)| name))
    {
        check_numeric(schema, name)?;
    }
    schema.fields().iter().map(|field| plan_column(field, request)).collect()
}

fn plan_column(field: &Field, request: &BatchRequest) -> Result<ColumnPlan> {
    let Some((hops, stored)) = numeric_leaf(field.data_type()) else { return Ok(ColumnPlan::Objects) };
    let asked = chosen(&request.dtypes, field.name());
    let default = if request.tokens_as_int64 && is_token_column(field.name(), &hops, stored) {
        Dtype::Int64
    } else {
        stored
    };
    let target = asked.unwrap_or(default);
    if !is_convertible(stored, target) {
        return Err(Error::SchemaMismatch {
            path: None,
            message: format!(
                "column {:?} is stored as {stored} and cannot be read as {target}; convert it in .map, or ask for another dtype",
                field.name()
            ),
        });
    }
    Ok(ColumnPlan::Numeric(NumericPlan { hops, stored, target, fill: chosen(&request.fills, field.name()) }))
}

/// The entry for this column, else the one for all columns.
fn chosen<T: Copy>(entries: &[(String, T)], name: &str) -> Option<T> {
    let find = |wanted: &str| entries.iter().find(|(known, _)| known == wanted).map(|(_, value)| *value);
    find(name).or_else(|| find(""))
}

/// Variable-length lists of 16-bit or wider integers are token ids; pixels and features are fixed-size or bytes.
fn is_token_column(name: &str, hops: &[Hop], stored: Dtype) -> bool {
    let is_integer = !stored.is_float() && stored != Dtype::Bool && stored != Dtype::UInt64;
    let is_token_list = matches!(hops, [Hop::List | Hop::LargeList]) && stored.size() > 1;
    is_integer && !hops.is_empty() && (is_token_list || TOKEN_NAMES.contains(&name))
}

/// The way to a numeric leaf, `None` where the type holds none that one tensor could show.
fn numeric_leaf(data_type: &DataType) -> Option<(Vec<Hop>, Dtype)> {
    let mut hops = Vec::new();
    let mut current = data_type;
    loop {
        let (hop, next) = match current {
            // A key's value is one row; below a list the values would not be contiguous.
            DataType::Dictionary(_, values) if hops.is_empty() => (Hop::Dictionary, values.as_ref()),
            DataType::RunEndEncoded(_, values) if hops.is_empty() => (Hop::RunEnd, values.data_type()),
            DataType::List(item) => (Hop::List, item.data_type()),
            DataType::LargeList(item) => (Hop::LargeList, item.data_type()),
            DataType::FixedSizeList(item, size) => {
                (Hop::FixedSizeList(usize::try_from(*size).ok()?), item.data_type())
            }
            leaf => return Dtype::of_arrow(leaf).map(|dtype| (hops, dtype)),
        };
        hops.push(hop);
        if hops.len() > MAX_RANK {
            return None;
        }
        current = next;
    }
}

fn check_numeric(schema: &Schema, name: &str) -> Result<()> {
    if name.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let problem = match schema.fields().find(name) {
        None => format!("there is no column {name:?}; the columns are {}", names.join(", ")),
        Some((_, field)) if numeric_leaf(field.data_type()).is_none() => {
            format!("column {name:?} is {} and has no dtype or fill value", field.data_type())
        }
        Some(_) => return Ok(()),
    };
    Err(Error::SchemaMismatch { path: None, message: problem })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn plan(data_type: DataType, request: &BatchRequest) -> Result<ColumnPlan> {
        let schema = Schema::new(vec![Field::new("x", data_type, true)]);
        plan_columns(&schema, request).map(|mut plans| plans.remove(0))
    }

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("item", item, true)))
    }

    fn target(plan: ColumnPlan) -> Option<Dtype> {
        match plan {
            ColumnPlan::Numeric(numeric) => Some(numeric.target),
            ColumnPlan::Objects => None,
        }
    }

    #[test]
    fn token_lists_become_int64_for_torch_only() {
        let torch = BatchRequest { tokens_as_int64: true, ..BatchRequest::default() };
        assert_eq!(target(plan(list(DataType::Int32), &torch).unwrap()), Some(Dtype::Int64));
        assert_eq!(target(plan(list(DataType::UInt8), &torch).unwrap()), Some(Dtype::UInt8));
        assert_eq!(target(plan(DataType::Int32, &torch).unwrap()), Some(Dtype::Int32));
        assert_eq!(
            target(plan(list(DataType::Int32), &BatchRequest::default()).unwrap()),
            Some(Dtype::Int32)
        );
    }

    #[test]
    fn text_is_handed_out_as_objects() {
        assert_eq!(plan(DataType::Utf8, &BatchRequest::default()).unwrap(), ColumnPlan::Objects);
        assert_eq!(plan(list(DataType::Utf8), &BatchRequest::default()).unwrap(), ColumnPlan::Objects);
    }

    #[test]
    fn an_impossible_request_names_the_column() {
        let ask = |name: &str, dtype| BatchRequest {
            dtypes: vec![(name.into(), dtype)],
            ..BatchRequest::default()
        };
        let missing = plan(DataType::Int32, &ask("y", Dtype::Int64)).unwrap_err().to_string();
        assert!(missing.contains("no column \"y\"") && missing.contains("the columns are x"), "{missing}");
        let text = plan(DataType::Utf8, &ask("x", Dtype::Int64)).unwrap_err().to_string();
        assert!(text.contains("has no dtype"), "{text}");
        let lossy = plan(DataType::Float32, &ask("x", Dtype::Int64)).unwrap_err().to_string();
        assert!(lossy.contains("float32") && lossy.contains("int64"), "{lossy}");
    }
}
