//! The jobs of a packed stream: each takes the next turns of the lanes, whichever thread runs it.
//!
//! A lane is sequential, so its turns are taken in order; jobs are begun in order, so the first unfinished one
//! never waits for a later one. Threads are busy at once because a step touches few of the lanes, or, where it
//! touches all of them, because the next step follows one lane behind.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::batch::PackedBatch;
use super::deal::{Dealer, Ticket, Want};
use super::documents::{DocumentReader, Documents};
use super::group::{LanePlace, Round, Rounds, Turn};
use super::lane::Lane;
use super::sequences::PackedSource;
use super::stream::PackedSpec;
use super::turns::Turns;
use crate::error::{Error, Result};
use crate::loader::ahead::ReadAhead;
use crate::loader::windows::OpenWindows;

/// How long a lane is waited for before a look whether another job has failed.
const PATIENCE: Duration = Duration::from_millis(50);

/// With more sources than this what is read ahead is announced by the threads that read, not by one more for each.
const MAX_ADVISERS: usize = 8;

/// A lane, and the turns that it has had; one of another rank is put where it is needed first.
struct Slot {
    state: Mutex<(Option<Lane>, u64)>,
    turned: Condvar,
}

/// How far one source is read.
struct Reading {
    ahead: Option<Arc<ReadAhead>>,
    windows: Arc<OpenWindows>,
}

impl Reading {
    fn new(documents: &Documents, num_lanes: u64, has_threads: bool) -> Self {
        let (table, epochs) = (&documents.table, &documents.epochs);
        let windows = OpenWindows::new(Arc::clone(table), Arc::clone(epochs), num_lanes);
        Self { ahead: ReadAhead::start(table, epochs, has_threads).map(Arc::new), windows: Arc::new(windows) }
    }
}

/// What the threads of a stream share.
pub(super) struct Shared {
    spec: Arc<PackedSpec>,
    turns: Turns,
    /// Whose turn it is instead where ranks deal the samples of all lanes.
    dealer: Option<Dealer>,
    slots: Vec<Slot>,
    /// By source.
    reading: Vec<Reading>,
    /// The first job that could not go on: those after it that wait for its lanes would wait for ever.
    first_failed: AtomicU64,
}

impl Shared {
    /// # Errors
    /// `InvalidArgument` where the sequence length is none.
    pub fn try_new(spec: Arc<PackedSpec>) -> Result<Self> {
        let counts: Vec<_> = spec.places.iter().map(|place| (place.lane, place.num_samples)).collect();
        let slot = |lane| Slot { state: Mutex::new((lane, 0)), turned: Condvar::new() };
        let own = |place: &LanePlace| Lane::try_new(place.clone(), &spec).map(|lane| slot(Some(lane)));
        let mut slots = spec.places.iter().map(own).collect::<Result<Vec<_>>>()?;
        let dealer = spec.deal.as_ref().map(|deal| {
            slots.extend(deal.ranges.iter().map(|_| slot(None)));
            Dealer::new(deal.clone(), spec.batch_size)
        });
        let has_threads = spec.num_threads > 0 && spec.sources.len() <= MAX_ADVISERS;
        let reading =
            |source: &PackedSource| Reading::new(&source.documents, spec.places.len() as u64, has_threads);
        Ok(Self {
            turns: Turns::new(spec.num_lanes, &counts),
            dealer,
            slots,
            reading: spec.sources.iter().map(reading).collect(),
            first_failed: AtomicU64::new(u64::MAX),
            spec,
        })
    }

    /// Runs `work` of a job on the lane of a slot, once so many earlier turns of it are over.
    fn on_turn<T>(
        &self,
        job: u64,
        (at, before): (usize, u64),
        work: impl FnOnce(usize, &mut Option<Lane>) -> Result<T>,
    ) -> Result<T> {
        let slot = &self.slots[at];
        let mut state = slot.state.lock();
        while state.1 < before {
            if self.first_failed.load(Ordering::Acquire) < job {
                return Err(Error::Closed);
            }
            slot.turned.wait_for(&mut state, PATIENCE);
        }
        let made = work(at, &mut state.0);
        state.1 += 1;
        drop(state);
        slot.turned.notify_all();
        made
    }

    /// The lane of a slot; one of another rank before the first sample that is wanted of it.
    fn lane<'a>(&self, at: usize, want: Want, lane: &'a mut Option<Lane>) -> Result<&'a mut Lane> {
        if lane.is_none()
            && let Want::Sample(number) = want
        {
            let of_others = (at - self.spec.places.len()) as u32;
            *lane = Some(Lane::at_sample(of_others, number, &self.spec)?);
        }
        lane.as_mut().ok_or(Error::Closed)
    }
}

/// One thread's part.
pub(super) struct Worker {
    shared: Arc<Shared>,
    /// One for each source.
    readers: Vec<DocumentReader>,
}

impl Worker {
    pub fn new(shared: Arc<Shared>) -> Self {
        let reader = |(source, reading): (&PackedSource, &Reading)| {
            DocumentReader::new(&source.documents, reading.ahead.clone(), Arc::clone(&reading.windows))
        };
        let readers = shared.spec.sources.iter().zip(&shared.reading).map(reader).collect();
        Self { shared, readers }
    }

    /// The rounds of a job, one a step; one that fails does not take those before it along.
    pub fn rounds(&mut self, job: u64, steps: Range<u64>) -> Rounds {
        let shared = Arc::clone(&self.shared);
        let alarm = Alarm { shared: &shared, job };
        let mut rounds = Rounds { made: Vec::new(), failed: None };
        for step in steps {
            match self.round(job, step) {
                Ok(round) => rounds.made.push(round),
                Err(error) => {
                    rounds.failed = Some(error);
                    return rounds;
                }
            }
        }
        std::mem::forget(alarm);
        rounds
    }

    fn round(&mut self, job: u64, step: u64) -> Result<Round> {
        let Self { shared, readers } = self;
        let spec = &shared.spec;
        let size = spec.batch_size;
        let mut batch = PackedBatch::try_new(&spec.columns, spec.seq_len(), size, &spec.pool)?;
        let turns: VecDeque<Turn> = if let Some(dealer) = &shared.dealer {
            let tickets = dealer.step(step).into_iter();
            let turn = |ticket: Ticket| {
                shared.on_turn(job, (ticket.slot, ticket.before), |at, lane| {
                    shared.lane(at, ticket.want, lane)?.dealt(at, ticket.want, spec, readers, &mut batch)
                })
            };
            tickets.map(turn).collect::<Result<_>>()?
        } else {
            let turn = |at| {
                shared.on_turn(job, shared.turns.at(step * size as u64 + at), |at, lane| {
                    shared.lane(at, Want::End, lane)?.turn(at, spec, readers, Some(&mut batch))
                })
            };
            (0..size as u64).map(turn).collect::<Result<_>>()?
        };
        Ok(Round { batch, turns, taken: 0 })
    }
}

/// Tells the other jobs when this one ends by an error or a panic.
struct Alarm<'a> {
    shared: &'a Shared,
    job: u64,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.shared.first_failed.fetch_min(self.job, Ordering::AcqRel);
        self.shared.slots.iter().for_each(|slot| {
            slot.turned.notify_all();
        });
    }
}
