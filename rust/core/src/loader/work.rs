//! The jobs of a stream: positions to rows to items.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::ahead::ReadAhead;
use super::delivered::{Delivered, token_counts};
use super::epochs::EpochReaders;
use super::group::{Gap, Group, Made, failed, leave_out_damaged};
use super::length_groups::{GroupedRun, GroupedRuns, LengthOf};
use super::receipt::Receipt;
use super::stream::{Output, StreamSpec};
use super::table::RecentBlocks;
use super::windows::OpenWindows;
use crate::assemble::RowSet;
use crate::error::Result;
use crate::text::padded::assemble_batch;

/// Rows larger than this on average are not copied before they are converted.
const GATHERED_ROW_BYTES: u64 = 32 << 10;

/// One thread's part: readers of the orders, and what it is working on.
pub struct Worker {
    spec: Arc<StreamSpec>,
    ahead: Option<Arc<ReadAhead>>,
    windows: Arc<OpenWindows>,
    runs: Option<Arc<GroupedRuns>>,
    /// The run that was read from last.
    run: Option<Arc<GroupedRun>>,
    readers: EpochReaders,
    recent: RecentBlocks,
}

impl Worker {
    /// A worker that has read nothing.
    pub fn new(
        spec: Arc<StreamSpec>,
        ahead: Option<Arc<ReadAhead>>,
        windows: Arc<OpenWindows>,
        runs: Option<Arc<GroupedRuns>>,
    ) -> Self {
        Self {
            spec,
            ahead,
            windows,
            runs,
            run: None,
            readers: EpochReaders::default(),
            recent: RecentBlocks::default(),
        }
    }

    /// What a job makes: these items.
    pub fn group(&mut self, items: Range<u64>) -> Group {
        let spec = Arc::clone(&self.spec);
        match &spec.output {
            Output::Rows => self.rows(items),
            Output::RowSets { gathers } => {
                let row_set = |worker: &Self, rows| worker.row_set(rows, *gathers);
                Group::RowSets(items.map(|item| self.made(item, row_set)).collect())
            }
            Output::Batches { plans, names, pad, pool } => {
                let batch = |worker: &Self, rows: RowSet| {
                    if rows.is_empty() {
                        return Ok((None, Vec::new()));
                    }
                    let rows = worker.encoded(rows)?;
                    let tokens = worker.token_counts(&rows);
                    let batch = assemble_batch(rows, plans, names, pad.as_deref(), pool)?;
                    Ok((Some(batch), tokens))
                };
                Group::Batches(items.map(|item| self.made(item, batch)).collect())
            }
        }
    }

    /// What `work` makes of an item's rows; it also tells how many tokens it made of each, if any.
    fn made<T>(&mut self, item: u64, work: impl Fn(&Self, RowSet) -> Result<(T, Vec<u64>)>) -> Made<T> {
        let (mut skipped, mut receipt) = (0, Receipt::default());
        let made = self.read_rows(item, &mut skipped).and_then(|(rows, mut ids)| {
            let (made, tokens) = self.retry_sound(rows, &mut ids, &mut skipped, |rows| work(self, rows))?;
            receipt = self.receipts(&ids, &tokens).sum();
            Ok(made)
        });
        Made { item: made, skipped, receipt }
    }

    /// What rows say of themselves.
    fn receipts(&self, ids: &Delivered, tokens: &[u64]) -> impl Iterator<Item = Receipt> {
        ids.receipts(self.spec.receipt_seed, self.spec.first_epoch, tokens)
    }

    /// How many tokens have been made of each row, where they were and somebody asks.
    fn token_counts(&self, rows: &RowSet) -> Vec<u64> {
        let are_counted = self.spec.counts_tokens && self.spec.encoder.is_some();
        if are_counted { token_counts(rows) } else { Vec::new() }
    }

