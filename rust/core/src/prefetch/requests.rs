//! Items named by keys: made by threads in the order asked for, taken in any order.
//!
//! For streams whose next demand only their consumer knows.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    time::Duration,
};

use super::{
    Limits, MakeJob, Polled, ProducerStats, Weigh,
    engine::{Claimed, Engine, Levels, Supply},
    gate::Gate,
    sync::{Mutex, lock},
};
use crate::{Error, Result};

/// Threads that do requested jobs, first asked first done, and keep each result until it is taken.
///
/// Limits, errors, panics, closing and forks are as with [`super::Producer`]; the item that a
/// consumer waits for is exempt from the limits, so no order of taking can block.
pub struct Requests<K: Key, T: Weigh + Send + 'static> {
    engine: Engine<Board<K, T>>,
}

/// What a request can be named by.
pub trait Key: Clone + Debug + Eq + Hash + Send + 'static {}

impl<K: Clone + Debug + Eq + Hash + Send + 'static> Key for K {}

impl<K: Key, T: Weigh + Send + 'static> Requests<K, T> {
    /// Starts the threads; `make_job` is called once in each (and again after a panic).
    pub fn start(limits: Limits, make_job: MakeJob<K, T>) -> Self {
        Self { engine: Engine::start(Board::new(&limits), &limits, make_job) }
    }

    /// Asks for `key`; asking again before it was taken changes nothing.
    pub fn submit(&self, key: K) -> Result<()> {
        self.engine.supply()?.submit(key)
    }

    /// The result for `key` if it lies ready; never waits and never runs a job.
    pub fn try_take(&self, key: &K) -> Polled<T> {
        self.engine.try_take(key)
    }

    /// The result for `key`, waiting at most `timeout` (longer only while it runs the job itself);
    /// never `Finished`. A key that was not asked for is an error.
    pub fn take(&self, key: &K, timeout: Duration) -> Polled<T> {
        self.engine.take(key, timeout)
    }

    /// Stops and joins the threads within a second, and frees what was not taken.
    pub fn close(&self) {
        self.engine.close();
    }

    /// What was done so far; all zero in a forked child.
    pub fn stats(&self) -> ProducerStats {
        self.engine.stats()
    }
}

/// The right, and the duty, to do one request.
pub(super) struct Claim<K> {
    key: K,
    reserved: usize,
}

enum State<T> {
    Queued,
    Running,
    Done { item: Result<T>, weight: usize },
}

struct Entry<T> {
    state: State<T>,
    is_awaited: bool,
}

struct Table<K, T> {
    /// Keys in state `Queued` and no others.
    queue: VecDeque<K>,
    /// Those of them that somebody waits for: first, and without regard to limits.
    urgent: VecDeque<K>,
    entries: HashMap<K, Entry<T>>,
    is_closed: bool,
    usual_weight: usize,
    levels: Levels,
}

/// The lock order is gate before table: nothing wakes while it holds the table.
pub(super) struct Board<K, T> {
    table: Mutex<Table<K, T>>,
    slots: u64,
    max_bytes: usize,
    work: Gate,
    ready: Gate,
}

impl<K: Key, T> Board<K, T> {
    pub(super) fn new(limits: &Limits) -> Self {
        let table = Table {
            queue: VecDeque::new(),
            urgent: VecDeque::new(),
            entries: HashMap::new(),
            is_closed: false,
            usual_weight: 0,
            levels: Levels::default(),
        };
        Self {
            table: Mutex::new(table),
            slots: limits.slots.max(1) as u64,
            max_bytes: limits.bytes,
            work: Gate::new(),
            ready: Gate::new(),
        }
    }

    pub(super) fn submit(&self, key: K) -> Result<()> {
        let mut table = lock(&self.table);
        if table.is_closed {
            return Err(Error::Closed);
        }
        if !table.entries.contains_key(&key) {
            table.entries.insert(key.clone(), Entry { state: State::Queued, is_awaited: false });
            table.queue.push_back(key);
        }
        let has_work = self.has_work(&table);
        drop(table);
        self.wake_worker_if(has_work);
        Ok(())
    }

    fn has_work(&self, table: &Table<K, T>) -> bool {
        !table.urgent.is_empty() || (!table.queue.is_empty() && self.has_room(table))
    }

    fn has_room(&self, table: &Table<K, T>) -> bool {
        let levels = &table.levels;
        let is_light = levels.bytes.saturating_add(table.usual_weight) <= self.max_bytes;
        levels.items == 0 || (levels.items < self.slots && is_light)
    }

    // As in the ring: a sleeper is woken for several rounds of work, not for one.
    fn is_low(&self, table: &Table<K, T>) -> bool {
        let levels = &table.levels;
        let is_half_empty = levels.items <= self.slots / 2 && levels.bytes <= self.max_bytes / 2;
        !table.queue.is_empty() && (levels.items == 0 || is_half_empty)
    }

