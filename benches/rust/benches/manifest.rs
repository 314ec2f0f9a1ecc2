//! Opening: 10,000 shards and a million blocks, first and later.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow_array::{Int32Array, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use criterion::{Criterion, criterion_group, criterion_main};
use rowmill_core::Result;
use rowmill_core::manifest::{Manifest, ManifestOptions, Shards, Walk, Walked, resolve};
use rowmill_core::shard::BlockMeta;
use tempfile::TempDir;

const NUM_SHARDS: usize = 10_000;
const NUM_BLOCKS: usize = 1_000_000;

fn options(folder: &Path) -> ManifestOptions {
    ManifestOptions { index_dir: Some(folder.join("index")), ..ManifestOptions::default() }
}

/// An old file, as data sets are: a fresh one would be walked twice.
fn write_old(path: &Path, content: &[u8], size: u64) {
    fs::write(path, content).expect("a shard");
    let file = File::options().write(true).open(path).expect("a shard");
    file.set_len(size).expect("a length");
    file.set_modified(SystemTime::now() - Duration::from_secs(100)).expect("a time");
}

fn stream() -> Vec<u8> {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, true)]));
    let column = Arc::new(Int32Array::from_iter_values(0..100));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).expect("a batch");
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).expect("a stream");
    (0..3).for_each(|_| writer.write(&batch).expect("a batch"));
    writer.into_inner().expect("a stream")
}

fn shards() -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    let content = stream();
    for shard in 0..NUM_SHARDS {
        let path = data.join(format!("data-{shard:05}-of-{NUM_SHARDS:05}.arrow"));
        write_old(&path, &content, content.len() as u64);
    }
    let files = resolve(&[data]).expect("shards").files;
    (folder, files)
}

/// Shards of many blocks without their terabytes.
struct Imagined(Walked);

impl Walk for Imagined {
    fn walk(&self, _path: &Path) -> Result<Walked> {
        Ok(self.0.clone())
    }

    fn decode_schema(&self, path: &Path, format: u32, message: &[u8]) -> Result<SchemaRef> {
        Shards.decode_schema(path, format, message)
    }
}

fn ten_thousand_shards(criterion: &mut Criterion) {
    let (folder, files) = shards();
    let options = options(folder.path());
    let mut group = criterion.benchmark_group("open 10,000 shards");
    group.sample_size(10);
    Manifest::open(&files, &options).expect("a manifest");
    let data = [folder.path().join("data")];
    group.bench_function("list the folder", |bencher| bencher.iter(|| resolve(&data).expect("shards")));
    let forced = ManifestOptions { force_reindex: true, ..options.clone() };
    group.bench_function("first", |bencher| {
        bencher.iter(|| Manifest::open(&files, &forced).expect("a manifest"));
    });
    group.bench_function("later", |bencher| {
        bencher.iter(|| {
            let manifest = Manifest::open(&files, &options).expect("a manifest");
            assert_eq!(manifest.report().num_walked, 0);
        });
    });
    group.finish();
}

fn a_million_blocks(criterion: &mut Criterion) {
    const SHARDS: usize = 1000;
    const BLOCK: u64 = 1 << 20;
    let num_blocks = NUM_BLOCKS / SHARDS;
    let folder = tempfile::tempdir().expect("a folder");
    let small = folder.path().join("small.arrow");
    fs::write(&small, stream()).expect("a shard");
    let mut walked = Shards.walk(&small).expect("a walk");
    let first = walked.blocks[0];
    let block = |at: usize| BlockMeta {
        offset: 1024 + at as u64 * BLOCK,
        body_len: BLOCK / 2,
        memory_len: BLOCK / 2,
        ..first
    };
    walked.blocks = (0..num_blocks).map(block).collect();
    let files: Vec<PathBuf> =
        (0..SHARDS).map(|shard| folder.path().join(format!("big-{shard}.arrow"))).collect();
    for file in &files {
        write_old(file, b"", (num_blocks as u64 + 2) * BLOCK);
    }
    let (options, walk) = (options(folder.path()), Imagined(walked));
    Manifest::open_with(&files, &options, &walk).expect("a manifest");
    let mut group = criterion.benchmark_group("open 1,000,000 blocks");
    group.sample_size(10);
    group.bench_function("later", |bencher| {
        bencher.iter(|| {
            let manifest = Manifest::open_with(&files, &options, &walk).expect("a manifest");
            assert_eq!((manifest.num_blocks(), manifest.report().num_walked), (NUM_BLOCKS, 0));
        });
    });
    group.finish();
}

criterion_group!(benches, ten_thousand_shards, a_million_blocks);
criterion_main!(benches);
