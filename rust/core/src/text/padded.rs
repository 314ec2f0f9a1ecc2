//! Rows of tokens to one padded batch: ids, the attention mask, labels, and whatever else there is one a token.

use super::pack::PadSpec;
use crate::assemble::batch::{column, finish, leaves, write_row};
use crate::assemble::convert::{convert_run, fill_all, is_convertible};
use crate::assemble::leaf::Leaf;
use crate::assemble::plan::{Hop, NumericPlan};
use crate::assemble::{Batch, BatchRequest, Column, ColumnPlan, Dtype, Pool, PoolBuffer, RowSet, assemble};
use crate::error::{Error, Result};

/// The names of a padded batch's columns, as models take them.
const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";
const LABELS: &str = "labels";

/// Names under which a padded batch has columns that the rows may have under others, or not at all.
pub const PADDED_NAMES: [&str; 3] = [INPUT_IDS, ATTENTION_MASK, LABELS];

/// What stands in labels where there is no loss.
const IGNORED: f64 = -100.0;

/// Columns that hold one value a token in every model's batches, whichever kind of list they are stored as.
const PER_TOKEN: [&str; 7] =
    [INPUT_IDS, ATTENTION_MASK, LABELS, "token_type_ids", "position_ids", "special_tokens_mask", "loss_mask"];

/// What is to be padded, and how.
#[derive(Debug, Clone, Default)]
pub struct PadRequest {
    /// Widths, sides and the padding's id.
    pub spec: PadSpec,
    /// Column of token ids; it comes out as `input_ids`.
    pub tokens: String,
    /// What stands where other columns are padded; `None` leaves a column as it is.
    pub values: Vec<(String, Option<f64>)>,
    /// Column that `labels` are made of; none are made without it.
    pub labels: Option<String>,
    /// Column that says which labels count: one value a token, or the number of tokens at the beginning that do not.
    pub label_mask: Option<String>,
}

/// Labels that are made of the ids.
#[derive(Debug, Clone, Copy)]
struct Labels {
    dtype: Dtype,
    mask: Option<LabelMask>,
}

#[derive(Debug, Clone, Copy)]
enum LabelMask {
    /// Column with a value a token: 0 where there is no loss.
    Tokens(usize),
    /// Column with a number: so many tokens at the beginning have no loss.
    Prompt(usize),
}

/// How each column of the rows is padded, decided once from the schema.
#[derive(Debug, Clone)]
pub struct PadPlan {
    spec: PadSpec,
    tokens: usize,
    /// By column: what stands where it is padded, `None` for columns that are not.
    fills: Vec<Option<f64>>,
    attention_mask: Option<Dtype>,
    labels: Option<Labels>,
    names: Vec<String>,
}

impl PadPlan {
    /// Plans the padding of rows with the columns `names`, whose `plans` get the types that padding needs.
    ///
    /// # Errors
    /// `SchemaMismatch` where there is no column of ids, or a named column is not what it is named for.
    pub fn try_new(
        pad: &PadRequest,
        names: &[String],
        plans: &mut [ColumnPlan],
        asked: &BatchRequest,
    ) -> Result<Self> {
        let made = names.to_vec();
        let mut plan = Self {
            spec: pad.spec.clone(),
            tokens: token_column(pad, names, plans)?,
            fills: vec![None; names.len()],
            attention_mask: None,
            labels: None,
            names: made,
        };
        INPUT_IDS.clone_into(&mut plan.names[plan.tokens]);
        plan.name_labels(pad, names)?;
        for (index, column) in plans.iter_mut().enumerate() {
            if let ColumnPlan::Numeric(numeric) = column
                && let Some(fill) = plan.fill(pad, index, &numeric.hops)
            {
                plan.fills[index] = Some(fill);
                widen(numeric, &plan.names[index], asked);
            }
        }
        for (name, _) in &pad.values {
            if !names.contains(name) {
                return Err(unknown(name, names));
            }
        }
        let dtype =
            |name: &str| asked.dtypes.iter().find(|(known, _)| known == name).map(|(_, dtype)| *dtype);
        if !plan.names.iter().any(|name| name == ATTENTION_MASK) {
            plan.attention_mask = Some(dtype(ATTENTION_MASK).unwrap_or(Dtype::Int64));
            plan.names.push(ATTENTION_MASK.to_owned());
        }
        if pad.labels.as_ref().is_some_and(|column| *column == pad.tokens) {
            let mask = plan.label_mask(pad, names, plans)?;
            plan.labels = Some(Labels { dtype: dtype(LABELS).unwrap_or(Dtype::Int64), mask });
            plan.names.push(LABELS.to_owned());
        }
        Ok(plan)
    }

