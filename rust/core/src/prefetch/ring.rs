//! Ordered slots between threads that fill them in any order and a consumer that takes them in one.
//!
//! Item `seq` lives in slot `seq % slots`. `claimed` is the first item that no thread has begun,
//! `delivered` the first that was not taken; `delivered <= claimed <= delivered + slots`. A slot
//! belongs to whoever claimed its item until it is filled, then to whoever takes it; its lock is
//! there to prove that to the compiler and is never fought for.

use std::time::Duration;

use super::{
    Limits, Polled, Weigh,
    engine::{Claimed, Levels, Supply},
    gate::Gate,
    sync::{Apart, AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, lock},
};
use crate::{Error, Result};

/// The right, and the duty, to fill one slot.
#[derive(Debug)]
pub(super) struct Claim {
    pub seq: u64,
    reserved: usize,
}

struct Filled<T> {
    item: Result<T>,
    weight: usize,
}

struct Slot<T> {
    /// `seq + 1` of the item that lies here, 0 for none.
    ready: AtomicU64,
    content: Mutex<Option<Filled<T>>>,
}

pub(super) struct Ring<T> {
    slots: Box<[Apart<Slot<T>>]>,
    max_bytes: usize,
    num_jobs: u64,
    claimed: Apart<AtomicU64>,
    delivered: Apart<AtomicU64>,
    /// Weights of filled slots and reservations of claimed ones.
    bytes: Apart<AtomicUsize>,
    peak_bytes: AtomicUsize,
    /// What the last item weighed: the guess for those in the making.
    usual_weight: AtomicUsize,
    is_closed: AtomicBool,
    room: Gate,
    ready: Gate,
}

impl<T> Ring<T> {
    pub(super) fn new(limits: &Limits, num_jobs: Option<u64>) -> Self {
        let slot = || Apart(Slot { ready: AtomicU64::new(0), content: Mutex::new(None) });
        Self {
            slots: (0..limits.slots.max(1)).map(|_| slot()).collect(),
            max_bytes: limits.bytes,
            num_jobs: num_jobs.unwrap_or(u64::MAX),
            claimed: Apart(AtomicU64::new(0)),
            delivered: Apart(AtomicU64::new(0)),
            bytes: Apart(AtomicUsize::new(0)),
            peak_bytes: AtomicUsize::new(0),
            usual_weight: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            room: Gate::new(),
            ready: Gate::new(),
        }
    }

