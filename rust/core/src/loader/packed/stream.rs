//! One consumer's stream of packed samples: its lanes in turn, made ahead by the engine, taken in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{PackedBatch, PackedColumn};
use super::deal::Deal;
use super::group::{LanePlace, Round, Rounds, Turn};
use super::sequences::{PackedSource, Sequences};
use super::work::{Shared, Worker};
use crate::assemble::Pool;
use crate::error::{Error, Result};
use crate::loader::jobs::{Jobs, batches_per_job};
use crate::loader::receipt::Receipt;
use crate::order::Remainder;
use crate::prefetch::{Job, Limits, Polled, Producer, ProducerStats};
use crate::text::pack::PackStats;

/// Bytes of batches handed over together: small ones share the cost of a wake-up, which on a machine without a core to
/// spare also takes that core from a thread that works.
const BYTES_PER_JOB: u64 = 512 << 10;

/// Everything that decides what a packed stream yields and how far ahead it works.
#[derive(Clone)]
pub struct PackedSpec {
    /// Where documents come from, and what becomes of them; several where packed sources are mixed.
    pub sources: Vec<PackedSource>,
    /// How packed sources are mixed.
    pub sequences: Option<Arc<Sequences>>,
    /// Lanes of the whole job.
    pub num_lanes: u64,
    /// This consumer's lanes, and where they stand.
    pub places: Vec<LanePlace>,
    /// Samples of the whole job that are wanted, by their number: those before are left out.
    pub samples: (u64, Option<u64>),
    /// Which samples this rank takes, where all have agreed on them by the ends of all lanes; else its own lanes'.
    pub deal: Option<Deal>,
    /// Samples of a step.
    pub batch_size: usize,
    /// Steps that are read and left out first.
    pub skip_steps: u64,
    /// What becomes of the last samples.
    pub remainder: Remainder,
    /// Steps that are given where they are padded, those left out included: the ones after the lanes' end hold the
    /// first samples of the epoch, so that every rank takes as many.
    pub owed_steps: u64,
    /// What is made of a sample.
    pub columns: Arc<[PackedColumn]>,
    /// What receipts are seeded with: some of the data's fingerprint.
    pub receipt_seed: u64,
    /// Where buffers come from.
    pub pool: Pool,
    /// Threads of the engine; 0 makes samples in the consumer's thread.
    pub num_threads: usize,
    /// Steps made ahead.
    pub prefetch_items: u64,
    /// Bytes made ahead.
    pub prefetch_bytes: usize,
}

impl PackedSpec {
    /// The one source, or the first of several, all of which are read in the same epochs.
    pub fn first_source(&self) -> &PackedSource {
        &self.sources[0]
    }

    /// Tokens of a sample.
    pub fn seq_len(&self) -> usize {
        self.first_source().pack.seq_len
    }

    fn row_bytes(&self) -> usize {
        self.columns.iter().map(|column| column.dtype.size()).sum::<usize>().max(1) * self.seq_len()
    }

    fn steps_per_job(&self) -> u64 {
        if self.num_threads == 0 {
            return 1;
        }
        let batch_bytes = self.row_bytes().saturating_mul(self.batch_size) as u64;
        let most = batches_per_job(BYTES_PER_JOB, batch_bytes, self.prefetch_items, self.num_threads);
        // Where the jobs of all threads have turns of the same lanes, they wait for each other.
        most.min((self.places.len() / self.num_threads.saturating_mul(self.batch_size.max(1))) as u64).max(1)
    }

    fn limits(&self, steps_per_job: u64) -> Limits {
        let jobs_ahead = self.prefetch_items.div_ceil(steps_per_job);
        Limits {
            num_threads: self.num_threads,
            slots: usize::try_from(jobs_ahead).unwrap_or(usize::MAX).clamp(2, 1 << 16),
            bytes: self.prefetch_bytes,
            // As in a stream of rows: who helps sees no signal while another thread fetches.
            help: !self.sources.iter().any(|source| source.documents.table.is_remote()),
        }
    }
}

/// One step as the consumer takes it.
pub struct PackedStep {
    /// Its samples.
    pub batch: PackedBatch,
    /// The lanes that moved, and where they stand once the step was delivered.
    pub places: Vec<(usize, LanePlace)>,
    /// What was packed for it.
    pub stats: PackStats,
    /// What was delivered by it; samples that pad it are not.
    pub receipt: Receipt,
    /// Rows left out for damage on the way to it.
    pub skipped: u64,
}

impl PackedStep {
    /// A step whose lanes have not moved yet.
    fn of(batch: PackedBatch) -> Self {
        let (stats, receipt) = (PackStats::default(), Receipt::default());
        Self { batch, places: Vec::new(), stats, receipt, skipped: 0 }
    }
}

