//! The threads of one supply: started together, stopped together, each with its clock.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    MakeJob,
    engine::{Claimed, Supply},
    guard::Runner,
    process,
    sync::Apart,
};

// A job that reads from a dead disk cannot be interrupted: such a thread is left to end by itself.
const LONGEST_JOIN: Duration = Duration::from_millis(900);

pub(super) struct Crew {
    threads: Mutex<Vec<JoinHandle<()>>>,
    meters: Arc<[Apart<Meter>]>,
    num_threads: usize,
}

/// Sums over all threads.
#[derive(Default)]
pub(super) struct Totals {
    pub jobs: u64,
    pub busy_ns: u64,
    pub cpu_ns: u64,
}

impl Crew {
    /// Starts up to `num_threads` threads; fewer when the system refuses more.
    pub(super) fn start<S: Supply>(
        num_threads: usize,
        supply: &Arc<S>,
        make: &MakeJob<S::Key, S::Item>,
    ) -> Self {
        let meters: Arc<[_]> = (0..num_threads).map(|_| Apart(Meter::default())).collect();
        let spawn = |index: usize| {
            let (supply, make, meters) = (Arc::clone(supply), Arc::clone(make), Arc::clone(&meters));
            thread::Builder::new()
                .name(format!("rowmill-{index}"))
                .spawn(move || work(&*supply, make, &meters[index]))
        };
        // Blocked before the thread exists: Python's signal handlers belong to its main thread.
        let threads: Vec<_> =
            process::without_signals(|| (0..num_threads).map_while(|index| spawn(index).ok()).collect());
        Self { num_threads: threads.len(), threads: Mutex::new(threads), meters }
    }

    pub(super) fn num_threads(&self) -> usize {
        self.num_threads
    }

    /// Waits for the threads of a closed supply, but never longer than a second.
    pub(super) fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let deadline = Instant::now() + LONGEST_JOIN;
        let me = thread::current().id();
        // One of the threads itself may be the last owner, and cannot wait for itself.
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != me) {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_micros(50));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }

    pub(super) fn totals(&self) -> Totals {
        self.meters.iter().fold(Totals::default(), |sum, meter| {
            let (jobs, busy_ns) = meter.read();
            let cpu_ns = sum.cpu_ns + meter.cpu_ns.load(Ordering::Relaxed);
            Totals { jobs: sum.jobs + jobs, busy_ns: sum.busy_ns + busy_ns, cpu_ns }
        })
    }
}

/// What one thread did.
#[derive(Default)]
pub(super) struct Meter {
    jobs: AtomicU64,
    busy_ns: AtomicU64,
    cpu_ns: AtomicU64,
}

impl Meter {
    /// Counts a job, before its result is handed over: nobody takes more than was counted.
    pub(super) fn count_job(&self) {
        self.jobs.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_busy(&self, busy: Duration) {
        self.busy_ns.fetch_add(busy.as_nanos() as u64, Ordering::Relaxed);
    }

    /// (jobs done, nanoseconds they took)
    pub(super) fn read(&self) -> (u64, u64) {
        (self.jobs.load(Ordering::Relaxed), self.busy_ns.load(Ordering::Relaxed))
    }

    // A system call: only now and then.
    fn read_cpu_clock(&self) {
        self.cpu_ns.store(process::thread_cpu_time().as_nanos() as u64, Ordering::Relaxed);
    }
}

fn work<S: Supply>(supply: &S, make: MakeJob<S::Key, S::Item>, meter: &Meter) {
    const CPU_CLOCK_EVERY: Duration = Duration::from_millis(20);
    let mut runner = Runner::new(make);
    // One look at the clock a job: the end of one is the begin of the next.
    let mut job_start = Instant::now();
    let mut cpu_read = job_start;
    loop {
        match supply.try_claim() {
            Claimed::Job(claim) => {
                let (item, weight) = runner.run(S::key(&claim));
                meter.count_job();
                supply.fill(claim, item, weight);
                let job_end = Instant::now();
                meter.add_busy(job_end - job_start);
                job_start = job_end;
                if job_end - cpu_read > CPU_CLOCK_EVERY {
                    meter.read_cpu_clock();
                    cpu_read = job_end;
                }
            }
            Claimed::Full => {
                meter.read_cpu_clock();
                supply.wait_for_work();
                job_start = Instant::now();
                cpu_read = job_start;
            }
            Claimed::Over => {
                meter.read_cpu_clock();
                return;
            }
        }
    }
}
