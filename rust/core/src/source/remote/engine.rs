//! The threads that fetch, shared by all objects of a process and started when something is first asked for.
//!
//! A fork copies no thread and may copy a lock that is held: each process makes an engine of its own, behind a look at
//! the fork generation that takes no lock, and leaves its parent's alone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ureq::Agent;

use super::agent::new_agent;
use super::file::RemoteFile;
use super::lock::{Lock, Signal};
use super::settings::limits;
use super::stats::Counters;
use super::throttle::Throttle;
use crate::memory::memory_bytes;
use crate::prefetch::{fork_generation, watch_forks, without_signals};

/// A thread without work ends after this.
const IDLE: Duration = Duration::from_secs(5);

/// Deep enough for TLS; 32 threads take little.
const STACK: usize = 512 << 10;

/// Bytes ahead of their use, at most, however large the memory.
const MOST_AHEAD: u64 = 1 << 30;

/// What one process reads networks with.
pub(super) struct Engine {
    generation: u64,
    /// Of a child of this process.
    next: OnceLock<Box<Engine>>,
    agent: OnceLock<Agent>,
    pub counters: Counters,
    pub throttle: Throttle,
    queue: Lock<Queue>,
    wake: Signal,
    ahead_budget: u64,
    random: AtomicU64,
}

#[derive(Default)]
struct Queue {
    /// Somebody waits for these.
    urgent: VecDeque<Task>,
    ahead: VecDeque<Task>,
    /// Bytes of parts that were begun ahead and not let go of.
    bytes_ahead: u64,
    num_threads: usize,
    num_idle: usize,
}

/// One part of one object.
pub(super) struct Task {
    pub file: Arc<RemoteFile>,
    pub start: u64,
    pub id: u64,
    pub len: u64,
}

/// This process's engine.
pub(super) fn engine() -> &'static Engine {
    static FIRST: OnceLock<Box<Engine>> = OnceLock::new();
    let generation = fork_generation();
    let mut engine = FIRST.get_or_init(|| Box::new(Engine::new(generation)));
    while engine.generation != generation {
        engine = engine.next.get_or_init(|| Box::new(Engine::new(generation)));
    }
    engine
}

impl Engine {
    fn new(generation: u64) -> Self {
        watch_forks();
        let limits = limits();
        let share = (memory_bytes() / 8.0) as u64;
        Self {
            generation,
            next: OnceLock::new(),
            agent: OnceLock::new(),
            counters: Counters::default(),
            throttle: Throttle::new(limits.requests_per_second),
            queue: Lock::default(),
            wake: Signal::default(),
            ahead_budget: limits.ahead_bytes.unwrap_or(share.min(MOST_AHEAD)),
            random: AtomicU64::new(u64::from(std::process::id()) << 32 | 0x9e37_79b9),
        }
    }

    /// The client, made at its first use.
    pub fn agent(&self) -> &Agent {
        self.agent.get_or_init(|| new_agent(&limits()))
    }

    /// Numbers that scatter waits: another sequence in each process.
    pub fn random(&self) -> u64 {
        let mut mixed = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Has these parts fetched: now, or once there is room ahead.
    pub fn push(&'static self, tasks: Vec<Task>, is_urgent: bool) {
        if tasks.is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        let target = if is_urgent { &mut queue.urgent } else { &mut queue.ahead };
        target.extend(tasks);
        let waiting = queue.urgent.len() + queue.ahead.len();
        let wanted = waiting
            .saturating_sub(queue.num_idle)
            .min(limits().connections.saturating_sub(queue.num_threads));
        let started = (0..wanted).take_while(|_| self.start_thread()).count();
        queue.num_threads += started;
        let has_threads = queue.num_threads > 0;
        drop(queue);
        self.wake.notify_all();
        if !has_threads {
            // The system has no thread to give: whoever asks fetches.
            while let Some((task, is_ahead)) = self.take(&mut self.queue.lock()) {
                task.file.run(&task, is_ahead);
            }
        }
    }

    fn start_thread(&'static self) -> bool {
        let thread = std::thread::Builder::new().name("rowmill-fetch".to_owned()).stack_size(STACK);
        // As with the loader's threads: Python's signal handlers belong to its main thread.
        without_signals(|| thread.spawn(move || self.work())).is_ok()
    }

    /// Lets so many bytes be fetched ahead again.
    pub fn give_back(&self, bytes: u64) {
        if bytes > 0 {
            self.queue.lock().bytes_ahead -= bytes;
            self.wake.notify_all();
        }
    }

    fn work(&'static self) {
        loop {
            let mut queue = self.queue.lock();
            let taken = loop {
                if let Some(taken) = self.take(&mut queue) {
                    break Some(taken);
                }
                queue.num_idle += 1;
                let (guard, is_over) = self.wake.wait_for(queue, IDLE);
                queue = guard;
                queue.num_idle -= 1;
                if is_over && queue.urgent.is_empty() && queue.ahead.is_empty() {
                    queue.num_threads -= 1;
                    break None;
                }
            };
            drop(queue);
            let Some((task, is_ahead)) = taken else { return };
            task.file.run(&task, is_ahead);
        }
    }

    /// The next part, and whether it counts as ahead.
    fn take(&self, queue: &mut Queue) -> Option<(Task, bool)> {
        if let Some(task) = queue.urgent.pop_front() {
            return Some((task, false));
        }
        let len = queue.ahead.front()?.len;
        // One is always let through, so that none waits for ever for room that there is not.
        if queue.bytes_ahead > 0 && queue.bytes_ahead + len > self.ahead_budget {
            return None;
        }
        queue.bytes_ahead += len;
        queue.ahead.pop_front().map(|task| (task, true))
    }
}