    fn wake_worker_if(&self, has_work: bool) {
        Gate::publish();
        if has_work && self.work.has_sleepers() {
            self.work.wake_one();
        }
    }
}

impl<K: Key, T> Table<K, T> {
    /// Takes a queued key out of the queue and marks it as running.
    fn begin(&mut self, key: K) -> Claim<K> {
        self.queue.retain(|queued| *queued != key);
        self.urgent.retain(|queued| *queued != key);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.state = State::Running;
        }
        let reserved = self.usual_weight;
        self.levels.items += 1;
        self.add_bytes(reserved);
        Claim { key, reserved }
    }

    fn add_bytes(&mut self, added: usize) {
        self.levels.bytes = self.levels.bytes.saturating_add(added);
        self.levels.peak_bytes = self.levels.peak_bytes.max(self.levels.bytes);
    }

    fn is_done(&self, key: &K) -> bool {
        // An unknown key is an answer too.
        self.entries.get(key).is_none_or(|entry| matches!(entry.state, State::Done { .. }))
    }
}

impl<K: Key, T: Weigh + Send + 'static> Supply for Board<K, T> {
    type Key = K;
    type Item = T;
    type Claim = Claim<K>;
    type Wanted = K;

    fn key(claim: &Claim<K>) -> K {
        claim.key.clone()
    }

    fn try_claim(&self) -> Claimed<Claim<K>> {
        let mut table = lock(&self.table);
        if table.is_closed {
            return Claimed::Over;
        }
        let has_room = self.has_room(&table);
        let next = table.urgent.front().or_else(|| table.queue.front().filter(|_| has_room)).cloned();
        let Some(key) = next else { return Claimed::Full };
        let claim = table.begin(key);
        let has_more = self.has_work(&table);
        drop(table);
        self.wake_worker_if(has_more);
        Claimed::Job(claim)
    }

    fn wait_for_work(&self) {
        let is_idle = || {
            let table = lock(&self.table);
            !table.is_closed && !self.has_work(&table)
        };
        self.work.sleep_while(is_idle, None);
    }

    fn fill(&self, claim: Claim<K>, item: Result<T>, weight: usize) {
        let mut table = lock(&self.table);
        if item.is_ok() {
            table.usual_weight = weight;
        }
        table.levels.bytes -= claim.reserved;
        table.add_bytes(weight);
        let Some(entry) = table.entries.get_mut(&claim.key) else { return };
        entry.state = State::Done { item, weight };
        let is_awaited = entry.is_awaited;
        drop(table);
        Gate::publish();
        if is_awaited {
            // All: those who wait for other keys look and sleep again.
            self.ready.wake_all();
        }
    }

    fn try_take(&self, wanted: &K) -> Polled<T> {
        let mut table = lock(&self.table);
        if table.is_closed {
            return Polled::Ready(Err(Error::Closed));
        }
        if !table.is_done(wanted) {
            return Polled::Pending;
        }
        let Some(Entry { state: State::Done { item, weight }, .. }) = table.entries.remove(wanted) else {
            let text = format!("{wanted:?} was taken but never requested");
            return Polled::Ready(Err(Error::Internal(text)));
        };
        table.levels.taken += 1;
        table.levels.items -= 1;
        table.levels.bytes -= weight;
        let is_low = self.is_low(&table);
        drop(table);
        self.wake_worker_if(is_low);
        Polled::Ready(item)
    }

    fn claim_wanted(&self, wanted: &K) -> Option<Claim<K>> {
        let mut table = lock(&self.table);
        let is_queued = matches!(table.entries.get(wanted)?.state, State::Queued);
        (is_queued && !table.is_closed).then(|| table.begin(wanted.clone()))
    }

    fn is_ready(&self, wanted: &K) -> bool {
        let table = lock(&self.table);
        table.is_closed || table.is_done(wanted)
    }

    fn wait_for(&self, wanted: &K, timeout: Duration) {
        let mut table = lock(&self.table);
        let Some(entry) = table.entries.get_mut(wanted) else { return };
        entry.is_awaited = true;
        let is_urgent = matches!(entry.state, State::Queued);
        if is_urgent && !table.urgent.contains(wanted) {
            table.urgent.push_back(wanted.clone());
        }
        drop(table);
        self.wake_worker_if(is_urgent);
        self.ready.sleep_while(|| !self.is_ready(wanted), Some(timeout));
    }

    fn close(&self) {
        lock(&self.table).is_closed = true;
        Gate::publish();
        self.work.wake_all();
        self.ready.wake_all();
    }

    fn clear(&self) {
        let entries = std::mem::take(&mut lock(&self.table).entries);
        drop(entries);
    }

    fn levels(&self) -> Levels {
        lock(&self.table).levels
    }
}
