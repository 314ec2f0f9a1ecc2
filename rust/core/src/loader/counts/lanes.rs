//! The tokens and samples of every lane, by arithmetic on the counts: what ranks must agree on before the first step.

use std::ops::Range;

use super::documents::DocumentCounts;
use super::groups::LaneDocuments;
use super::{crew, row_id_at};
use crate::error::Result;
use crate::loader::epochs::{EpochReaders, Epochs, Spot};
use crate::loader::packed::documents::lane_rows;
use crate::order::WindowSpan;
use crate::text::pack::{PackMode, SampleCounter};

/// Of which pass the lanes are asked.
pub struct LaneQuestion<'a> {
    /// The counts of all rows.
    pub counts: &'a DocumentCounts,
    /// The orders of its epochs.
    pub epochs: &'a Epochs,
    /// Its first epoch.
    pub first_epoch: u64,
    /// Its epochs.
    pub num_epochs: u64,
    /// Positions of each epoch that are read.
    pub positions: (u64, u64),
    /// Threads that add up.
    pub num_threads: usize,
}

/// The samples that each lane gives in the pass; `None` where `watch`, asked ten times a second, said to stop.
///
/// # Errors
/// `InvalidArgument` where the sequence length is none; `CorruptShard` where the counts are damaged.
pub fn lane_samples(
    question: &LaneQuestion<'_>,
    mode: PackMode,
    seq_len: usize,
    watch: &mut dyn FnMut() -> bool,
) -> Result<Option<Vec<u64>>> {
    if mode == PackMode::BestFitWindows {
        return question.of_lanes(watch, |lane| question.samples_of_windows(lane, seq_len));
    }
    question.of_lanes(watch, |lane| {
        let mut counter = SampleCounter::try_new(mode, seq_len)?;
        for epoch in question.first_epoch..question.first_epoch + question.num_epochs {
            let elements = question.elements(lane);
            if counter.needs_sums_only() {
                counter.document(question.sum(epoch, lane, elements)?);
            } else {
                question.each(epoch, lane, elements, |num_tokens| counter.document(num_tokens))?;
            }
        }
        Ok(counter.finish())
    })
}

/// The tokens of each lane in the pass; `None` where `watch` said to stop.
///
/// # Errors
/// `CorruptShard` where the counts are damaged.
pub fn lane_tokens(question: &LaneQuestion<'_>, watch: &mut dyn FnMut() -> bool) -> Result<Option<Vec<u64>>> {
    question.of_lanes(watch, |lane| {
        let mut epochs = question.first_epoch..question.first_epoch + question.num_epochs;
        epochs.try_fold(0, |sum, epoch| Ok(sum + question.sum(epoch, lane, question.elements(lane))?))
    })
}

impl LaneQuestion<'_> {
    fn of_lanes(
        &self,
        watch: &mut dyn FnMut() -> bool,
        answer: impl Fn(u32) -> Result<u64> + Sync,
    ) -> Result<Option<Vec<u64>>> {
        let num_lanes = self.epochs.num_lanes() as usize;
        crew::run(num_lanes, self.num_threads, || (), |(), lane| answer(lane as u32), watch)
    }

    /// The samples of a lane whose groups are whole windows.
    fn samples_of_windows(&self, lane: u32, seq_len: usize) -> Result<u64> {
        let documents = LaneDocuments {
            counts: self.counts,
            epochs: self.epochs,
            first_epoch: self.first_epoch,
            num_epochs: Some(self.num_epochs),
            lane,
            rows: lane_rows(self.positions, self.epochs.num_lanes(), lane),
            seq_len,
        };
        let (mut readers, mut next, mut num_samples) = (EpochReaders::default(), 0, 0);
        while let Some((group, end)) = documents.group_at(&mut readers, next)? {
            num_samples += group.num_samples(seq_len);
            next = end;
        }
        Ok(num_samples)
    }

    /// Elements of a lane that are read in each epoch.
    fn elements(&self, lane: u32) -> Range<u64> {
        let (first, len) = lane_rows(self.positions, self.epochs.num_lanes(), lane);
        first..first + len
    }

    /// The tokens of elements of a lane together; of a mix those that each source gives.
    fn sum(&self, epoch: u64, lane: u32, elements: Range<u64>) -> Result<u64> {
        let Some(draws) = self.epochs.draws() else { return self.sum_of(0, epoch, lane, elements) };
        let drawn = draws.stretches(epoch, lane, elements);
        drawn.into_iter().try_fold(0, |sum, (drawn, elements)| {
            Ok(sum + self.sum_of(drawn.source, drawn.epoch, lane, elements)?)
        })
    }

    /// The same of a source: whole windows by their blocks, whatever their rows' order.
    fn sum_of(&self, source: u32, epoch: u64, lane: u32, elements: Range<u64>) -> Result<u64> {
        let order = self.epochs.order_of(source, epoch);
        let (mut sum, mut next) = (0, elements.start);
        while next < elements.end {
            let span = order.window_at(lane, next);
            let end = match &span {
                Some(span) if is_whole(span, next, elements.end) => {
                    for block in &span.blocks {
                        let first = self.epochs.first_row(source)
                            + order.layout().row_id(block.block, block.rows.start);
                        sum +=
                            self.counts.sum(first..first + u64::from(block.rows.end - block.rows.start))?;
                    }
                    span.elements.end
                }
                other => {
                    let end = other.as_ref().map_or(elements.end, |span| span.elements.end.min(elements.end));
                    sum += self.sum_of_each(source, epoch, lane, next..end)?;
                    end
                }
            };
            next = end;
        }
        Ok(sum)
    }

    /// The same document by document.
    fn sum_of_each(&self, source: u32, epoch: u64, lane: u32, elements: Range<u64>) -> Result<u64> {
        let mut readers = EpochReaders::default();
        let spots = elements.map(|element| Spot { source, lane, epoch, element });
        spots
            .map(|spot| readers.row_id(self.epochs, &spot))
            .try_fold(0, |sum, row_id| Ok(sum + self.counts.row(row_id)?.unwrap_or(0)))
    }

    /// The tokens of each document of a lane, in its order; those left out for damage are none.
    fn each(&self, epoch: u64, lane: u32, elements: Range<u64>, mut visit: impl FnMut(u64)) -> Result<()> {
        let mut readers = EpochReaders::default();
        for element in elements {
            let row_id = row_id_at(&mut readers, self.epochs, epoch, lane, element);
            if let Some(num_tokens) = self.counts.row(row_id)? {
                visit(num_tokens);
            }
        }
        Ok(())
    }
}

/// Whether all of a window lies in the lane, from `next` on and before `end`.
fn is_whole(span: &WindowSpan, next: u64, end: u64) -> bool {
    let WindowSpan { sequence, elements, .. } = span;
    elements.end - elements.start == sequence.end - sequence.start
        && elements.start == next
        && elements.end <= end
}
