//! One consumer's stream: positions to rows to items, made ahead by the engine, taken in order.

use std::sync::Arc;
use std::time::Duration;

use super::ahead::ReadAhead;
use super::epochs::Epochs;
use super::group::{Group, Made, Step, Unpacker};
use super::jobs::{Jobs, batches_per_job};
use super::length_groups::{GroupSpec, GroupedRuns};
use super::receipt::Receipt;
use super::table::Table;
use super::windows::OpenWindows;
use super::work::Worker;
use crate::assemble::{ColumnPlan, Pool};
use crate::error::{Error, Result};
use crate::order::Partition;
use crate::prefetch::{Job, Limits, Polled, Producer, ProducerStats};
use crate::text::encoder::Encoder;
use crate::text::padded::PadPlan;

/// Rows handed over together: enough that a hand-over costs little beside making their dicts.
const ROWS_PER_JOB: u64 = 128;

/// Decoded bytes of rows handed over together: threads at two jobs of long rows would be in two windows of every lane,
/// with room for the blocks of one.
const ROW_BYTES_PER_JOB: u64 = 1 << 20;

/// Bytes of batches handed over together: small batches share the cost of a wake-up, and what is
/// made ahead still lies in a core's cache when it is used.
const BATCH_BYTES_PER_JOB: u64 = 256 << 10;

/// What the items of a stream are.
#[derive(Clone)]
pub enum Output {
    /// Single rows.
    Rows,
    /// Batches, assembled by these plans into buffers of this pool.
    Batches {
        /// One plan a column.
        plans: Arc<[ColumnPlan]>,
        /// The columns' names, for error texts.
        names: Arc<[String]>,
        /// How rows of tokens are padded, where they are.
        pad: Option<Arc<PadPlan>>,
        /// Where batch buffers come from.
        pool: Pool,
    },
    /// Batches of rows that the consumer converts.
    RowSets {
        /// Whether small rows are copied side by side; Arrow batches would rather view the file.
        gathers: bool,
    },
}

/// Everything that decides what a stream yields and how far ahead it works.
#[derive(Clone)]
pub struct StreamSpec {
    /// The opened data.
    pub table: Arc<Table>,
    /// The orders of its epochs.
    pub epochs: Arc<Epochs>,
    /// Epoch in which position 0 of the stream lies.
    pub first_epoch: u64,
    /// Positions of one epoch.
    pub per_epoch: u64,
    /// Position of the order at which each epoch's share begins.
    pub first_position: u64,
    /// Which positions this consumer takes.
    pub partition: Partition,
    /// Items of this consumer that were delivered before.
    pub first_item: u64,
    /// What becomes of rows that are tokenized.
    pub encoder: Option<Arc<Encoder>>,
    /// How batches are grouped by the length of their rows, where they are; no damage is left out then.
    pub groups: Option<GroupSpec>,
    /// What receipts are seeded with: some of the data's fingerprint.
    pub receipt_seed: u64,
    /// Whether they tell of the tokens that are made of each row.
    pub counts_tokens: bool,
    /// What items are.
    pub output: Output,
    /// Threads of the engine; 0 makes items in the consumer's thread.
    pub num_threads: usize,
    /// Items made ahead.
    pub prefetch_items: u64,
    /// Bytes made ahead.
    pub prefetch_bytes: usize,
}

impl StreamSpec {
    fn items_per_job(&self) -> u64 {
        let Output::Rows = self.output else {
            let batch_bytes = self.table.row_bytes().saturating_mul(self.partition.batch_size.unwrap_or(1));
            return batches_per_job(BATCH_BYTES_PER_JOB, batch_bytes, self.prefetch_items, self.num_threads);
        };
        (ROW_BYTES_PER_JOB / self.table.row_memory().max(1)).clamp(1, ROWS_PER_JOB)
    }

    fn jobs(&self, per_job: u64) -> Jobs {
        let end = self.partition.worker_items();
        let jobs = Jobs::new(self.first_item.min(end)..end, per_job);
        if matches!(self.output, Output::Rows) { jobs.with_small_ones_first() } else { jobs }
    }

    fn limits(&self, items_per_job: u64) -> Limits {
        let jobs_ahead = match self.output {
            // For rows the setting counts chunks: a single row ahead would be no prefetch at all.
            Output::Rows => self.prefetch_items,
            _ => self.prefetch_items.div_ceil(items_per_job),
        };
        Limits {
            num_threads: self.num_threads,
            slots: usize::try_from(jobs_ahead).unwrap_or(usize::MAX).clamp(2, 1 << 16),
            bytes: self.prefetch_bytes,
            // Who helps may wait for a block that another thread fetches, and sees no signal while it does.
            help: !self.table.is_remote(),
        }
    }

    /// The epoch of a position of the stream, and its position in that epoch's order.
    pub fn in_epoch(&self, position: u64) -> (u64, u64) {
        let epoch = self.first_epoch + position / self.per_epoch;
        (epoch, self.first_position + position % self.per_epoch)
    }

