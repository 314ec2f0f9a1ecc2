//! What packing costs: documents to samples, and samples to the columns of a batch.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rowmill_core::text::pack::{Labels, PackMode, Packer, Sample};

const SEQ_LEN: usize = 2_048;
const BATCH_SIZE: usize = 8;
const NUM_TOKENS: usize = 1 << 20;

/// Documents of up to twice `mean` tokens, about [`NUM_TOKENS`] in all.
fn documents(mean: usize) -> Vec<Vec<u32>> {
    let mut state = 1_u64;
    let mut random = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % limit
    };
    let mut document = || {
        let len = random(2 * mean);
        (0..len).map(|_| random(50_257) as u32).collect()
    };
    (0..NUM_TOKENS / mean).map(|_| document()).collect()
}

/// All samples of a lane, each given to `take`.
fn pack(mode: PackMode, documents: &[Vec<u32>], mut take: impl FnMut(Sample)) {
    let mut packer = Packer::try_new(mode, SEQ_LEN).expect("a sound length");
    for (row_id, tokens) in (0..).zip(documents) {
        packer.document(row_id, row_id, tokens).expect("no cursor to disagree with");
        std::iter::from_fn(|| packer.pop()).for_each(&mut take);
    }
    packer.finish().expect("no cursor to disagree with");
    std::iter::from_fn(|| packer.pop()).for_each(&mut take);
}

fn packing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pack");
    for (name, mean) in [("documents_of_5000", 5_000), ("documents_of_120", 120)] {
        let documents = documents(mean);
        group.throughput(Throughput::Elements(documents.iter().map(|tokens| tokens.len() as u64).sum()));
        for mode in [PackMode::Concat, PackMode::BestFit] {
            group.bench_function(format!("{mode}/{name}"), |bencher| {
                bencher.iter(|| pack(mode, &documents, |sample| drop(black_box(sample))));
            });
        }
    }
    group.finish();
}

/// Writes two columns of a sample.
type WriteTwo = fn(&Sample, &mut [i64], &mut [i64]);

/// Batches of eight, each written over the one before, as a pool's buffers are.
fn columns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("columns");
    let mut samples = Vec::new();
    pack(PackMode::Concat, &documents(600), |sample| samples.push(sample));
    samples.truncate(samples.len() / BATCH_SIZE * BATCH_SIZE);
    group.throughput(Throughput::Elements((samples.len() * SEQ_LEN) as u64));
    let (mut first, mut second) = (vec![0_i64; BATCH_SIZE * SEQ_LEN], vec![0_i64; BATCH_SIZE * SEQ_LEN]);
    let mut bench = |name: &str, write: WriteTwo| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for batch in samples.chunks(BATCH_SIZE) {
                    let places = first.chunks_mut(SEQ_LEN).zip(second.chunks_mut(SEQ_LEN));
                    batch
                        .iter()
                        .zip(places)
                        .for_each(|(sample, (first, second))| write(sample, first, second));
                    black_box((&first, &second));
                }
            });
        });
    };
    bench("input_ids_and_labels", |sample, ids, labels| {
        sample.write_input_ids(0, ids).expect("int64 holds every token");
        sample.write_labels(Labels::Shifted, labels).expect("int64 holds every token");
    });
    bench("position_ids_and_document_ids", |sample, positions, documents| {
        sample.write_position_ids(positions).expect("int64 holds every position");
        sample.write_document_ids(documents).expect("int64 holds every row id");
    });
    group.finish();
}

criterion_group!(benches, packing, columns);
criterion_main!(benches);
