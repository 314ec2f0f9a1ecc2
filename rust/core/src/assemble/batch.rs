//! Rows to one batch: every numeric column in one pass from the Arrow buffers into a pooled buffer.

use arrow_array::Array;

use super::convert::{DoesNotFit, convert_run, fill_all};
use super::dtype::Dtype;
use super::leaf::{Leaf, NotARun, Shape, descend};
use super::plan::{ColumnPlan, NumericPlan};
use super::pool::{Pool, PoolBuffer};
use super::rows::RowSet;
use crate::error::{Error, Result};

/// One column of a batch.
pub enum Column {
    /// All rows in one buffer, row-major.
    Tensor {
        /// The elements.
        buffer: PoolBuffer,
        /// Their type.
        dtype: Dtype,
        /// Rows first, then the rows' own dimensions.
        shape: Vec<usize>,
    },
    /// Rows of different lengths, one buffer each.
    Ragged {
        /// One buffer a row, with its dimensions.
        rows: Vec<(PoolBuffer, Vec<usize>)>,
        /// Type of the elements.
        dtype: Dtype,
    },
    /// Values that are made by the consumer from [`Batch::rows`].
    Objects,
}

/// One batch: its columns, and the rows for those columns that are not numbers.
pub struct Batch {
    /// In schema order.
    pub columns: Vec<Column>,
    /// The rows; without blocks where every column is numeric.
    pub rows: RowSet,
    /// Number of rows.
    pub num_rows: usize,
}

impl Batch {
    /// Bytes of memory that the batch's buffers take.
    pub fn held_bytes(&self) -> usize {
        self.buffers().map(PoolBuffer::capacity).sum()
    }

    /// Bytes of the batch's tensors.
    pub fn num_bytes(&self) -> usize {
        self.buffers().map(PoolBuffer::len).sum()
    }

    fn buffers(&self) -> impl Iterator<Item = &PoolBuffer> {
        self.columns.iter().flat_map(|column| match column {
            Column::Tensor { buffer, .. } => vec![buffer],
            Column::Ragged { rows, .. } => rows.iter().map(|(buffer, _)| buffer).collect(),
            Column::Objects => Vec::new(),
        })
    }
}

/// Assembles `rows` by `plans`; `names` are only for error texts.
///
/// # Errors
/// `SchemaMismatch` where a numeric column holds a null without a fill value or a value that its dtype
/// cannot hold; `CorruptShard` where a file vanished under the rows.
pub fn assemble(rows: RowSet, plans: &[ColumnPlan], names: &[String], pool: &Pool) -> Result<Batch> {
    let columns = (0..plans.len()).map(|index| column(&rows, index, &plans[index], &names[index], pool));
    let columns = columns.collect::<Result<_>>()?;
    finish(rows, columns)
}

/// One column of the rows.
pub(crate) fn column(
    rows: &RowSet,
    index: usize,
    plan: &ColumnPlan,
    name: &str,
    pool: &Pool,
) -> Result<Column> {
    match plan {
        ColumnPlan::Numeric(numeric) => numeric_column(rows, index, numeric, name, pool),
        ColumnPlan::Objects => {
            rows.ensure_column(index)?;
            Ok(Column::Objects)
        }
    }
}

/// The batch of columns that were made of rows; those that are no column of the rows stand last.
pub(crate) fn finish(mut rows: RowSet, columns: Vec<Column>) -> Result<Batch> {
    rows.check_damage()?;
    let num_rows = rows.len();
    let objects: Vec<_> =
        (0..columns.len()).filter(|index| matches!(columns[*index], Column::Objects)).collect();
    if objects.is_empty() {
        rows = RowSet::default();
    } else {
        rows.gather(objects)?;
    }
    Ok(Batch { columns, rows, num_rows })
}

fn numeric_column(
    rows: &RowSet,
    index: usize,
    plan: &NumericPlan,
    name: &str,
    pool: &Pool,
) -> Result<Column> {
    let Some(leaves) = leaves(rows, index, plan, name)? else { return Ok(Column::Objects) };
    let mut shapes = leaves.iter().flatten().map(|leaf| leaf.shape);
    let first = shapes.next().unwrap_or_default();
    if shapes.all(|shape| shape == first) {
        return one_tensor(&leaves, first, plan, name, pool);
    }
    ragged(&leaves, plan, name, pool)
}

