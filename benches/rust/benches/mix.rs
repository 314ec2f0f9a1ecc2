//! What a mix costs: weaving a schedule once, and a sample, a count or an inverse of it.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rowmill_core::mix::{Schedule, Step};

fn cases() -> Vec<(&'static str, Vec<f64>)> {
    vec![
        ("2_sources_of_5", vec![0.8, 0.2]),
        ("6_sources_of_100", vec![0.5, 0.3, 0.11, 0.05, 0.03, 0.01]),
        ("3_sources_of_1000", vec![0.333, 0.333, 0.334]),
        ("64_sources", vec![1.0; 64]),
        ("3_sources_of_1e6", vec![123_456_789.0, 4_567_890.0, 1_000.0]),
    ]
}

fn new(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mix_new");
    group.sample_size(10);
    for (name, weights) in cases() {
        group.bench_function(name, |bencher| bencher.iter(|| Schedule::try_new(&weights, 64, black_box(1))));
    }
    let steps =
        [Step { is_ramp: true, ..Step::constant(0, &[0.9, 0.1]) }, Step::constant(1_000_000, &[0.5, 0.5])];
    group.bench_function("ramp_over_1e6", |bencher| {
        bencher.iter(|| Schedule::with_steps(&steps, 64, black_box(1)));
    });
    group.finish();
}

fn ask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mix_ask");
    for (name, weights) in cases() {
        let schedule = Schedule::try_new(&weights, 64, 1).expect("sound weights");
        let mut position = 0_u64;
        let mut next = move || {
            position = (position + 1_000_003) % (1 << 40);
            position
        };
        group.bench_function(format!("source_of/{name}"), |bencher| {
            bencher.iter(|| schedule.source_of(next()));
        });
        group.bench_function(format!("count_before/{name}"), |bencher| {
            bencher.iter(|| schedule.count_before(1, next()));
        });
        group.bench_function(format!("position_of/{name}"), |bencher| {
            bencher.iter(|| schedule.position_of(1, next()));
        });
        group.bench_function(format!("lane_count_before/{name}"), |bencher| {
            bencher.iter(|| schedule.lane_count_before(1, 17, next()));
        });
        group.bench_function(format!("lane_element_of/{name}"), |bencher| {
            bencher.iter(|| schedule.lane_element_of(1, 17, next()));
        });
    }
    group.finish();
}

criterion_group!(benches, new, ask);
criterion_main!(benches);
