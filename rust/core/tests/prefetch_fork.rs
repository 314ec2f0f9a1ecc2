//! A forked child finds every producer closed, and neither hangs nor joins. One test, alone in its
//! process: a fork copies whatever lock another test holds.
#![cfg(all(unix, not(loom)))]

use std::{
    convert::Infallible,
    mem::ManuallyDrop,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rowmill_core::{
    Error,
    assemble::pool::{Pool, PoolStats},
    prefetch::{Job, Limits, MakeJob, Polled, Producer, ProducerStats, Requests, Weigh, fork_generation},
};

const LONG: Duration = Duration::from_secs(9);
const LIMITS: Limits = Limits { num_threads: 2, slots: 4, bytes: 100, help: true };

struct Item;

impl Weigh for Item {
    fn weight(&self) -> usize {
        1
    }
}

fn producer(num_threads: usize) -> Producer<Item> {
    let limits = Limits { num_threads, ..LIMITS };
    Producer::start(limits, None, Arc::new(|| Box::new(|_| Ok(Item)) as Job<u64, Item>))
}

fn is_closed(polled: &Polled<Item>) -> bool {
    matches!(polled, Polled::Ready(Err(Error::Closed)))
}

#[test]
fn a_forked_child_finds_all_closed_and_leaves_at_once() {
    let inline = producer(0);
    let make: MakeJob<u32, Item> = Arc::new(|| Box::new(|_| Ok(Item)) as Job<u32, Item>);
    let pool = Pool::new(1 << 20);
    for round in 0..20 {
        let threaded = producer(2);
        let requests = Requests::start(LIMITS, Arc::clone(&make));
        requests.submit(7).expect("open");
        let parent = fork_generation();
        let mut pinned = pool.get(4096);
        let unpin = Arc::new(move |_: &[u8]| assert_eq!(fork_generation(), parent, "unpinned in the child"));
        pinned.pin(|_| Ok::<_, Infallible>(()), unpin).expect("pinned");
        drop(pool.get(8192));
        let buffer = pool.get(8192);
        // Let the threads be anywhere in their work, so that some lock is held in some child.
        thread::sleep(Duration::from_micros(round * 20));
        let alive = |it: &Producer<Item>| matches!(it.next_timeout(LONG), Polled::Ready(Ok(_)));
        assert!(alive(&threaded) && alive(&inline));
        let mut owned = ManuallyDrop::new((threaded, requests, pinned, buffer));
        let status = fork(|| {
            let (threaded, requests, ..) = &*owned;
            for producer in [threaded, &inline] {
                assert!(is_closed(&producer.try_next()) && producer.is_closed());
                assert!(is_closed(&producer.next_timeout(LONG)));
                producer.close();
                assert_eq!(producer.stats(), ProducerStats::default());
            }
            assert!(is_closed(&requests.take(&7, LONG)) && requests.submit(8).is_err());
            assert_eq!((pool.stats(), pool.get(100).len()), (PoolStats::default(), 100));
            // SAFETY: in the child `owned` is not touched again, `_exit` runs no destructor.
            unsafe { ManuallyDrop::drop(&mut owned) };
            let own = producer(2);
            assert!((0..100).all(|_| alive(&own)));
        });
        assert_eq!(status, Some(0), "round {round}; None: the child hung");
        let (threaded, requests, ..) = ManuallyDrop::into_inner(owned);
        assert!(alive(&threaded) && alive(&inline), "the parent goes on");
        assert!(matches!(requests.take(&7, LONG), Polled::Ready(Ok(_))));
    }
}

/// The exit status of a child that runs `body`; None when it had to be killed after five seconds.
fn fork(body: impl FnOnce()) -> Option<i32> {
    // SAFETY: the child runs `body` and leaves with `_exit`, so no destructor or test harness of the
    // parent runs in it; that the code between may lock and allocate is what this test is about.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    if pid == 0 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        // SAFETY: ends this process; nothing runs after it.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut status = 0;
    while Instant::now() < deadline {
        // SAFETY: `pid` is our child and `status` outlives the call.
        if unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == pid {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(1));
    }
    // SAFETY: `pid` is our child and was not waited for yet.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, &raw mut status, 0);
    }
    None
}
