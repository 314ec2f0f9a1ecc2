//! What a producer promises: order, bounds, errors in their place, an end within a second.
#![cfg(not(loom))]

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rowmill_core::{
    Error, Result,
    prefetch::{Job, Limits, Polled, Producer, Weigh},
};

const SLICE: Duration = Duration::from_millis(100);
const LIMITS: Limits = Limits { num_threads: 2, slots: 4, bytes: usize::MAX, help: false };

#[derive(Debug, PartialEq)]
struct Item {
    seq: u64,
    weight: usize,
}

impl Weigh for Item {
    fn weight(&self) -> usize {
        self.weight
    }
}

struct Held(#[expect(dead_code, reason = "held for its count")] Arc<()>);

impl Weigh for Held {
    fn weight(&self) -> usize {
        1
    }
}

fn start(
    limits: Limits,
    num_jobs: Option<u64>,
    job: impl Fn(u64) -> Result<Item> + Send + Sync + 'static,
) -> Producer<Item> {
    let job = Arc::new(job);
    let make = move || {
        let job = Arc::clone(&job);
        Box::new(move |seq| job(seq)) as Job<u64, Item>
    };
    Producer::start(limits, num_jobs, Arc::new(make))
}

#[expect(clippy::unnecessary_wraps, reason = "a job")]
fn light(seq: u64) -> Result<Item> {
    Ok(Item { seq, weight: 1 })
}

fn next(producer: &Producer<Item>) -> Option<Result<Item>> {
    loop {
        match producer.next_timeout(SLICE) {
            Polled::Ready(item) => return Some(item),
            Polled::Finished => return None,
            Polled::Pending => {}
        }
    }
}

fn next_seq(producer: &Producer<Item>) -> u64 {
    next(producer).expect("not the end").expect("sound").seq
}

fn every_mode() -> impl Iterator<Item = Limits> {
    [(0, 1), (0, 8), (1, 1), (1, 8), (2, 2), (3, 16), (8, 5)].into_iter().flat_map(|(num_threads, slots)| {
        [false, true].map(|help| Limits { num_threads, slots, help, ..LIMITS })
    })
}

#[test]
fn items_come_in_order_whoever_makes_them() {
    for limits in every_mode() {
        // Uneven jobs, so that threads overtake each other.
        let producer = start(limits, Some(500), |seq| {
            if seq % 37 == 0 {
                thread::sleep(Duration::from_micros(seq * 7 % 300));
            }
            light(seq)
        });
        for seq in 0..500 {
            assert_eq!(next_seq(&producer), seq, "{limits:?}");
        }
        assert!(next(&producer).is_none() && next(&producer).is_none(), "{limits:?}");
        let stats = producer.stats();
        assert_eq!((stats.produced, stats.delivered, stats.ring_items, stats.ring_bytes), (500, 500, 0, 0));
    }
}

#[test]
fn no_jobs_are_finished_at_once() {
    for limits in every_mode() {
        let producer = start(limits, Some(0), light);
        assert!(matches!(producer.try_next(), Polled::Finished));
        assert!(matches!(producer.next_timeout(Duration::ZERO), Polled::Finished));
    }
}

#[test]
fn an_endless_sequence_goes_on_until_closed() {
    let producer = start(LIMITS, None, light);
    for seq in 0..10_000 {
        assert_eq!(next_seq(&producer), seq);
    }
    producer.close();
    assert!(matches!(next(&producer), Some(Err(Error::Closed))) && producer.is_closed());
}

#[test]
fn at_most_the_slots_are_begun_ahead_of_a_slow_consumer() {
    let begun = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&begun);
    let producer = start(Limits { num_threads: 3, slots: 5, ..LIMITS }, None, move |seq| {
        counter.fetch_add(1, Ordering::SeqCst);
        light(seq)
    });
    for taken in 0..40 {
        thread::sleep(Duration::from_millis(1));
        assert!(begun.load(Ordering::SeqCst) <= taken + 5);
        assert_eq!(next_seq(&producer), taken);
    }
    thread::sleep(Duration::from_millis(30));
    let begun = begun.load(Ordering::SeqCst);
    assert!((40 + 5 / 2..=40 + 5).contains(&begun), "half a ring stays filled, of 45: {begun}");
}