/// The run of numbers that each row is, `None` for a null that is filled; nothing where rows hold uneven lists.
pub(crate) fn leaves<'a>(
    rows: &'a RowSet,
    index: usize,
    plan: &NumericPlan,
    name: &str,
) -> Result<Option<Vec<Option<Leaf<'a>>>>> {
    rows.ensure_column(index)?;
    let mut leaves = Vec::with_capacity(rows.len());
    for at in 0..rows.len() {
        let (array, row) = rows.cell(index, at);
        match descend(array, &plan.hops, row) {
            Ok(leaf) => leaves.push(Some(leaf)),
            Err(NotARun::Uneven) => return Ok(None),
            Err(NotARun::Null) if plan.fill.is_some() => leaves.push(None),
            Err(NotARun::Null) => return Err(null_error(name)),
        }
    }
    Ok(Some(leaves))
}

fn one_tensor(
    leaves: &[Option<Leaf<'_>>],
    row_shape: Shape,
    plan: &NumericPlan,
    name: &str,
    pool: &Pool,
) -> Result<Column> {
    let row_bytes = row_shape.num_elements() * plan.target.size();
    let mut buffer = pool.try_get(row_bytes * leaves.len())?;
    if row_bytes > 0 {
        let places = buffer.as_mut_slice().chunks_exact_mut(row_bytes);
        for (leaf, place) in leaves.iter().zip(places) {
            write_row(leaf.as_ref(), plan, name, place)?;
        }
    }
    let shape = std::iter::once(leaves.len()).chain(row_shape.dims().iter().copied()).collect();
    Ok(Column::Tensor { buffer, dtype: plan.target, shape })
}

fn ragged(leaves: &[Option<Leaf<'_>>], plan: &NumericPlan, name: &str, pool: &Pool) -> Result<Column> {
    let mut rows = Vec::with_capacity(leaves.len());
    for leaf in leaves {
        // A null list among lists of different lengths has no length to fill: it is an empty one.
        let shape = leaf.as_ref().map_or_else(|| vec![0], |leaf| leaf.shape.dims().to_vec());
        let mut buffer = pool.try_get(shape.iter().product::<usize>() * plan.target.size())?;
        if leaf.is_some() {
            write_row(leaf.as_ref(), plan, name, buffer.as_mut_slice())?;
        }
        rows.push((buffer, shape));
    }
    Ok(Column::Ragged { rows, dtype: plan.target })
}

/// Writes a row's numbers, or what stands for a null, into `place`, which has room for just these.
pub(crate) fn write_row(
    leaf: Option<&Leaf<'_>>,
    plan: &NumericPlan,
    name: &str,
    place: &mut [u8],
) -> Result<()> {
    let written = match (leaf, plan.fill) {
        (None, fill) => fill_all(plan.target, place, fill.unwrap_or_default()),
        (Some(leaf), fill) => write_values(leaf, fill, plan, name, place)?,
    };
    written.map_err(|DoesNotFit(value)| does_not_fit(name, &value, plan))
}

fn write_values(
    leaf: &Leaf<'_>,
    fill: Option<f64>,
    plan: &NumericPlan,
    name: &str,
    place: &mut [u8],
) -> Result<std::result::Result<(), DoesNotFit>> {
    let Leaf { array, start, len, .. } = *leaf;
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| nulls.slice(start, len));
    let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
        return Ok(convert_run(array, start, len, plan.target, place));
    };
    let Some(fill) = fill else { return Err(null_error(name)) };
    // What lies under a null is no value of the column and need not fit: only the runs between are converted.
    let size = plan.target.size();
    let filled = fill_all(plan.target, place, fill);
    Ok(nulls.valid_slices().fold(filled, |written, (from, to)| {
        let run = &mut place[from * size..to * size];
        written.and_then(|()| convert_run(array, start + from, to - from, plan.target, run))
    }))
}

fn null_error(name: &str) -> Error {
    Error::SchemaMismatch {
        path: None,
        message: format!(
            "column {name:?} holds a null, which a numeric batch cannot show; give fill_null={{{name:?}: VALUE}}, \
             filter the nulls out, or leave the column out with select_columns"
        ),
    }
}

fn does_not_fit(name: &str, value: &str, plan: &NumericPlan) -> Error {
    Error::SchemaMismatch {
        path: None,
        message: format!(
            "column {name:?} (stored as {}) holds {value}, which {} cannot hold; ask for a wider dtype",
            plan.stored, plan.target
        ),
    }
}