    /// Lanes that this consumer reads: the windows of all of them are open at a time.
    pub fn lanes_read(&self) -> u64 {
        let lanes = u64::from(self.epochs.num_lanes());
        if self.groups.is_some() {
            return lanes;
        }
        // A rank that shares a factor with the lanes meets only every so-many-th of them.
        lanes / gcd(lanes, self.partition.num_shards)
    }
}

/// The engine of one consumer; its threads start with it.
pub struct Stream {
    producer: Producer<Group>,
    current: Option<Unpacker>,
    jobs: Jobs,
    /// Jobs whose groups were taken.
    jobs_taken: u64,
    next_item: u64,
    skipped: u64,
    receipt: Receipt,
}

impl Stream {
    /// Starts the threads.
    pub fn start(spec: StreamSpec) -> Self {
        let per_job = spec.items_per_job();
        let jobs = spec.jobs(per_job);
        let num_jobs = (spec.partition.worker_items() != u64::MAX).then(|| jobs.len());
        let limits = spec.limits(per_job);
        let first_item = spec.first_item;
        let ahead = ReadAhead::start(&spec.table, &spec.epochs, spec.num_threads > 0).map(Arc::new);
        if let Some(ahead) = &ahead {
            announce_first_windows(&spec, ahead);
        }
        let windows = OpenWindows::new(Arc::clone(&spec.table), Arc::clone(&spec.epochs), spec.lanes_read());
        let runs = GroupedRuns::of(&spec);
        let (spec, windows) = (Arc::new(spec), Arc::new(windows));
        let make_job = move || {
            let mut worker =
                Worker::new(Arc::clone(&spec), ahead.clone(), Arc::clone(&windows), runs.clone());
            Box::new(move |job: u64| Ok(worker.group(jobs.items(job)))) as Job<u64, Group>
        };
        let producer = Producer::start(limits, num_jobs, Arc::new(make_job));
        Self {
            producer,
            current: None,
            jobs,
            jobs_taken: 0,
            next_item: first_item,
            skipped: 0,
            receipt: Receipt::default(),
        }
    }

    /// The next item and its number, waiting at most `timeout`; `Duration::ZERO` never waits.
    pub fn poll(&mut self, timeout: Duration) -> Polled<(u64, Step)> {
        if let Some(item) = self.next_in_group() {
            return Polled::Ready(item);
        }
        let polled =
            if timeout.is_zero() { self.producer.try_next() } else { self.producer.next_timeout(timeout) };
        let group = match polled {
            Polled::Ready(Err(Error::Closed)) => return Polled::Ready(Err(Error::Closed)),
            Polled::Ready(group) => group,
            Polled::Pending => return Polled::Pending,
            Polled::Finished => return Polled::Finished,
        };
        // By jobs, not by what came of them: the items of a job that failed whole have numbers too.
        self.next_item = self.jobs.first_item(self.jobs_taken);
        self.jobs_taken += 1;
        match group {
            Ok(group) => self.current = Some(Unpacker::new(group)),
            Err(error) => return Polled::Ready(Err(error)),
        }
        // Of a group that was left out whole nothing comes: the caller looks for signals before the next.
        self.next_in_group().map_or(Polled::Pending, Polled::Ready)
    }

    fn next_in_group(&mut self) -> Option<Result<(u64, Step)>> {
        while let Some(Made { item, skipped, receipt }) = self.current.as_mut()?.next_item() {
            let number = self.next_item;
            self.next_item += 1;
            self.skipped += skipped;
            self.receipt += receipt;
            if let Some(made) = item.transpose() {
                return Some(made.map(|step| (number, step)));
            }
        }
        self.current = None;
        None
    }

    /// Rows left out for damage among the items that were taken.
    pub fn num_skipped(&self) -> u64 {
        self.skipped
    }

    /// What the items that were taken say of their rows.
    pub fn receipt(&self) -> Receipt {
        self.receipt
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

/// The positions whose rows a stream deals at these positions of it, where it groups them by length.
///
/// # Errors
/// Those of reading the rows of the runs that they are in.
pub fn dealt_positions(spec: StreamSpec, positions: &[u64]) -> Result<Vec<u64>> {
    let windows = OpenWindows::new(Arc::clone(&spec.table), Arc::clone(&spec.epochs), spec.lanes_read());
    let runs = GroupedRuns::of(&spec);
    let mut worker = Worker::new(Arc::new(spec), None, Arc::new(windows), runs);
    let dealt =
        |position: &u64| Ok(worker.run_at(*position)?.map_or(*position, |run| run.dealt_at(*position)));
    positions.iter().map(dealt).collect()
}

/// Tells the kernel of every lane's first window at once: met one by one, each would be waited for alone.
fn announce_first_windows(spec: &StreamSpec, ahead: &ReadAhead) {
    let positions = (spec.first_item..).map_while(|item| spec.partition.item(item)).flatten();
    for position in positions.take(spec.epochs.num_tracks()) {
        let (epoch, position) = spec.in_epoch(position);
        ahead.reached(&spec.epochs.spot_at(epoch, position));
    }
}

fn gcd(left: u64, right: u64) -> u64 {
    if right == 0 { left } else { gcd(right, left % right) }
}