    fn claim(&self, seq: u64) -> Option<Claim> {
        self.claimed.compare_exchange(seq, seq + 1, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        let reserved = self.usual_weight.load(Ordering::Relaxed);
        self.add_bytes(reserved);
        // A taker wakes one worker; the worker wakes the next one when there is work for two.
        self.wake_workers(seq + 1);
        Some(Claim { seq, reserved })
    }

    fn add_bytes(&self, added: usize) {
        // Wraps on purpose: a result lighter than its reservation is a negative addition.
        let bytes = self.bytes.fetch_add(added, Ordering::Relaxed).wrapping_add(added);
        if bytes > self.peak_bytes.load(Ordering::Relaxed) {
            self.peak_bytes.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    // The next item to be taken is always welcome, else a heavy one could never be made.
    fn has_room(&self, next: u64, head: u64) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let usual = self.usual_weight.load(Ordering::Relaxed);
        next <= head
            || (next - head < self.slots.len() as u64 && bytes.saturating_add(usual) <= self.max_bytes)
    }

    // Sleepers are woken only when half the ring is free: then each finds work for several rounds.
    fn is_low(&self, next: u64, head: u64) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        next <= head || (next - head <= self.slots.len() as u64 / 2 && bytes <= self.max_bytes / 2)
    }

    fn take(&self, slot: &Slot<T>, head: u64) -> Option<Result<T>> {
        let mut content = lock(&slot.content);
        if slot.ready.load(Ordering::Relaxed) != head + 1 {
            return None;
        }
        slot.ready.store(0, Ordering::Relaxed);
        let filled = content.take()?;
        self.bytes.fetch_sub(filled.weight, Ordering::Relaxed);
        // Under the lock, so that a second consumer either sees the old slot or the new head.
        self.delivered.store(head + 1, Ordering::Release);
        drop(content);
        Gate::publish();
        if self.ready.has_sleepers() {
            self.ready.wake_one();
        }
        self.wake_workers(self.claimed.load(Ordering::Relaxed));
        Some(filled.item)
    }

    fn wake_workers(&self, next: u64) {
        if self.room.has_sleepers() && self.is_low(next, self.delivered.load(Ordering::Relaxed)) {
            self.room.wake_one();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn slot(&self, seq: u64) -> &Slot<T> {
        &self.slots[(seq % self.slots.len() as u64) as usize]
    }
}

impl<T: Weigh + Send + 'static> Supply for Ring<T> {
    type Key = u64;
    type Item = T;
    type Claim = Claim;
    type Wanted = ();

    fn key(claim: &Claim) -> u64 {
        claim.seq
    }

    fn try_claim(&self) -> Claimed<Claim> {
        loop {
            let next = self.claimed.load(Ordering::Acquire);
            if next >= self.num_jobs || self.is_closed() {
                return Claimed::Over;
            }
            if !self.has_room(next, self.delivered.load(Ordering::Acquire)) {
                return Claimed::Full;
            }
            if let Some(claim) = self.claim(next) {
                return Claimed::Job(claim);
            }
        }
    }

    fn wait_for_work(&self) {
        let is_full = || {
            let next = self.claimed.load(Ordering::Acquire);
            let head = self.delivered.load(Ordering::Acquire);
            next < self.num_jobs && !self.is_closed() && !self.has_room(next, head)
        };
        self.room.sleep_while(is_full, None);
    }

    fn fill(&self, claim: Claim, item: Result<T>, weight: usize) {
        self.add_bytes(weight.wrapping_sub(claim.reserved));
        if item.is_ok() {
            self.usual_weight.store(weight, Ordering::Relaxed);
        }
        let slot = self.slot(claim.seq);
        *lock(&slot.content) = Some(Filled { item, weight });
        slot.ready.store(claim.seq + 1, Ordering::Release);
        Gate::publish();
        if self.ready.has_sleepers() && self.delivered.load(Ordering::Relaxed) == claim.seq {
            self.ready.wake_one();
        }
    }

    fn try_take(&self, (): &()) -> Polled<T> {
        loop {
            let head = self.delivered.load(Ordering::Acquire);
            if head >= self.num_jobs {
                return Polled::Finished;
            }
            if self.is_closed() {
                return Polled::Ready(Err(Error::Closed));
            }
            let slot = self.slot(head);
            if slot.ready.load(Ordering::Acquire) == head + 1 {
                // None: another consumer was faster, and the head has moved on.
                if let Some(item) = self.take(slot, head) {
                    return Polled::Ready(item);
                }
            } else if self.delivered.load(Ordering::Acquire) == head {
                return Polled::Pending;
            }
        }
    }

    fn claim_wanted(&self, (): &()) -> Option<Claim> {
        let head = self.delivered.load(Ordering::Acquire);
        if head >= self.num_jobs || self.is_closed() { None } else { self.claim(head) }
    }

    fn is_ready(&self, (): &()) -> bool {
        let head = self.delivered.load(Ordering::Acquire);
        self.is_closed() || head >= self.num_jobs || self.slot(head).ready.load(Ordering::Acquire) == head + 1
    }

    fn wait_for(&self, (): &(), timeout: Duration) {
        self.ready.sleep_while(|| !self.is_ready(&()), Some(timeout));
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        Gate::publish();
        self.room.wake_all();
        self.ready.wake_all();
    }

    fn clear(&self) {
        for slot in &self.slots {
            slot.ready.store(0, Ordering::Relaxed);
            let content = lock(&slot.content).take();
            drop(content);
        }
    }

    fn levels(&self) -> Levels {
        let taken = self.delivered.load(Ordering::Acquire);
        Levels {
            taken,
            items: self.claimed.load(Ordering::Acquire).saturating_sub(taken),
            bytes: self.bytes.load(Ordering::Relaxed),
            peak_bytes: self.peak_bytes.load(Ordering::Relaxed),
        }
    }
}