#[test]
fn bytes_in_flight_are_bounded() {
    let limits = Limits { num_threads: 2, slots: 100, bytes: 1000, ..LIMITS };
    let producer = start(limits, Some(300), |seq| Ok(Item { seq, weight: 100 }));
    for seq in 0..300 {
        thread::sleep(Duration::from_micros(200));
        assert!(producer.stats().ring_bytes <= 1000 + 2 * 100);
        assert_eq!(next_seq(&producer), seq);
    }
    let peak = producer.stats().peak_ring_bytes;
    assert!((500..=1000 + 2 * 100).contains(&peak), "{peak}");
}

#[test]
fn an_item_heavier_than_the_limit_passes_alone() {
    for limits in every_mode() {
        let limits = Limits { bytes: 10, ..limits };
        let producer = start(limits, Some(50), |seq| Ok(Item { seq, weight: 1000 }));
        for seq in 0..50 {
            assert_eq!(next_seq(&producer), seq, "{limits:?}");
        }
    }
}

#[test]
fn an_error_surfaces_at_its_step_and_the_rest_goes_on() {
    for limits in every_mode() {
        let producer = start(limits, Some(20), |seq| {
            if seq % 7 == 3 { Err(Error::Topology(format!("step {seq}"))) } else { light(seq) }
        });
        for seq in 0..20 {
            match next(&producer).expect("an answer") {
                Ok(item) => assert!(item.seq == seq && seq % 7 != 3, "{limits:?}"),
                Err(Error::Topology(text)) => assert_eq!((text, seq % 7), (format!("step {seq}"), 3)),
                Err(other) => panic!("{other}"),
            }
        }
        assert!(next(&producer).is_none());
    }
}

#[test]
fn a_panic_is_an_error_in_its_place_and_its_thread_goes_on_with_new_caches() {
    let made = Arc::new(AtomicUsize::new(0));
    for limits in every_mode() {
        made.store(0, Ordering::SeqCst);
        let counter = Arc::clone(&made);
        let make = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Box::new(|seq: u64| if seq == 4 { panic!("job {seq} broke") } else { light(seq) })
                as Job<u64, Item>
        };
        let producer = Producer::start(limits, Some(9), Arc::new(make));
        for seq in 0..9 {
            match next(&producer).expect("an answer") {
                Ok(item) => assert!(item.seq == seq && seq != 4),
                Err(Error::Internal(text)) => {
                    assert!(seq == 4 && text.contains("job 4 broke"), "{text}");
                    assert!(text.contains("prefetch_producer.rs"), "{text}");
                }
                Err(other) => panic!("{other}"),
            }
        }
        // Once for each thread and the helping consumer, and once more after the panic.
        assert!(made.load(Ordering::SeqCst) <= limits.num_threads + 2);
    }
}

#[test]
fn a_job_maker_that_panics_fails_every_job_and_hangs_none() {
    let make = || -> Job<u64, Item> { panic!("no caches") };
    let producer = Producer::start(LIMITS, Some(3), Arc::new(make));
    for _ in 0..3 {
        assert!(matches!(next(&producer), Some(Err(Error::Internal(_)))));
    }
    assert!(next(&producer).is_none());
}

