//! Which documents a sample is made of, found without reading the samples before it where counts are there.
//!
//! Documents are skipped by their lengths, to the one (or the group) that the sample begins in; from there the packer
//! itself says what comes, given as many tokens as the documents have.

use std::sync::atomic::{AtomicBool, Ordering};

use super::crew;
use super::documents::DocumentCounts;
use super::groups::LaneDocuments;
use crate::error::{Error, Result};
use crate::loader::epochs::EpochReaders;
use crate::loader::packed::documents::{DocumentCounter, Documents};
use crate::loader::packed::{Course, LanePlace};
use crate::text::pack::{PackMode, Packer, SampleCounter, Segment};

/// Epochs without a token, after which none is going to come.
const EMPTY_EPOCHS: u64 = 16;

/// What the packer gets instead of tokens: only their number matters.
const TOKENS: [u8; 1 << 14] = [0; 1 << 14];

/// A lane at a place, and its samples that are asked for: their numbers in the lane, ascending and without gaps.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where the lane stands.
    pub place: LanePlace,
    /// The first one's number, and how many.
    pub samples: (u64, u64),
}

/// Of which stream samples are asked.
pub struct SegmentQuestion<'a> {
    /// Its documents.
    pub documents: &'a Documents,
    /// How they are packed.
    pub mode: PackMode,
    /// Tokens of a sample.
    pub seq_len: usize,
    /// The tokens of each document; they are read and encoded where there are none.
    pub counts: Option<&'a DocumentCounts>,
    /// Lanes at a time.
    pub num_threads: usize,
}

/// The segments of the wanted samples, lane by lane; fewer where a lane ends before. `None` where `watch`, which is
/// asked ten times a second, said to stop.
///
/// # Errors
/// What reading raises, or `CorruptShard` where the counts are damaged.
pub fn sample_segments(
    question: &SegmentQuestion<'_>,
    wanted: &[Wanted],
    watch: &mut dyn FnMut() -> bool,
) -> Result<Option<Vec<Vec<Vec<Segment>>>>> {
    let places: Vec<_> = wanted.iter().map(|wanted| &wanted.place).collect();
    walk(question, &places, watch, |lane, index| lane.samples(wanted[index].samples))
}

/// How many documents of each lane make the group that it stands in, from the group's first one on, which its place
/// names; `None` where `watch` said to stop.
///
/// # Errors
/// What reading raises, or `CorruptShard` where the counts are damaged.
pub fn group_lens(
    question: &SegmentQuestion<'_>,
    places: &[LanePlace],
    watch: &mut dyn FnMut() -> bool,
) -> Result<Option<Vec<u64>>> {
    let places: Vec<_> = places.iter().collect();
    walk(question, &places, watch, |lane, _| lane.group_len())
}

/// Where a lane stands before its sample of this number in the pass; `None` where it ends before.
///
/// # Errors
/// `InvalidArgument` without counts; `CorruptShard` where they are damaged.
pub fn place_of_sample(question: &SegmentQuestion<'_>, lane: u32, sample: u64) -> Result<Option<LanePlace>> {
    let first_epoch = question.documents.first_epoch;
    if question.counts.is_none() {
        return Err(Error::InvalidArgument(
            "where a sample of another rank's lane begins only a count of the documents' tokens says; call \
             ds.count_tokens() once"
                .to_owned(),
        ));
    }
    let begin = LanePlace { lane, epoch: first_epoch, ..LanePlace::default() };
    let mut counter = DocumentCounter::new(&question.documents.table, &question.documents.content);
    let is_stopped = AtomicBool::new(false);
    let mut walk = LaneWalk::new(question, &begin, &mut counter, &is_stopped);
    let found = match question.mode {
        PackMode::BestFitWindows => walk.skip_windows(sample)?,
        PackMode::Concat => walk.skip_tokens(sample)?.map(|(course, taken)| (course.number(), taken)),
        PackMode::BestFit => walk.skip_groups(sample)?.map(|(course, taken)| (course.number(), taken)),
    };
    let len = question.documents.lane_rows(lane).1.max(1);
    Ok(found.map(|(number, emitted)| LanePlace {
        epoch: first_epoch + number / len,
        row: number % len,
        emitted,
        num_samples: sample,
        ..begin
    }))
}

/// Walks along the documents of lanes, several at a time.
fn walk<T: Send>(
    question: &SegmentQuestion<'_>,
    places: &[&LanePlace],
    watch: &mut dyn FnMut() -> bool,
    answer: impl Fn(LaneWalk<'_, '_, '_>, usize) -> Result<T> + Sync,
) -> Result<Option<Vec<T>>> {
    let is_stopped = AtomicBool::new(false);
    let state = || DocumentCounter::new(&question.documents.table, &question.documents.content);
    let found = crew::run(
        places.len(),
        question.num_threads,
        state,
        |counter, index| answer(LaneWalk::new(question, places[index], counter, &is_stopped), index),
        &mut || {
            let goes_on = watch();
            is_stopped.fetch_or(!goes_on, Ordering::Relaxed);
            goes_on
        },
    );
    match found {
        Err(Error::Closed) => Ok(None),
        found => found,
    }
}

/// A walk along a lane's documents.
struct LaneWalk<'a, 'b, 'c> {
    question: &'a SegmentQuestion<'b>,
    place: &'a LanePlace,
    counter: &'a mut DocumentCounter<'c>,
    is_stopped: &'a AtomicBool,
    readers: EpochReaders,
}