/// The engine of one consumer; its threads start with it.
pub struct PackedStream {
    spec: Arc<PackedSpec>,
    producer: Producer<Rounds>,
    rounds: VecDeque<Round>,
    /// What stands behind them, instead of another round.
    failed: Option<Error>,
    /// The step that is being put together of several rounds, once lanes begin to end.
    partial: Option<PackedStep>,
    to_skip: u64,
    /// Steps that were taken of the rounds, those left out included.
    num_taken: u64,
    /// Where steps that were left out have brought their lanes.
    passed: Vec<(usize, LanePlace)>,
    /// Which lanes have ended, as far as rounds were taken.
    ended: Vec<bool>,
    is_over: bool,
}

impl PackedStream {
    /// Starts the threads.
    ///
    /// # Errors
    /// `InvalidArgument` where the sequence length is none.
    pub fn try_start(spec: PackedSpec) -> Result<Self> {
        let (steps_per_job, num_places) = (spec.steps_per_job(), spec.places.len());
        let limits = spec.limits(steps_per_job);
        let jobs = Jobs::new(0..u64::MAX, steps_per_job).with_small_ones_first();
        let spec = Arc::new(spec);
        let shared = Arc::new(Shared::try_new(Arc::clone(&spec))?);
        let make_job = move || {
            let mut worker = Worker::new(Arc::clone(&shared));
            Box::new(move |job: u64| Ok(worker.rounds(job, jobs.items(job)))) as Job<u64, Rounds>
        };
        Ok(Self {
            to_skip: spec.skip_steps,
            passed: Vec::new(),
            num_taken: 0,
            producer: Producer::start(limits, None, Arc::new(make_job)),
            spec,
            rounds: VecDeque::new(),
            failed: None,
            partial: None,
            ended: vec![false; num_places],
            is_over: num_places == 0,
        })
    }

    /// The next step, waiting at most `timeout`; `Duration::ZERO` never waits.
    ///
    /// After an error the stream is done: what it would yield next is not what was asked for.
    pub fn poll(&mut self, timeout: Duration) -> Polled<PackedStep> {
        loop {
            let step = match self.next_step().or_else(|| self.owed_step()) {
                Some(step) => {
                    self.num_taken += 1;
                    step
                }
                None if self.is_over => return Polled::Finished,
                None if self.failed.is_some() => {
                    return Polled::Ready(Err(self.failed.take().unwrap_or(Error::Closed)));
                }
                None => {
                    let polled = if timeout.is_zero() {
                        self.producer.try_next()
                    } else {
                        self.producer.next_timeout(timeout)
                    };
                    match polled {
                        Polled::Ready(Ok(rounds)) => {
                            self.rounds.extend(rounds.made);
                            self.failed = rounds.failed;
                        }
                        Polled::Ready(Err(error)) => return Polled::Ready(Err(error)),
                        Polled::Pending => return Polled::Pending,
                        Polled::Finished => return Polled::Finished,
                    }
                    continue;
                }
            };
            match step {
                Ok(step) if self.to_skip > 0 => {
                    self.to_skip -= 1;
                    self.passed.extend(step.places);
                }
                Ok(mut step) => {
                    // Lanes that only the steps left out have moved stand elsewhere, too.
                    step.places.splice(0..0, self.passed.drain(..));
                    return Polled::Ready(Ok(step));
                }
                failed => return Polled::Ready(failed),
            }
        }
    }

    /// A step of the rounds at hand; `None` where another round is needed, or nothing comes any more.
    fn next_step(&mut self) -> Option<Result<PackedStep>> {
        if self.spec.deal.is_some() {
            return self.dealt_step();
        }
        while !self.is_over {
            let mut round = self.rounds.pop_front()?;
            let is_whole = self.partial.is_none() && round.taken == 0;
            if is_whole && round.batch.num_rows == self.spec.batch_size {
                return Some(Ok(self.whole(round)));
            }
            let mut step = match self.partial.take().map_or_else(|| self.empty_step(), Ok) {
                Ok(step) => step,
                Err(error) => return Some(Err(error)),
            };
            self.fill(&mut step, &mut round);
            if step.batch.num_rows == self.spec.batch_size {
                if !round.turns.is_empty() {
                    self.rounds.push_front(round);
                }
                return Some(Ok(step));
            }
            self.is_over = self.ended.iter().all(|ended| *ended);
            if self.is_over {
                return self.last_step(step);
            }
            self.partial = Some(step);
        }
        None
    }

