//! Which rows of a dataset are read: ranges of its files, and indices files as HF's `datasets` keeps them.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, UInt64Array};
use arrow_schema::DataType;

use super::table::{OnError, Projection, Table, layout_of};
use crate::error::{Error, Result};
use crate::manifest::{Manifest, ManifestOptions};
use crate::order::{Chosen, Layout, Selection};
use crate::source::IoMode;

/// What of the data is read, in the order chosen.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Ranges of row ids, one after the other; all rows where there are none.
    pub ranges: Vec<Range<u64>>,
    /// Arrow files with one column of u64: places among the rows of the ranges. No files, no choice.
    pub indices: Vec<PathBuf>,
}

/// The rows of `data` that are chosen, each one checked; `None` for all of them in their own order.
///
/// # Errors
/// `CorruptShard` naming the indices file where it is damaged, of another type, or names a row that is not there.
pub fn choose(data: &Arc<Layout>, choice: &Choice) -> Result<Option<Selection>> {
    if choice.ranges.is_empty() && choice.indices.is_empty() {
        return Ok(None);
    }
    let mut chosen = of_ranges(data.num_rows(), &choice.ranges)?;
    if !choice.indices.is_empty() {
        chosen = of_indices(&chosen, data.num_rows(), &choice.indices)?;
    }
    if chosen.is_all() {
        return Ok(None);
    }
    Selection::try_new(Arc::clone(data), chosen).map(Some)
}

fn of_ranges(num_rows: u64, ranges: &[Range<u64>]) -> Result<Chosen> {
    let mut chosen = Chosen::new(num_rows);
    let all = ranges.is_empty().then_some(0..num_rows);
    for range in ranges.iter().chain(&all) {
        chosen.push_run(range.clone()).map_err(|row| {
            Error::InvalidArgument(format!(
                "the range {range:?} holds row {row}, but the files have {num_rows} rows"
            ))
        })?;
    }
    Ok(chosen)
}

fn of_indices(among: &Chosen, num_rows: u64, files: &[PathBuf]) -> Result<Chosen> {
    let mut chosen = Chosen::new(num_rows);
    for file in files {
        read_indices(file, |at, index| {
            let row = (index < among.len()).then(|| among.get(index)).ok_or_else(|| {
                format!("index {at} is row {index}, but the data has {} rows; {REMEDY}", among.len())
            })?;
            // Rows of a selection lie in the data.
            chosen.push_run(row..row + 1).map_err(|row| format!("there is no row {row}; {REMEDY}"))
        })?;
    }
    Ok(chosen)
}

const REMEDY: &str = "save or cache the dataset again";

/// Hands over each index of a file and its place there; what `take` complains of is damage of its block.
fn read_indices(
    path: &Path,
    mut take: impl FnMut(u64, u64) -> std::result::Result<(), String>,
) -> Result<()> {
    let table = open(path)?;
    let mut at = 0;
    for block in 0..table.manifest().num_blocks() {
        let block = table.block(block)?;
        let column: &UInt64Array = block.columns[0].as_primitive::<UInt64Type>();
        if column.null_count() > 0 {
            return Err(block.corrupt(format!("an index is null; {REMEDY}")));
        }
        for index in column.values() {
            take(at, *index).map_err(|problem| block.corrupt(problem))?;
            at += 1;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Table> {
    // Indices are read once and kept: an index of the file would be one more file beside it.
    let options = ManifestOptions { use_index: false, ..ManifestOptions::default() };
    let manifest = Manifest::open(&[path.to_owned()], &options)?;
    let fields = manifest.schema().fields();
    if fields.len() != 1 || *fields[0].data_type() != DataType::UInt64 {
        let columns: Vec<_> =
            fields.iter().map(|field| format!("{} ({})", field.name(), field.data_type())).collect();
        let found = if columns.is_empty() { "none".to_owned() } else { columns.join(", ") };
        return Err(Error::corrupt(
            path,
            format!("an indices file has one column of uint64, this one has {found}; {REMEDY}"),
        ));
    }
    let layout = layout_of(&manifest)?;
    let projection = Projection { indices: vec![0], names: vec![fields[0].name().clone()] };
    // Not mapped: whole files are read once, and a truncated one is then a plain error.
    Ok(Table::new(manifest, Arc::new(layout), projection, IoMode::Read, OnError::Raise))
}