    fn rows(&mut self, items: Range<u64>) -> Group {
        let spec = Arc::clone(&self.spec);
        let (mut rows, mut ids, mut gaps) = (RowSet::default(), Delivered::default(), VecDeque::new());
        for item in items {
            let num_fresh = spec.partition.num_fresh(item);
            for (at, position) in (0..).zip(spec.partition.item(item).into_iter().flatten()) {
                let before = rows.len();
                match self.push_present(position, &mut rows, &mut ids) {
                    Ok(true) if at >= num_fresh => ids.pads_from(before),
                    Ok(true) => {}
                    Ok(false) => gaps.push_back((before, Gap::Skipped)),
                    Err(error) => gaps.push_back((before, Gap::Failed(error))),
                }
            }
        }
        match self.prepared(&rows) {
            Ok(rows) => self.row_group(rows, gaps, &ids),
            Err(error) if spec.table.skips() && rows.check_damage().is_err() => {
                let (rows, gaps, lost) = leave_out_damaged(&rows, gaps, &mut ids);
                match spec.table.skip(error, lost).and_then(|_| self.prepared(&rows)) {
                    Ok(rows) => self.row_group(rows, gaps, &ids),
                    Err(error) => failed(error),
                }
            }
            Err(error) => failed(error),
        }
    }

    fn row_group(&self, rows: RowSet, gaps: VecDeque<(usize, Gap)>, ids: &Delivered) -> Group {
        let receipts = self.receipts(ids, &self.token_counts(&rows)).collect();
        Group::Rows { rows: Arc::new(rows), gaps, receipts }
    }

    /// Rows as the consumer is to have them.
    fn prepared(&self, rows: &RowSet) -> Result<RowSet> {
        if self.spec.encoder.is_some() {
            return self.encoded(rows.clone());
        }
        let mut rows = rows.clone();
        self.gather(&mut rows)?;
        Ok(rows)
    }

    /// Rows as token ids, where that is asked for.
    fn encoded(&self, rows: RowSet) -> Result<RowSet> {
        match &self.spec.encoder {
            Some(encoder) if !self.has_encoded_runs() => encoder.apply(&rows),
            _ => Ok(rows),
        }
    }

    /// Whether rows come from their run as token ids: by their number they were grouped.
    fn has_encoded_runs(&self) -> bool {
        self.runs.as_ref().is_some_and(|runs| runs.by() == LengthOf::Tokens)
    }

    /// Copies small rows side by side: the consumer then reads from its cache instead of waiting for memory.
    fn gather(&self, rows: &mut RowSet) -> Result<()> {
        if self.spec.table.row_bytes() > GATHERED_ROW_BYTES {
            return Ok(());
        }
        rows.gather(0..self.spec.table.schema().fields().len())?;
        rows.check_damage()
    }

    /// Rows of an item as the consumer is to have them.
    fn row_set(&self, mut rows: RowSet, gathers: bool) -> Result<(RowSet, Vec<u64>)> {
        rows.ensure()?;
        rows.check_damage()?;
        if gathers && self.spec.encoder.is_none() {
            self.gather(&mut rows)?;
        }
        let rows = self.encoded(rows)?;
        let tokens = self.token_counts(&rows);
        Ok((rows, tokens))
    }

    fn read_rows(&mut self, item: u64, skipped: &mut u64) -> Result<(RowSet, Delivered)> {
        let spec = Arc::clone(&self.spec);
        let (mut rows, mut ids) = (RowSet::default(), Delivered::default());
        let num_fresh = spec.partition.num_fresh(item);
        for (at, position) in (0..).zip(spec.partition.item(item).into_iter().flatten()) {
            let before = ids.len();
            if let Some(run) = self.run_at(position)? {
                run.push(position, &mut rows, &mut ids);
            } else {
                // One by one only where damage is left out: a whole batch is brought in faster at once.
                let is_there = if spec.table.skips() {
                    self.push_present(position, &mut rows, &mut ids)?
                } else {
                    self.push(position, &mut rows, &mut ids)?
                };
                *skipped += u64::from(!is_there);
            }
            if at >= num_fresh {
                ids.pads_from(before);
            }
        }
        Ok((rows, ids))
    }