/// A document as the walk meets it.
struct Met {
    number: u64,
    row_id: u64,
    /// `None` where it is left out for damage.
    num_tokens: Option<u64>,
}

impl<'a, 'b, 'c> LaneWalk<'a, 'b, 'c> {
    fn new(
        question: &'a SegmentQuestion<'b>,
        place: &'a LanePlace,
        counter: &'a mut DocumentCounter<'c>,
        is_stopped: &'a AtomicBool,
    ) -> Self {
        Self { question, place, counter, is_stopped, readers: EpochReaders::default() }
    }

    /// Documents without a token after which none is going to come; of a mix without an end, whose epoch has none, as
    /// many as its sources have together.
    fn patience(&self, course: &Course) -> u64 {
        EMPTY_EPOCHS.saturating_mul(course.epoch_len(self.question.documents))
    }

    fn samples(mut self, (first, number): (u64, u64)) -> Result<Vec<Vec<Segment>>> {
        let begin = match self.question.mode {
            PackMode::BestFitWindows => return self.samples_of_windows(first, number),
            PackMode::Concat => self.skip_tokens(first)?,
            PackMode::BestFit => self.skip_groups(first)?,
        };
        let Some((mut course, taken)) = begin else { return Ok(Vec::new()) };
        let mut packer = Packer::resume(self.question.mode, self.question.seq_len, taken)?;
        let mut found = Vec::new();
        loop {
            found.extend(std::iter::from_fn(|| packer.pop()).map(|sample| sample.segments().to_vec()));
            if found.len() as u64 >= number {
                found.truncate(number as usize);
                return Ok(found);
            }
            let Some(met) = self.document(&mut course)? else {
                packer.finish()?;
                found.extend(std::iter::from_fn(|| packer.pop()).map(|sample| sample.segments().to_vec()));
                found.truncate(number as usize);
                return Ok(found);
            };
            if let Some(mut left) = met.num_tokens {
                packer.begin(met.row_id, met.number);
                while left > 0 {
                    let piece = left.min(TOKENS.len() as u64);
                    packer.tokens(&TOKENS[..piece as usize]);
                    left -= piece;
                }
                packer.end()?;
            }
        }
    }

    /// The samples of groups that are whole windows, by their documents' lengths.
    fn samples_of_windows(mut self, first: u64, number: u64) -> Result<Vec<Vec<Segment>>> {
        let seq_len = self.question.seq_len;
        let lane = self.lane_documents()?;
        let course = self.question.documents.course(self.place);
        let patience = self.patience(&course);
        let (mut next, mut before) = (course.number(), self.place.num_samples - self.place.emitted);
        let (mut found, mut since_token) = (Vec::new(), 0);
        while let Some((group, end)) = lane.group_at(&mut self.readers, next)? {
            if self.is_stopped.load(Ordering::Relaxed) {
                return Err(Error::Closed);
            }
            let units = group.units(seq_len);
            since_token = if units.num_samples() > 0 { 0 } else { since_token + end - next };
            if found.len() as u64 >= number || since_token > patience {
                break;
            }
            let skipped = first.saturating_sub(before);
            before += units.num_samples();
            if before > first {
                let samples = (0..).map_while(|unit| units.documents(unit));
                let samples = samples.flat_map(|unit| unit_samples(unit, group.lengths(), seq_len));
                let left = number as usize - found.len();
                for mut sample in samples.skip(skipped as usize).take(left) {
                    for segment in &mut sample {
                        segment.row_id = lane.row_id_of(&mut self.readers, next + segment.row_id);
                    }
                    found.push(sample);
                }
            }
            next = end;
        }
        Ok(found)
    }

    /// The first document of the group of whole windows that holds a sample, and the group's samples before it.
    fn skip_windows(&mut self, sample: u64) -> Result<Option<(u64, u64)>> {
        let lane = self.lane_documents()?;
        let (mut next, mut before) = (self.question.documents.course(self.place).number(), 0);
        while let Some((group, end)) = lane.group_at(&mut self.readers, next)? {
            let samples = group.num_samples(lane.seq_len);
            if sample < before + samples {
                return Ok(Some((next, sample - before)));
            }
            (next, before) = (end, before + samples);
        }
        Ok(None)
    }