    /// The columns of a batch: those of the rows, under the names that models want, and those that are added.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Gives the column that labels come from their name.
    fn name_labels(&mut self, pad: &PadRequest, names: &[String]) -> Result<()> {
        let Some(column) = &pad.labels else { return Ok(()) };
        let source = names.iter().position(|name| name == column).ok_or_else(|| unknown(column, names))?;
        if source != self.tokens {
            LABELS.clone_into(&mut self.names[source]);
        }
        let is_twice = if source == self.tokens {
            names.iter().any(|name| name == LABELS)
        } else {
            column != LABELS && names.iter().any(|name| name == LABELS)
        };
        if is_twice {
            return Err(mismatch(format!(
                "there is a column \"labels\" already, and labels={column:?} would make another; leave one of them out \
                 with select_columns"
            )));
        }
        Ok(())
    }

    /// What stands where a column is padded; `None` where it does not hold one value a token.
    fn fill(&self, pad: &PadRequest, index: usize, hops: &[Hop]) -> Option<f64> {
        let name = &self.names[index];
        if index == self.tokens {
            return Some(f64::from(self.spec.pad_id));
        }
        let asked = pad.values.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        let is_per_token = match hops {
            [Hop::List | Hop::LargeList] => asked != Some(None),
            [Hop::FixedSizeList(_)] => {
                asked.map_or_else(|| PER_TOKEN.contains(&name.as_str()), |value| value.is_some())
            }
            _ => false,
        };
        is_per_token.then(|| asked.flatten().unwrap_or_else(|| usual_fill(name)))
    }

    fn label_mask(
        &self,
        pad: &PadRequest,
        names: &[String],
        plans: &[ColumnPlan],
    ) -> Result<Option<LabelMask>> {
        let Some(column) = &pad.label_mask else { return Ok(None) };
        let index = names.iter().position(|name| name == column).ok_or_else(|| unknown(column, names))?;
        match &plans[index] {
            ColumnPlan::Numeric(NumericPlan { stored, hops, .. }) if !stored.is_float() => {
                if self.fills[index].is_some() {
                    return Ok(Some(LabelMask::Tokens(index)));
                }
                if hops.is_empty() && *stored != Dtype::Bool {
                    return Ok(Some(LabelMask::Prompt(index)));
                }
            }
            ColumnPlan::Numeric(_) | ColumnPlan::Objects => {}
        }
        Err(mismatch(format!(
            "label_mask={column:?} is neither a column of lists with one 0 or 1 a token nor one of numbers of tokens \
             before the answer"
        )))
    }

    fn added(&self) -> impl Iterator<Item = Added> + '_ {
        let mask = self.attention_mask.map(Added::AttentionMask);
        mask.into_iter().chain(self.labels.map(Added::Labels))
    }
}

/// A column that the rows do not have.
#[derive(Clone, Copy)]
enum Added {
    AttentionMask(Dtype),
    Labels(Labels),
}

/// Assembles `rows` by `plans`, padded where there is a plan for that; `names` are the rows' columns, for error texts.
///
/// # Errors
/// Those of [`assemble`]; `SchemaMismatch` where a column holds another number of values than the row has tokens;
/// `InvalidArgument` where a row is longer than the width that was asked for.
pub fn assemble_batch(
    rows: RowSet,
    plans: &[ColumnPlan],
    names: &[String],
    pad: Option<&PadPlan>,
    pool: &Pool,
) -> Result<Batch> {
    match pad {
        Some(pad) => Padder { rows: &rows, plans, names, pad, pool }
            .columns()
            .and_then(|columns| finish(rows, columns)),
        None => assemble(rows, plans, names, pool),
    }
}

struct Padder<'a> {
    rows: &'a RowSet,
    plans: &'a [ColumnPlan],
    names: &'a [String],
    pad: &'a PadPlan,
    pool: &'a Pool,
}