    /// The run that a position of the stream is in, where rows are grouped by length.
    pub fn run_at(&mut self, position: u64) -> Result<Option<Arc<GroupedRun>>> {
        let Some(runs) = self.runs.clone() else { return Ok(None) };
        if self.run.as_ref().is_none_or(|run| !run.contains(position)) {
            // Let go of the old one before the new one is read: each holds the rows of all its steps.
            self.run = None;
            self.run = Some(runs.at(position, |positions| self.read_run(positions))?);
        }
        Ok(self.run.clone())
    }

    fn read_run(&mut self, positions: Range<u64>) -> Result<(RowSet, Delivered)> {
        let (mut rows, mut ids) = (RowSet::default(), Delivered::default());
        for position in positions {
            self.push(position, &mut rows, &mut ids)?;
        }
        if let (Some(encoder), true) = (&self.spec.encoder, self.has_encoded_runs()) {
            return Ok((encoder.apply(&rows)?, ids));
        }
        rows.ensure()?;
        rows.check_damage()?;
        Ok((rows, ids))
    }

    /// Does `work` on rows; where a file is lost under them and damage is left out, on those that can be read.
    fn retry_sound<T>(
        &self,
        rows: RowSet,
        ids: &mut Delivered,
        skipped: &mut u64,
        work: impl Fn(RowSet) -> Result<T>,
    ) -> Result<T> {
        if !self.spec.table.skips() {
            return work(rows);
        }
        match work(rows.clone()) {
            Err(error) => {
                let (sound, lost) = rows.without_damaged();
                if lost == 0 {
                    return Err(error);
                }
                self.spec.table.skip(error, lost)?;
                *skipped += lost;
                ids.leave_out_damaged(&rows);
                work(sound)
            }
            done => done,
        }
    }

    /// Adds the row at a position and makes it present; `false` where it is left out for damage.
    fn push_present(&mut self, position: u64, rows: &mut RowSet, ids: &mut Delivered) -> Result<bool> {
        let (num_rows, num_blocks) = (rows.len(), rows.blocks.len());
        let pushed = self.push(position, rows, ids).and_then(|is_there| {
            ensure_last(rows, is_there)?;
            if is_there && self.spec.table.skips() {
                rows.check_text(rows.len() - 1, self.spec.table.schema().fields())?;
                if let Some(encoder) = &self.spec.encoder {
                    encoder.check(rows, rows.len() - 1)?;
                }
            }
            Ok(is_there)
        });
        pushed.or_else(|error| {
            rows.truncate(num_rows, num_blocks);
            ids.truncate(num_rows);
            self.spec.table.skip(error, 1)
        })
    }

    /// Adds the row at a position of the stream; `false` where it is left out for damage.
    fn push(&mut self, number: u64, rows: &mut RowSet, ids: &mut Delivered) -> Result<bool> {
        let spec = &self.spec;
        let (epoch, position) = spec.in_epoch(number);
        let spot = spec.epochs.spot_at(epoch, position);
        let place = self.readers.locate(&spec.epochs, &spot);
        if let Some(ahead) = &self.ahead {
            ahead.reached(&spot);
        }
        self.windows.reached(&spot);
        let is_there = spec.table.push_row(place, rows, &mut self.recent)?;
        if is_there {
            ids.push(number, spec.epochs.row_id(&spot, place));
        }
        Ok(is_there)
    }
}

fn ensure_last(rows: &RowSet, is_there: bool) -> Result<bool> {
    if is_there {
        rows.ensure_row(rows.len() - 1)?;
        rows.locate(rows.len() - 1).0.check_damage()?;
    }
    Ok(is_there)
}