    /// The lane as groups of whole windows are made of it.
    fn lane_documents(&self) -> Result<LaneDocuments<'b>> {
        let SegmentQuestion { documents, counts, seq_len, .. } = *self.question;
        Ok(LaneDocuments {
            counts: counts.ok_or_else(windows_need_counts)?,
            epochs: &documents.epochs,
            first_epoch: documents.first_epoch,
            num_epochs: documents.num_epochs,
            lane: self.place.lane,
            rows: documents.lane_rows(self.place.lane),
            seq_len,
        })
    }

    /// The documents from the one on in which a sample begins, and its tokens that come before; `None` where the lane
    /// ends before.
    fn skip_tokens(&mut self, sample: u64) -> Result<Option<(Course, u64)>> {
        let samples = sample.saturating_sub(self.place.num_samples);
        let mut left = samples * self.question.seq_len as u64 + self.place.emitted;
        let (mut course, mut since_token) = (self.question.documents.course(self.place), 0);
        let patience = self.patience(&course);
        loop {
            let here = course.clone();
            let Some(met) = self.document(&mut course)? else { return Ok(None) };
            let num_tokens = met.num_tokens.unwrap_or(0);
            if left < num_tokens {
                return Ok(Some((here, left)));
            }
            left -= num_tokens;
            course.settle(met.number + 1);
            since_token = if num_tokens > 0 { 0 } else { since_token + 1 };
            if since_token > patience {
                return Ok(None);
            }
        }
    }

    /// The documents from the first one on of the group that holds a sample, and the group's samples before it.
    fn skip_groups(&mut self, sample: u64) -> Result<Option<(Course, u64)>> {
        let mut counter = SampleCounter::try_new(self.question.mode, self.question.seq_len)?;
        let (mut course, mut since_token) = (self.question.documents.course(self.place), 0);
        let patience = self.patience(&course);
        let (mut begin, mut before) = (course.clone(), self.place.num_samples - self.place.emitted);
        while let Some(met) = self.document(&mut course)? {
            since_token = if met.num_tokens.unwrap_or(0) > 0 { 0 } else { since_token + 1 };
            if since_token > patience {
                return Ok(None);
            }
            let Some(num_tokens) = met.num_tokens else { continue };
            counter.document(num_tokens);
            if let Some(samples) = counter.closed_group() {
                if sample < before + samples {
                    return Ok(Some((begin, sample - before)));
                }
                course.settle(met.number + 1);
                (begin, before) = (course.clone(), before + samples);
            }
        }
        let left = counter.finish();
        Ok((sample < before + left).then(|| (begin, sample - before)))
    }

    /// Documents from the place on to the end of the group that it is in, or of the lane.
    fn group_len(mut self) -> Result<u64> {
        let mut counter = SampleCounter::try_new(self.question.mode, self.question.seq_len)?;
        let (mut course, mut since_token, mut len) = (self.question.documents.course(self.place), 0, 0);
        let patience = self.patience(&course);
        while let Some(met) = self.document(&mut course)? {
            len += 1;
            since_token = if met.num_tokens.unwrap_or(0) > 0 { 0 } else { since_token + 1 };
            if let Some(num_tokens) = met.num_tokens {
                counter.document(num_tokens);
            }
            if counter.closed_group().is_some() || since_token > patience {
                break;
            }
        }
        Ok(len)
    }

    /// The next document; `None` after the last one.
    fn document(&mut self, course: &mut Course) -> Result<Option<Met>> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        let documents = self.question.documents;
        let Some((number, spot)) = course.next(documents) else { return Ok(None) };
        let row_id = self.readers.row_id(&documents.epochs, &spot);
        let num_tokens = match self.question.counts {
            Some(counts) => counts.row(row_id)?,
            None => self.counter.count(row_id)?,
        };
        course.counted(num_tokens.unwrap_or(0));
        Ok(Some(Met { number, row_id, num_tokens }))
    }
}

/// The samples of a unit, whose documents are named by their places in the group.
fn unit_samples(unit: &[u32], lengths: &[u64], seq_len: usize) -> Vec<Vec<Segment>> {
    let (mut samples, mut shared) = (Vec::new(), Vec::new());
    for document in unit {
        let (row_id, num_tokens) = (u64::from(*document), lengths[*document as usize]);
        let mut offset = 0;
        while num_tokens - offset >= seq_len as u64 {
            samples.push(vec![Segment { row_id, offset, len: seq_len }]);
            offset += seq_len as u64;
        }
        let rest = (num_tokens - offset) as usize;
        shared.extend((rest > 0).then_some(Segment { row_id, offset, len: rest }));
    }
    samples.extend((!shared.is_empty()).then_some(shared));
    samples
}

pub(crate) fn windows_need_counts() -> Error {
    Error::InvalidArgument(
        "windows are packed by the tokens of their documents, which have not been counted; call ds.count_tokens() once"
            .to_owned(),
    )
}