#[test]
fn close_ends_a_waiting_consumer_and_all_threads_within_a_second() {
    let producer = Arc::new(start(LIMITS, None, |seq| {
        thread::sleep(Duration::from_millis(if seq == 0 { 300 } else { 0 }));
        light(seq)
    }));
    let waiting = Arc::clone(&producer);
    let consumer = thread::spawn(move || waiting.next_timeout(Duration::from_secs(30)));
    thread::sleep(Duration::from_millis(30));
    let start = Instant::now();
    producer.close();
    assert!(matches!(consumer.join().expect("it ends"), Polled::Ready(Err(Error::Closed))));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_job_that_never_ends_does_not_hold_up_closing() {
    let producer = start(LIMITS, None, |_| {
        thread::sleep(Duration::from_secs(5));
        light(0)
    });
    thread::sleep(Duration::from_millis(20));
    let start = Instant::now();
    drop(producer);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn dropping_a_full_ring_frees_its_items_and_joins_its_threads() {
    let alive = Arc::new(());
    let witness = Arc::clone(&alive);
    let make = move || {
        let witness = Arc::clone(&witness);
        Box::new(move |_: u64| Ok(Held(Arc::clone(&witness)))) as Job<u64, Held>
    };
    let producer = Producer::start(Limits { slots: 8, ..LIMITS }, None, Arc::new(make));
    while producer.stats().produced < 8 {
        thread::yield_now();
    }
    let start = Instant::now();
    drop(producer);
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(Arc::strong_count(&alive), 1, "no item, job or thread is left");
}

#[test]
fn waiting_ends_at_its_timeout() {
    let producer = start(LIMITS, None, |seq| {
        thread::sleep(Duration::from_secs(1));
        light(seq)
    });
    let start = Instant::now();
    assert!(matches!(producer.try_next(), Polled::Pending));
    assert!(matches!(producer.next_timeout(Duration::from_millis(50)), Polled::Pending));
    assert!((Duration::from_millis(50)..Duration::from_millis(800)).contains(&start.elapsed()));
    assert!(producer.stats().waited_ns >= 45_000_000);
}

#[test]
fn without_threads_jobs_run_in_the_caller_and_only_when_asked_for() {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let log = Arc::clone(&threads);
    let producer = start(Limits { num_threads: 0, ..LIMITS }, Some(3), move |seq| {
        log.lock().unwrap().insert(thread::current().id());
        light(seq)
    });
    assert!(matches!(producer.try_next(), Polled::Pending));
    assert_eq!(producer.stats().produced, 0);
    assert!(matches!(producer.next_timeout(Duration::ZERO), Polled::Ready(Ok(Item { seq: 0, .. }))));
    assert_eq!((producer.stats().produced, producer.stats().helped), (1, 1));
    assert_eq!(*threads.lock().unwrap(), HashSet::from([thread::current().id()]));
}

#[test]
fn threads_carry_names_and_do_jobs_side_by_side() {
    let names = Arc::new(Mutex::new(HashSet::new()));
    let log = Arc::clone(&names);
    let producer = start(Limits { slots: 16, ..LIMITS }, Some(40), move |seq| {
        log.lock().unwrap().insert(thread::current().name().map(str::to_owned));
        thread::sleep(Duration::from_millis(1));
        light(seq)
    });
    while next(&producer).is_some() {}
    let wanted = ["rowmill-0", "rowmill-1"].map(|name| Some(name.to_owned()));
    assert_eq!(*names.lock().unwrap(), HashSet::from(wanted));
    // The last job is clocked a moment after its item was handed over.
    producer.close();
    let stats = producer.stats();
    assert!(stats.busy_ns >= 40_000_000 && stats.produced == 40 && stats.num_threads == 2, "{stats:?}");
}

#[test]
fn a_consumer_may_help_and_never_twice_with_the_same_job() {
    let done = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&done);
    let limits = Limits { num_threads: 1, slots: 1, help: true, ..LIMITS };
    let producer = start(limits, Some(3000), move |seq| {
        log.lock().unwrap().push(seq);
        light(seq)
    });
    assert!((0..3000).all(|seq| next_seq(&producer) == seq));
    let mut done = done.lock().unwrap().clone();
    done.sort_unstable();
    assert!(done.into_iter().eq(0..3000));
}

#[cfg(target_os = "linux")]
#[test]
fn threads_take_no_signals() {
    fn blocked() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("proc is there");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
        u64::from_str_radix(mask.trim(), 16).expect("hexadecimal")
    }
    let before = blocked();
    let producer =
        start(Limits { num_threads: 1, ..LIMITS }, Some(1), |_| Ok(Item { seq: blocked(), weight: 1 }));
    let there = next_seq(&producer);
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGUSR1, libc::SIGTERM, libc::SIGCHLD] {
        assert_eq!(there >> (signal - 1) & 1, 1, "signal {signal} is not blocked: {there:x}");
    }
    assert_eq!(blocked(), before, "our own mask is as it was");
}

#[test]
fn two_consumers_get_every_item_once() {
    for limits in every_mode() {
        let producer = Arc::new(start(limits, Some(2000), light));
        let consume = || {
            let producer = Arc::clone(&producer);
            thread::spawn(move || {
                let items = std::iter::from_fn(|| next(&producer));
                items.map(|item| item.expect("sound").seq).collect::<Vec<_>>()
            })
        };
        let lists = [consume(), consume()].map(|thread| thread.join().expect("it ends"));
        assert!(lists.iter().all(|list| list.is_sorted()), "{limits:?}");
        let mut all = lists.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..2000), "{limits:?}");
    }
}
