//! What handing an item over costs: jobs of no, 10 and 16 microseconds, on 0, 1 and 2 threads.
//!
//! `ready` is the take alone, from a ring that is never empty; `stream` is the whole way from job to
//! consumer, time per item.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rowmill_core::prefetch::{Job, Limits, Polled, Producer, Weigh};

struct Item(u64);

impl Weigh for Item {
    fn weight(&self) -> usize {
        64
    }
}

fn work_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn producer(num_threads: usize, slots: usize, help: bool, job: Duration) -> Producer<Item> {
    let limits = Limits { num_threads, slots, bytes: usize::MAX, help };
    let make = move || {
        Box::new(move |seq| {
            if !job.is_zero() {
                work_for(job);
            }
            Ok(Item(seq))
        }) as Job<u64, Item>
    };
    Producer::start(limits, None, Arc::new(make))
}

fn take(producer: &Producer<Item>) -> u64 {
    loop {
        match producer.next_timeout(Duration::from_millis(100)) {
            Polled::Ready(Ok(item)) => return item.0,
            Polled::Pending => {}
            Polled::Ready(Err(_)) | Polled::Finished => return 0,
        }
    }
}

fn ready(criterion: &mut Criterion) {
    const SLOTS: u64 = 4096;
    let mut group = criterion.benchmark_group("ready");
    group.throughput(Throughput::Elements(1));
    group.bench_function("1 thread", |bencher| {
        bencher.iter_custom(|iterations| {
            // Half a ring at a time, refilled off the clock.
            let (mut left, mut elapsed) = (iterations, Duration::ZERO);
            let producer = producer(1, SLOTS as usize, false, Duration::ZERO);
            while left > 0 {
                while producer.stats().ring_items < SLOTS / 2 {
                    std::thread::yield_now();
                }
                let round = left.min(SLOTS / 2 - 1);
                let start = Instant::now();
                for _ in 0..round {
                    black_box(take(&producer));
                }
                elapsed += start.elapsed();
                left -= round;
            }
            elapsed
        });
    });
    group.finish();
}

fn stream(criterion: &mut Criterion) {
    for micros in [0, 10, 16] {
        let mut group = criterion.benchmark_group(format!("stream, {micros} us jobs"));
        group.throughput(Throughput::Elements(1));
        for (num_threads, help) in [(0, true), (1, false), (1, true), (2, false), (2, true)] {
            let name = format!("{num_threads} threads{}", if help { ", help" } else { "" });
            group.bench_function(name, |bencher| {
                let producer = producer(num_threads, 16, help, Duration::from_micros(micros));
                bencher.iter(|| take(&producer));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = ready, stream
}
criterion_main!(benches);