impl Padder<'_> {
    fn columns(&self) -> Result<Vec<Column>> {
        let tokens = self.runs(self.pad.tokens)?;
        let lengths: Vec<_> = tokens.iter().map(|run| run.as_ref().map_or(0, |leaf| leaf.len)).collect();
        let width = self.pad.spec.width(lengths.iter().copied())?;
        let of_rows = (0..self.plans.len()).map(|index| match self.pad.fills[index] {
            Some(fill) => self.padded(index, fill, &lengths, width),
            None => column(self.rows, index, &self.plans[index], &self.names[index], self.pool),
        });
        let added = self.pad.added().map(|added| match added {
            Added::AttentionMask(dtype) => self.attention_mask(dtype, &lengths, width),
            Added::Labels(labels) => self.labels(labels, &tokens, &lengths, width),
        });
        of_rows.chain(added).collect()
    }

    /// Each row's values of a column that holds one a token.
    fn runs(&self, index: usize) -> Result<Vec<Option<Leaf<'_>>>> {
        let uneven = || mismatch(format!("column {:?} holds lists inside of lists", self.names[index]));
        leaves(self.rows, index, self.numeric(index)?, &self.names[index])?.ok_or_else(uneven)
    }

    fn numeric(&self, index: usize) -> Result<&NumericPlan> {
        match &self.plans[index] {
            ColumnPlan::Numeric(numeric) => Ok(numeric),
            ColumnPlan::Objects => Err(mismatch(format!("column {:?} holds no numbers", self.names[index]))),
        }
    }

    fn padded(&self, index: usize, fill: f64, lengths: &[usize], width: usize) -> Result<Column> {
        let (runs, plan, name) = (self.runs(index)?, self.numeric(index)?, &self.names[index]);
        let (size, dtype) = (plan.target.size(), plan.target);
        self.filled(dtype, fill, lengths, width, name, |row, kept, real| {
            let Some(leaf) = &runs[row] else {
                return fill_places(plan.target, real, plan.fill.unwrap_or(fill), name);
            };
            self.check_length(index, leaf.len, lengths[row])?;
            let mut at = 0;
            for part in kept {
                let part_of = Leaf { start: leaf.start + part.start, len: part.len(), ..*leaf };
                write_row(Some(&part_of), plan, name, &mut real[at * size..(at + part.len()) * size])?;
                at += part.len();
            }
            Ok(())
        })
    }

    fn attention_mask(&self, dtype: Dtype, lengths: &[usize], width: usize) -> Result<Column> {
        self.filled(dtype, 0.0, lengths, width, ATTENTION_MASK, |_, _, real| {
            fill_places(dtype, real, 1.0, ATTENTION_MASK)
        })
    }

    fn labels(
        &self,
        labels: Labels,
        tokens: &[Option<Leaf<'_>>],
        lengths: &[usize],
        width: usize,
    ) -> Result<Column> {
        let Labels { dtype, mask } = labels;
        let plan = NumericPlan { target: dtype, ..self.numeric(self.pad.tokens)?.clone() };
        let size = dtype.size();
        let mut counts = Vec::new();
        self.filled(dtype, IGNORED, lengths, width, LABELS, |row, kept, real| {
            self.counting(mask, row, lengths[row], &mut counts)?;
            let Some(leaf) = &tokens[row] else { return Ok(()) };
            let mut at = 0;
            for part in kept {
                for run in runs_of(&counts[part.clone()]) {
                    let (first, last) = (part.start + run.start, part.start + run.end);
                    let place = &mut real[(at + run.start) * size..(at + run.end) * size];
                    if counts[first] {
                        let part_of = Leaf { start: leaf.start + first, len: last - first, ..*leaf };
                        write_row(Some(&part_of), &plan, LABELS, place)?;
                    } else {
                        fill_places(dtype, place, IGNORED, LABELS)?;
                    }
                }
                at += part.len();
            }
            Ok(())
        })
    }

    /// Which of a row's tokens count in its labels.
    fn counting(
        &self,
        mask: Option<LabelMask>,
        row: usize,
        len: usize,
        counts: &mut Vec<bool>,
    ) -> Result<()> {
        counts.clear();
        match mask {
            None => counts.resize(len, true),
            Some(LabelMask::Prompt(index)) => {
                let prompt = self.integers(index, row)?.first().copied().unwrap_or_default();
                let prompt = usize::try_from(prompt).unwrap_or_default().min(len);
                counts.resize(prompt, false);
                counts.resize(len, true);
            }
            Some(LabelMask::Tokens(index)) => {
                let values = self.integers(index, row)?;
                self.check_length(index, values.len(), len)?;
                counts.extend(values.iter().map(|value| *value != 0));
            }
        }
        Ok(())
    }

    fn integers(&self, index: usize, row: usize) -> Result<Vec<i64>> {
        let plan = NumericPlan { target: Dtype::Int64, ..self.numeric(index)?.clone() };
        let name = &self.names[index];
        let (array, at) = self.rows.cell(index, row);
        self.rows.ensure_column(index)?;
        let leaf = crate::assemble::leaf::descend(array, &plan.hops, at)
            .map_err(|_| mismatch(format!("column {name:?} holds a null where label_mask needs a value")))?;
        let mut values = vec![0_i64; leaf.len];
        convert_run(leaf.array, leaf.start, leaf.len, Dtype::Int64, bytemuck::cast_slice_mut(&mut values))
            .map_err(|value| mismatch(format!("column {name:?} holds {}, which is no count", value.0)))?;
        Ok(values)
    }

    /// One tensor of `width` places a row: `write` gets the row, what is kept of it, and the places for that.
    fn filled(
        &self,
        dtype: Dtype,
        fill: f64,
        lengths: &[usize],
        width: usize,
        name: &str,
        mut write: impl FnMut(usize, &[std::ops::Range<usize>], &mut [u8]) -> Result<()>,
    ) -> Result<Column> {
        let size = dtype.size();
        let mut buffer = self.buffer(lengths.len(), width, size)?;
        for (row, len) in lengths.iter().enumerate() {
            let (kept, real) = self.pad.spec.place(*len, width)?;
            let places = &mut buffer.as_mut_slice()[row * width * size..(row + 1) * width * size];
            let (before, rest) = places.split_at_mut(real.start * size);
            let (real, after) = rest.split_at_mut(real.len() * size);
            fill_places(dtype, before, fill, name)?;
            fill_places(dtype, after, fill, name)?;
            write(row, &kept, real)?;
        }
        Ok(Column::Tensor { buffer, dtype, shape: vec![lengths.len(), width] })
    }

    fn buffer(&self, rows: usize, width: usize, size: usize) -> Result<PoolBuffer> {
        let bytes = rows.checked_mul(width).and_then(|places| places.checked_mul(size));
        let bytes = bytes.ok_or_else(|| {
            Error::InvalidArgument(format!(
                "{rows} rows of {width} places are more than any memory; pad to less"
            ))
        })?;
        self.pool.try_get(bytes)
    }

    fn check_length(&self, index: usize, values: usize, tokens: usize) -> Result<()> {
        if values == tokens {
            return Ok(());
        }
        let name = &self.names[index];
        Err(mismatch(format!(
            "column {name:?} holds {values} values in a row of {tokens} tokens; if it does not hold one a token, leave \
             it as it is with .pad(pad_values={{{name:?}: None}}) or out with select_columns"
        )))
    }
}

