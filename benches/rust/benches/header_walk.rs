//! The first open, message by message, and the decoding of one block.
#![allow(missing_docs, reason = "criterion's macros make public items of their own")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rowmill_core::shard::{ShardReader, index};
use rowmill_core::source::{IoMode, open};

/// Phrases of 16 tokens out of 509, so that codecs find about as much to do as in text.
fn tokens(rows: usize, width: usize) -> RecordBatch {
    let token = |at: usize| ((at / 16 * 40_503 % 509 * 97 + at % 16) % 50_257) as i32;
    let mut lists = ListBuilder::new(Int32Builder::new());
    for row in 0..rows {
        let values: Vec<i32> = (row * width..(row + 1) * width).map(token).collect();
        lists.values().append_slice(&values);
        lists.append(true);
    }
    batch("input_ids", Arc::new(lists.finish()))
}

fn text(rows: usize) -> RecordBatch {
    let lines = (0..rows).map(|row| format!("{row} {}", "mill ".repeat(200)));
    batch("text", Arc::new(StringArray::from_iter_values(lines)))
}

fn batch(name: &str, column: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter([(name, column)]).expect("one column always fits")
}

fn write(folder: &Path, batch: &RecordBatch, times: usize, codec: Option<CompressionType>) -> PathBuf {
    let path = folder.join("shard.arrow");
    let file = std::io::BufWriter::new(std::fs::File::create(&path).expect("the folder is ours"));
    let options =
        IpcWriteOptions::default().try_with_compression(codec).expect("both codecs are compiled in");
    let mut writer =
        StreamWriter::try_new_with_options(file, &batch.schema(), options).expect("a sound schema");
    (0..times).for_each(|_| writer.write(batch).expect("the disk has room"));
    writer.finish().expect("the disk has room");
    path
}

fn reader(path: &Path, mode: IoMode) -> (ShardReader, rowmill_core::shard::BlockMeta) {
    let found = index(path).expect("a sound file");
    let source = open(path, mode, None).expect("a sound file");
    let block = found.blocks[0];
    (ShardReader::try_new(source, found, None).expect("a sound schema"), block)
}

fn header_walk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header_walk");
    group.sample_size(10);
    for (name, batch, times) in [
        ("100,000 batches of 4 x 8", tokens(4, 8), 100_000),
        ("100 batches of 1,000 x 512", tokens(1000, 512), 100),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = write(folder.path(), &batch, times, None);
        group.throughput(Throughput::Elements(times as u64));
        group.bench_function(name, |bencher| bencher.iter(|| index(black_box(&path)).expect("a sound file")));
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let (lz4, zstd) = (Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD));
    for (name, batch, codec, mode) in [
        ("1000 x 2048 int32", tokens(1000, 2048), None, IoMode::Mmap),
        ("1000 x 2048 int32", tokens(1000, 2048), None, IoMode::Read),
        ("1000 x 2048 int32, LZ4", tokens(1000, 2048), lz4, IoMode::Mmap),
        ("1000 x 2048 int32, ZSTD", tokens(1000, 2048), zstd, IoMode::Mmap),
        ("1000 x 1 KB strings", text(1000), None, IoMode::Mmap),
        ("4 x 8 int32", tokens(4, 8), None, IoMode::Mmap),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (reader, block) = reader(&write(folder.path(), &batch, 4, codec), mode);
        group.bench_function(BenchmarkId::new(name, mode), |bencher| {
            bencher.iter(|| reader.decode(0, black_box(&block)).expect("a sound block"));
        });
    }
    group.finish();
}

fn ensure(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (reader, block) = reader(&write(folder.path(), &tokens(1000, 2048), 1, None), IoMode::Mmap);
    let block = reader.decode(0, &block).expect("a sound block");
    block.ensure_all().expect("a sound file");
    let map = block.mapped().expect("opened with mmap");
    let mut group = criterion.benchmark_group("ensure");
    group.bench_function("one row of lists, present", |bencher| {
        bencher.iter(|| block.ensure_rows(0, black_box(500)..black_box(501)).expect("present"));
    });
    group.bench_function("8 KiB of the map, present", |bencher| {
        bencher.iter(|| map.ensure(black_box(4_000_000), black_box(8192)).expect("present"));
    });
    group.finish();
}

criterion_group!(benches, header_walk, decode, ensure);
criterion_main!(benches);
