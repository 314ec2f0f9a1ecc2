//! What requests promise: each key once, in any order of taking, within the limits.
#![cfg(not(loom))]

use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rowmill_core::{
    Error, Result,
    prefetch::{Job, Limits, MakeJob, Polled, Requests, Weigh},
};

const LIMITS: Limits = Limits { num_threads: 2, slots: 4, bytes: usize::MAX, help: false };

#[derive(Debug, PartialEq)]
struct Text(String);

impl Weigh for Text {
    fn weight(&self) -> usize {
        self.0.len()
    }
}

fn start(limits: Limits, job: impl Fn(u32) -> Result<Text> + Send + Sync + 'static) -> Requests<u32, Text> {
    let job = Arc::new(job);
    let make: MakeJob<u32, Text> = Arc::new(move || {
        let job = Arc::clone(&job);
        Box::new(move |key| job(key)) as Job<u32, Text>
    });
    Requests::start(limits, make)
}

// Always one hundred bytes.
#[expect(clippy::unnecessary_wraps, reason = "a job")]
fn text(key: u32) -> Result<Text> {
    Ok(Text(format!("{key:0100}")))
}

fn take(requests: &Requests<u32, Text>, key: u32) -> Result<Text> {
    loop {
        match requests.take(&key, Duration::from_millis(100)) {
            Polled::Ready(item) => return item,
            Polled::Pending => {}
            Polled::Finished => unreachable!("requests have no end"),
        }
    }
}

fn submit_all(requests: &Requests<u32, Text>, keys: impl IntoIterator<Item = u32>) {
    for key in keys {
        requests.submit(key).expect("open");
    }
}

fn every_mode() -> impl Iterator<Item = Limits> {
    [(0, 4), (1, 1), (1, 8), (2, 3), (4, 2)].into_iter().flat_map(|(num_threads, slots)| {
        [(false, usize::MAX), (true, usize::MAX), (false, 150), (true, 1)].map(|(help, bytes)| Limits {
            num_threads,
            slots,
            bytes,
            help,
        })
    })
}

#[test]
fn results_are_taken_in_any_order_without_blocking() {
    for limits in every_mode() {
        let requests = start(limits, text);
        for round in 0..20 {
            let keys = round * 10..round * 10 + 10;
            submit_all(&requests, keys.clone());
            // Last first is the worst case: all slots fill with results that nobody wants yet.
            for key in keys.rev() {
                assert_eq!(take(&requests, key).expect("sound"), text(key).expect("sound"), "{limits:?}");
            }
        }
        let stats = requests.stats();
        assert_eq!((stats.produced, stats.delivered, stats.ring_items, stats.ring_bytes), (200, 200, 0, 0));
    }
}

#[test]
fn jobs_are_begun_in_the_order_asked_for_and_once_each() {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&begun);
    let requests = start(Limits { num_threads: 1, slots: 50, ..LIMITS }, move |key| {
        log.lock().unwrap().push(key);
        thread::sleep(Duration::from_millis(1));
        text(key)
    });
    submit_all(&requests, [9, 2, 7, 7, 1, 30, 4]);
    for key in [9, 2, 7, 1, 30, 4] {
        while matches!(requests.try_take(&key), Polled::Pending) {
            thread::yield_now();
        }
    }
    assert_eq!(*begun.lock().unwrap(), [9, 2, 7, 1, 30, 4]);
}

#[test]
fn threads_stay_within_the_limits() {
    let requests = start(Limits { num_threads: 3, slots: 100, bytes: 1000, help: false }, text);
    submit_all(&requests, 0..100);
    for key in 0..100 {
        thread::sleep(Duration::from_micros(300));
        take(&requests, key).expect("sound");
    }
    let peak = requests.stats().peak_ring_bytes;
    assert!((500..=1000 + 3 * 100).contains(&peak), "{peak}");

    let requests = start(Limits { slots: 3, ..LIMITS }, text);
    submit_all(&requests, 0..10);
    thread::sleep(Duration::from_millis(50));
    assert_eq!((requests.stats().produced, requests.stats().ring_items), (3, 3));
}

#[test]
fn errors_and_panics_belong_to_their_key() {
    for limits in every_mode() {
        let requests = start(limits, |key| match key {
            3 => Err(Error::Topology("three".to_owned())),
            5 => panic!("five"),
            _ => text(key),
        });
        submit_all(&requests, 0..8);
        for key in 0..8 {
            match (key, take(&requests, key)) {
                (3, Err(Error::Topology(_))) => {}
                (5, Err(Error::Internal(panic))) => assert!(panic.contains("five"), "{panic}"),
                (_, item) => assert_eq!(item.expect("sound"), text(key).expect("sound")),
            }
        }
    }
}

#[test]
fn a_key_that_was_not_asked_for_is_an_error_and_a_taken_one_can_be_asked_for_again() {
    for limits in every_mode() {
        let requests = start(limits, text);
        assert!(matches!(take(&requests, 1), Err(Error::Internal(_))));
        for _ in 0..3 {
            requests.submit(1).expect("open");
            take(&requests, 1).expect("sound");
        }
        assert_eq!(requests.stats().produced, 3);
    }
}

#[test]
fn close_ends_waiting_and_refuses_more() {
    let requests = Arc::new(start(LIMITS, |key| {
        thread::sleep(Duration::from_millis(300));
        text(key)
    }));
    requests.submit(1).expect("open");
    let waiting = Arc::clone(&requests);
    let consumer = thread::spawn(move || waiting.take(&1, Duration::from_secs(30)));
    thread::sleep(Duration::from_millis(30));
    let start = Instant::now();
    requests.close();
    assert!(matches!(consumer.join().expect("it ends"), Polled::Ready(Err(Error::Closed))));
    assert!(start.elapsed() < Duration::from_secs(1));
    assert!(matches!(requests.submit(2), Err(Error::Closed)));
    assert!(matches!(take(&requests, 1), Err(Error::Closed)));
}