    /// A step that is dealt is one round; all ranks take the last one, and each pads what it lacks there, one behind
    /// the other, so that the step holds the same for every number of ranks.
    fn dealt_step(&mut self) -> Option<Result<PackedStep>> {
        let round = self.rounds.pop_front()?;
        let step = self.whole(round);
        if step.batch.num_rows == self.spec.batch_size {
            return Some(Ok(step));
        }
        let is_wanted = self.spec.remainder == Remainder::Pad && self.num_taken < self.spec.owed_steps;
        self.is_over = !is_wanted;
        let deal = self.spec.deal.as_ref().filter(|_| is_wanted)?;
        Some(self.padded(step, deal.lacking_before(self.spec.batch_size)))
    }

    /// A step that is one round as it was made.
    fn whole(&mut self, round: Round) -> PackedStep {
        let mut step = PackedStep::of(round.batch);
        round.turns.into_iter().for_each(|turn| self.note(&mut step, turn));
        step
    }

    /// Moves samples of a round to a step until it is full.
    fn fill(&mut self, step: &mut PackedStep, round: &mut Round) {
        while let Some(turn) = round.turns.pop_front() {
            if turn.is_sample && step.batch.num_rows == self.spec.batch_size {
                round.turns.push_front(turn);
                return;
            }
            if turn.is_sample {
                step.batch.push(&round.batch, round.taken, &self.spec.columns);
                round.taken += 1;
            }
            self.note(step, turn);
        }
    }

    fn note(&mut self, step: &mut PackedStep, turn: Turn) {
        step.stats += turn.stats;
        step.receipt += turn.receipt;
        // Lanes of other ranks stand in those ranks' cursors, with what was left out of them.
        if let Some(ended) = self.ended.get_mut(turn.at) {
            *ended |= turn.is_over;
            step.places.push((turn.at, turn.place));
            step.skipped += turn.skipped;
        }
    }

    fn empty_step(&self) -> Result<PackedStep> {
        let batch = PackedBatch::try_new(
            &self.spec.columns,
            self.spec.seq_len(),
            self.spec.batch_size,
            &self.spec.pool,
        )?;
        Ok(PackedStep::of(batch))
    }

    /// The short step at the end, as the remainder asks for it.
    fn last_step(&self, step: PackedStep) -> Option<Result<PackedStep>> {
        if step.batch.num_rows == 0 {
            return None;
        }
        match self.spec.remainder {
            Remainder::Drop => None,
            Remainder::Keep => Some(self.trimmed(step)),
            Remainder::Pad => Some(self.padded(step, 0)),
        }
    }

    fn trimmed(&self, mut step: PackedStep) -> Result<PackedStep> {
        step.batch = step.batch.trimmed(&self.spec.columns, &self.spec.pool)?;
        Ok(step)
    }

    /// A step that the other ranks take as well, though the lanes here have ended.
    fn owed_step(&self) -> Option<Result<PackedStep>> {
        if !self.is_over || self.spec.remainder != Remainder::Pad || self.num_taken >= self.spec.owed_steps {
            return None;
        }
        let step = self.empty_step().and_then(|step| self.padded(step, 0));
        // An epoch without a sample has nothing to pad with.
        step.map_or_else(|error| Some(Err(error)), |step| (step.batch.num_rows > 0).then_some(Ok(step)))
    }

    /// Fills the last step with the first samples of the epoch, of all lanes, but for so many that others fill theirs
    /// with; over again where it has so few.
    fn padded(&self, mut step: PackedStep, mut left_out: u64) -> Result<PackedStep> {
        let size = self.spec.batch_size;
        while step.batch.num_rows < size {
            let mut first = Self::try_start(self.beginning(size - step.batch.num_rows))?;
            let mut num_samples = 0;
            while step.batch.num_rows < size {
                let made = match first.poll(Duration::from_millis(100)) {
                    Polled::Ready(made) => made?.batch,
                    Polled::Pending => continue,
                    Polled::Finished => break,
                };
                num_samples += made.num_rows as u64;
                for row in 0..made.num_rows {
                    if left_out > 0 {
                        left_out -= 1;
                    } else if step.batch.num_rows < size {
                        step.batch.push(&made, row, &self.spec.columns);
                    }
                }
            }
            if num_samples == 0 {
                return self.trimmed(step);
            }
            left_out %= num_samples;
        }
        Ok(step)
    }

    fn beginning(&self, batch_size: usize) -> PackedSpec {
        let spec = &self.spec;
        let epoch = spec.first_source().documents.first_epoch;
        let place = |lane| LanePlace { lane: lane as u32, epoch, ..LanePlace::default() };
        PackedSpec {
            places: (0..spec.num_lanes).map(place).collect(),
            batch_size,
            deal: None,
            skip_steps: 0,
            remainder: Remainder::Keep,
            owed_steps: 0,
            num_threads: 0,
            ..PackedSpec::clone(spec)
        }
    }

    /// What the engine did so far.
    pub fn stats(&self) -> ProducerStats {
        self.producer.stats()
    }

    /// Stops the threads.
    pub fn close(&self) {
        self.producer.close();
    }
}