/// Fills places of a column with one value.
fn fill_places(dtype: Dtype, places: &mut [u8], fill: f64, name: &str) -> Result<()> {
    fill_all(dtype, places, fill).map_err(|value| {
        mismatch(format!(
            "column {name:?} is padded with {}, which {dtype} cannot hold; ask for a wider dtype",
            value.0
        ))
    })
}

/// Runs of equal values.
fn runs_of(values: &[bool]) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let mut start = 0;
    values.chunk_by(|left, right| left == right).map(move |run| {
        start += run.len();
        start - run.len()..start
    })
}

fn token_column(pad: &PadRequest, names: &[String], plans: &[ColumnPlan]) -> Result<usize> {
    let index = names.iter().position(|name| *name == pad.tokens).ok_or_else(|| {
        mismatch(format!(
            "there is no column {:?} of token ids to pad; the columns are {}. .tokenize makes ids of text, \
             .pad(column=NAME) takes those of another column",
            pad.tokens,
            names.join(", ")
        ))
    })?;
    match &plans[index] {
        ColumnPlan::Numeric(plan)
            if matches!(plan.hops[..], [Hop::List | Hop::LargeList | Hop::FixedSizeList(_)])
                && !plan.stored.is_float()
                && plan.stored != Dtype::Bool =>
        {
            Ok(index)
        }
        _ => Err(mismatch(format!(
            "column {:?} holds no lists of token ids, which .pad makes batches of",
            pad.tokens
        ))),
    }
}

/// What stands where a column is padded, as transformers' collators have it.
fn usual_fill(name: &str) -> f64 {
    match name {
        LABELS => IGNORED,
        "special_tokens_mask" => 1.0,
        _ => 0.0,
    }
}

/// The type of a padded column: for torch all integers are int64, and labels are signed everywhere.
fn widen(plan: &mut NumericPlan, name: &str, asked: &BatchRequest) {
    if let Some((_, dtype)) = asked.dtypes.iter().find(|(known, _)| known == name) {
        // Under the name that it comes out with, which may be another than it is stored under.
        plan.target = if is_convertible(plan.stored, *dtype) { *dtype } else { plan.target };
        return;
    }
    if asked.dtypes.iter().any(|(known, _)| known.is_empty()) {
        return;
    }
    let is_integer = !plan.stored.is_float() && plan.stored != Dtype::Bool;
    let is_unsigned = matches!(plan.stored, Dtype::UInt8 | Dtype::UInt16 | Dtype::UInt32 | Dtype::UInt64);
    if is_integer && (asked.tokens_as_int64 || (name == LABELS && is_unsigned)) {
        plan.target = Dtype::Int64;
    }
}

fn unknown(name: &str, names: &[String]) -> Error {
    mismatch(format!("there is no column {name:?}; the columns are {}", names.join(", ")))
}

fn mismatch(message: String) -> Error {
    Error::SchemaMismatch { path: None, message }
}
