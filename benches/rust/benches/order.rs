//! What an order costs: a permutation, an epoch of a million blocks, and a row in each mode.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rowmill_core::order::{
    EpochOrder, Holes, Key, Layout, Level, Mode, OrderSettings, Partition, Permutation,
};

const ROWS_A_STEP: u64 = 4_096;

fn layout(blocks: usize, rows: u64, row_bytes: u64) -> Arc<Layout> {
    let shards = (0..blocks as u32).step_by(100).collect();
    Arc::new(
        Layout::try_new(vec![rows; blocks], vec![rows * row_bytes; blocks], shards).expect("a sound layout"),
    )
}

fn permutation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("permutation");
    group.throughput(Throughput::Elements(ROWS_A_STEP));
    for (name, size) in [("table_65535", 65_535), ("feistel_65537", 65_537), ("feistel_1e9", 1_000_000_000)] {
        let permutation = Permutation::new(size, Key::new(1, 0, Level::Rows, 0));
        group.bench_function(name, |bencher| {
            bencher.iter(|| (0..ROWS_A_STEP).fold(0, |sum, index| sum ^ permutation.at(black_box(index))));
        });
    }
    group.finish();
    criterion.bench_function("permutation/build_2048", |bencher| {
        bencher.iter(|| Permutation::new(2_048, Key::new(black_box(1), 0, Level::Window, 0)));
    });
}

fn epoch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("epoch_of_1e6_blocks");
    group.sample_size(20);
    for (name, row_bytes) in [("window_of_2_blocks", 8_192), ("window_of_160_blocks", 100)] {
        let layout = layout(1_000_000, 1_000, row_bytes);
        group.bench_function(name, |bencher| {
            bencher.iter(|| EpochOrder::new(Arc::clone(&layout), &OrderSettings::default(), black_box(1)));
        });
    }
    let layout = layout(1_000_000, 1_000, 8_192);
    for mode in [Mode::None, Mode::Shard, Mode::Row] {
        let settings = OrderSettings::with_mode(mode, 1);
        group.bench_function(mode.to_string(), |bencher| {
            bencher.iter(|| EpochOrder::new(Arc::clone(&layout), &settings, black_box(1)));
        });
    }
    group.finish();
}

/// Consecutive positions over all 64 lanes, window tables built as they come.
fn reader(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("locate");
    group.throughput(Throughput::Elements(ROWS_A_STEP));
    let cases = [
        ("none", Mode::None, 8_192),
        ("shard", Mode::Shard, 8_192),
        ("window_2_blocks", Mode::Window, 8_192),
        ("window_32_blocks", Mode::Window, 512),
        ("window_160_blocks_feistel", Mode::Window, 100),
        ("row", Mode::Row, 8_192),
    ];
    for (name, mode, row_bytes) in cases {
        let settings = OrderSettings { num_lanes: 64, ..OrderSettings::with_mode(mode, 1) };
        let order = Arc::new(EpochOrder::new(layout(100_000, 1_000, row_bytes), &settings, 0));
        let (mut reader, mut position) = (order.reader(), 0);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let end = position + ROWS_A_STEP;
                let sum = (position..end).fold(0, |sum, position| sum ^ reader.locate(position).row);
                position = if end + ROWS_A_STEP > order.num_rows() { 0 } else { end };
                sum
            });
        });
    }
    group.finish();
}

/// Everything above with the tables of all lanes already built: the cost of a row alone.
fn warm_reader(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("locate_warm");
    group.throughput(Throughput::Elements(ROWS_A_STEP));
    for (name, row_bytes) in [("window_2_blocks", 8_192), ("window_32_blocks", 512)] {
        let order = EpochOrder::new(layout(100_000, 1_000, row_bytes), &OrderSettings::default(), 0);
        let mut reader = Arc::new(order).reader();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                (0..ROWS_A_STEP).fold(0, |sum, position| sum ^ reader.locate(black_box(position)).row)
            });
        });
    }
    group.finish();
}

fn partition(criterion: &mut Criterion) {
    let holes = Holes::try_new(&[[8, 8, 24, 1 << 40], [16, 8, 24, 1 << 40]], 1 << 43).expect("apart");
    criterion.bench_function("holes/map", |bencher| {
        bencher.iter(|| holes.map(1 << 43, black_box((1 << 43) + (1 << 42))));
    });
    let rank = Partition { num_shards: 8, index: 3, batch_size: Some(8), ..Partition::whole(1 << 40) };
    criterion.bench_function("partition/batch_of_8", |bencher| {
        bencher.iter(|| rank.item(black_box(1_000_000)).expect("inside").sum::<u64>());
    });
}

criterion_group!(benches, permutation, epoch, reader, warm_reader, partition);
criterion_main!(benches);
