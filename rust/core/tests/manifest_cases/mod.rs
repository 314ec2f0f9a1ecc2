//! Small datasets of real Arrow streams, and walks that are counted.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arrow_array::types::Int8Type;
use arrow_array::{DictionaryArray, Int32Array, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use rowmill_core::Result;
use rowmill_core::manifest::{Manifest, ManifestOptions, Shards, Walk, Walked};
use tempfile::TempDir;

/// Shards in a folder of their own, old enough to be trusted, and an index folder beside them.
pub struct Dataset {
    pub folder: TempDir,
    pub files: Vec<PathBuf>,
    pub options: ManifestOptions,
}

impl Dataset {
    /// Shard i holds i + 1 blocks of 10 + i rows.
    pub fn new(num_shards: usize) -> Self {
        Self::inside(tempfile::tempdir().unwrap(), num_shards)
    }

    pub fn inside(folder: TempDir, num_shards: usize) -> Self {
        let options = options(&folder.path().join("index"));
        let mut data = Self { folder, files: Vec::new(), options };
        for shard in 0..num_shards {
            data.write(shard, shard + 1, 10 + shard as i32);
        }
        data
    }

    pub fn open(&self) -> Manifest {
        Manifest::open(&self.files, &self.options).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn index_dir(&self) -> PathBuf {
        self.path("index")
    }

    /// The one index file.
    pub fn index_file(&self) -> PathBuf {
        let files = fs::read_dir(self.index_dir()).unwrap().map(|entry| entry.unwrap().path());
        files.into_iter().find(|path| path.extension().is_some_and(|e| e == "index")).expect("an index file")
    }

    pub fn write(&mut self, shard: usize, num_blocks: usize, num_rows: i32) {
        let path = self.path(&format!("shard-{shard}.arrow"));
        write_shard(&path, num_blocks, num_rows);
        if !self.files.contains(&path) {
            self.files.push(path);
        }
    }

    pub fn add_with_dictionary(&self, name: &str) -> PathBuf {
        let values: DictionaryArray<Int8Type> = ["a", "b", "a"].into_iter().collect();
        let batch = RecordBatch::try_from_iter([("d", Arc::new(values) as _)]).unwrap();
        let path = self.path(name);
        write_batches(&path, &batch.schema(), &[batch]);
        path
    }
}

pub fn options(index_dir: &Path) -> ManifestOptions {
    ManifestOptions {
        index_dir: Some(index_dir.to_owned()),
        num_threads: Some(2),
        ..ManifestOptions::default()
    }
}

pub fn write_shard(path: &Path, num_blocks: usize, num_rows: i32) {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, true)]));
    let column = Arc::new(Int32Array::from_iter_values(0..num_rows));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
    write_batches(path, &schema, &vec![batch; num_blocks]);
}

/// An empty shard that has only a schema.
pub fn write_schema(path: &Path, schema: &Schema) {
    write_batches(path, &Arc::new(schema.clone()), &[]);
}

fn write_batches(path: &Path, schema: &SchemaRef, batches: &[RecordBatch]) {
    let mut writer = StreamWriter::try_new(File::create(path).unwrap(), schema).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    age(path, 1000);
}

/// Dates a file back, so that its walk is not too close to its write to be trusted.
pub fn age(path: &Path, seconds: u64) {
    let then = SystemTime::now() - Duration::from_secs(seconds);
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

/// Counts walks; slow enough for opens to overlap, or broken on purpose.
#[derive(Default)]
pub struct Counted {
    pub num_walks: AtomicUsize,
    pub pause: Duration,
    panics: bool,
}

impl Counted {
    pub fn slow(pause: Duration) -> Self {
        Self { pause, ..Self::default() }
    }

    pub fn panicking() -> Self {
        Self { panics: true, ..Self::default() }
    }
}

impl Walk for Counted {
    fn walk(&self, path: &Path) -> Result<Walked> {
        self.num_walks.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(self.pause);
        assert!(!self.panics, "on purpose");
        Shards.walk(path)
    }

    fn decode_schema(&self, path: &Path, format: u32, message: &[u8]) -> Result<SchemaRef> {
        Shards.decode_schema(path, format, message)
    }
}
