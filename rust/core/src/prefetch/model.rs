//! Small cases of the ring and the gate in every interleaving (see the folder's `mod.rs`).

use loom::{sync::Arc, thread};

use super::{
    Limits, Polled, Weigh,
    engine::{Claimed, Supply},
    requests::Board,
    ring::Ring,
};
use crate::Error;

impl Weigh for u64 {
    fn weight(&self) -> usize {
        8
    }
}

const LIMITS: Limits = Limits { num_threads: 0, slots: 2, bytes: usize::MAX, help: false };

fn work<S: Supply<Item = u64>>(supply: &S, item: impl Fn(S::Key) -> u64) {
    loop {
        match supply.try_claim() {
            Claimed::Job(claim) => {
                let key = S::key(&claim);
                supply.fill(claim, Ok(item(key)), 8);
            }
            Claimed::Full => supply.wait_for_work(),
            Claimed::Over => return,
        }
    }
}

// The next item, sleeping as long as it takes: a lost wake is a deadlock that loom reports.
fn next<S: Supply<Item = u64>>(supply: &S, wanted: &S::Wanted) -> Option<u64> {
    loop {
        match supply.try_take(wanted) {
            Polled::Ready(Ok(item)) => return Some(item),
            Polled::Ready(Err(error)) => {
                assert!(matches!(error, Error::Closed), "{error}");
                return None;
            }
            Polled::Finished => return None,
            Polled::Pending => supply.wait_for(wanted, std::time::Duration::MAX),
        }
    }
}

fn ring(slots: usize, bytes: usize, num_jobs: u64) -> Arc<Ring<u64>> {
    Arc::new(Ring::new(&Limits { slots, bytes, ..LIMITS }, Some(num_jobs)))
}

fn spawn(ring: &Arc<Ring<u64>>) -> thread::JoinHandle<()> {
    let ring = Arc::clone(ring);
    thread::spawn(move || work(&*ring, |seq| seq))
}

// Every interleaving with so many preemptions at most: three find what two threads can do wrong, and
// two keep three threads within seconds. LOOM_MAX_PREEMPTIONS sets another bound for all.
fn model(max_preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(max_preemptions);
    builder.check(run);
}

#[test]
fn one_worker_hands_over_in_order_and_nobody_sleeps_forever() {
    model(3, || {
        let ring = ring(1, usize::MAX, 3);
        let worker = spawn(&ring);
        assert_eq!([(); 4].map(|()| next(&*ring, &())), [Some(0), Some(1), Some(2), None]);
        worker.join().unwrap();
    });
}

#[test]
fn two_workers_hand_over_in_order() {
    model(2, || {
        let ring = ring(1, usize::MAX, 2);
        let workers = [spawn(&ring), spawn(&ring)];
        assert_eq!([(); 3].map(|()| next(&*ring, &())), [Some(0), Some(1), None]);
        // A worker may sleep for room that nobody needs any more.
        ring.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn bytes_that_allow_nothing_still_allow_the_next_item() {
    model(3, || {
        let ring = ring(2, 1, 3);
        let worker = spawn(&ring);
        assert_eq!([(); 4].map(|()| next(&*ring, &())), [Some(0), Some(1), Some(2), None]);
        ring.close();
        worker.join().unwrap();
    });
}

#[test]
fn a_helping_consumer_and_a_worker_never_do_the_same_job() {
    model(2, || {
        let ring = ring(1, usize::MAX, 2);
        let worker = spawn(&ring);
        for seq in 0..2 {
            if let Some(claim) = ring.claim_wanted(&()) {
                assert_eq!(claim.seq, seq);
                ring.fill(claim, Ok(seq), 8);
            }
            assert_eq!(next(&*ring, &()), Some(seq));
        }
        ring.close();
        worker.join().unwrap();
    });
}

#[test]
fn two_consumers_share_the_items() {
    model(2, || {
        let ring = ring(2, usize::MAX, 2);
        let worker = spawn(&ring);
        let other = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || next(&*ring, &()))
        };
        let mut items = [next(&*ring, &()), other.join().unwrap()];
        items.sort_unstable();
        assert_eq!(items, [Some(0), Some(1)]);
        ring.close();
        worker.join().unwrap();
    });
}

#[test]
fn closing_wakes_a_sleeping_worker_and_a_sleeping_consumer() {
    model(2, || {
        let ring = ring(1, usize::MAX, u64::MAX);
        let worker = spawn(&ring);
        let consumer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || while next(&*ring, &()).is_some_and(|seq| seq < 1) {})
        };
        ring.close();
        consumer.join().unwrap();
        worker.join().unwrap();
        ring.clear();
    });
}

#[test]
fn requests_are_taken_in_any_order() {
    model(3, || {
        // One slot: taking the second first must not wait for the first to be taken.
        let board = Arc::new(Board::<u8, u64>::new(&Limits { slots: 1, ..LIMITS }));
        let worker = {
            let board = Arc::clone(&board);
            thread::spawn(move || work(&*board, u64::from))
        };
        board.submit(1).unwrap();
        board.submit(2).unwrap();
        assert_eq!([next(&*board, &2), next(&*board, &1)], [Some(2), Some(1)]);
        board.close();
        worker.join().unwrap();
    });
}
