//! A dataset of real Arrow streams, and streams over it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use rowmill_core::assemble::{BatchRequest, Column, Pool, RowSet, plan_columns};
use rowmill_core::loader::{Epochs, OnError, Output, Projection, Step, Stream, StreamSpec, Table, layout_of};
use rowmill_core::manifest::{Manifest, ManifestOptions};
use rowmill_core::order::{Layout, Mode, OrderSettings, Partition};
use rowmill_core::prefetch::Polled;
use rowmill_core::source::IoMode;
use rowmill_core::{Error, Result};
use tempfile::TempDir;

/// What comes out of a stream: ids of rows, or the error that stands in an item's place.
pub type Items = Vec<(u64, Result<Vec<i64>>)>;

/// Shards of a few blocks each; row i has id i, i % 5 tokens and a text.
pub struct Data {
    pub folder: TempDir,
    pub manifest: Manifest,
    pub layout: Arc<Layout>,
}

/// Blocks of every shard, in rows.
const SHARDS: [&[usize]; 4] = [&[40, 1, 17], &[64], &[3, 3, 3, 60, 9], &[25, 25]];

impl Data {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, mut first) = (Vec::new(), 0);
        for (shard, blocks) in SHARDS.iter().enumerate() {
            let path = folder.path().join(format!("data-{shard}.arrow"));
            let schema = rows(0, 0).schema();
            let mut writer = StreamWriter::try_new(File::create(&path).unwrap(), &schema).unwrap();
            for len in *blocks {
                writer.write(&rows(first, *len)).unwrap();
                first += *len as i64;
            }
            writer.finish().unwrap();
            files.push(path);
        }
        let options = ManifestOptions { use_index: false, ..ManifestOptions::default() };
        let manifest = Manifest::open(&files, &options).unwrap();
        let layout = layout_of(&manifest).unwrap();
        Self { folder, manifest, layout: Arc::new(layout) }
    }

    pub fn num_rows(&self) -> u64 {
        self.manifest.num_rows()
    }

    pub fn table(&self, io: IoMode, on_error: OnError) -> Arc<Table> {
        let names = vec!["id".to_owned(), "tokens".to_owned(), "text".to_owned()];
        let projection = Projection { indices: vec![0, 1, 2], names };
        Arc::new(Table::new(self.manifest.clone(), Arc::clone(&self.layout), projection, io, on_error))
    }

    /// A stream of one epoch in this order, row by row, without threads.
    pub fn spec(&self, mode: Mode) -> StreamSpec {
        let num_lanes = if mode == Mode::None { 1 } else { 4 };
        let settings =
            OrderSettings { mode, seed: 7, num_lanes, window_bytes: 4096, reshuffle_each_epoch: true };
        StreamSpec {
            table: self.table(IoMode::Mmap, OnError::Raise),
            epochs: Arc::new(Epochs::new(Arc::clone(&self.layout), settings)),
            first_epoch: 0,
            per_epoch: self.num_rows(),
            first_position: 0,
            partition: Partition::whole(self.num_rows()),
            first_item: 0,
            encoder: None,
            groups: None,
            receipt_seed: 0,
            counts_tokens: true,
            output: Output::Rows,
            num_threads: 0,
            prefetch_items: 4,
            prefetch_bytes: 1 << 20,
        }
    }

    /// Writes over the header of a block without a trace in the file's size or time; returns its row ids.
    pub fn damage(&self, block: usize) -> std::ops::Range<i64> {
        let (shard, meta) = self.manifest.block(block);
        let mut file = OpenOptions::new().write(true).open(self.manifest.shard(shard).path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.seek(SeekFrom::Start(meta.offset)).unwrap();
        file.write_all(&[0xff; 64]).unwrap();
        file.set_modified(modified).unwrap();
        let rows = self.manifest.block_rows();
        let first = rows[..block].iter().sum::<u64>() as i64;
        first..first + rows[block] as i64
    }
}

fn rows(first: i64, len: usize) -> RecordBatch {
    let ids = first..first + len as i64;
    let tokens = ids.clone().map(|id| Some((0..id % 5).map(move |at| Some(id as i32 + at as i32))));
    let texts = ids.clone().map(|id| format!("row {id}"));
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(Int64Array::from_iter_values(ids))),
        ("tokens", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(tokens))),
        ("text", Arc::new(StringArray::from_iter_values(texts))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// All outputs that a stream can have.
pub fn outputs(table: &Table) -> [(&'static str, Output); 4] {
    let names = table.schema().fields().iter().map(|field| field.name().clone()).collect();
    let plans = plan_columns(table.schema(), &BatchRequest::default()).unwrap().into();
    [
        ("rows", Output::Rows),
        ("row sets", Output::RowSets { gathers: false }),
        ("gathered row sets", Output::RowSets { gathers: true }),
        ("batches", Output::Batches { plans, names, pad: None, pool: Pool::new(1 << 20) }),
    ]
}

/// The next item, however long it takes.
pub fn next(stream: &mut Stream) -> Option<Result<(u64, Step)>> {
    loop {
        match stream.poll(Duration::from_millis(100)) {
            Polled::Ready(item) => return Some(item),
            Polled::Finished => return None,
            Polled::Pending => {}
        }
    }
}

/// What is left of a stream; an item that failed has the number that follows the one before it.
pub fn drain(stream: &mut Stream) -> Vec<Result<(u64, Vec<i64>)>> {
    std::iter::from_fn(|| next(stream)).map(|item| item.map(|(number, step)| (number, ids(&step)))).collect()
}

/// The ids of all rows that a stream yields; panics where an item failed.
pub fn drained_ids(spec: StreamSpec) -> Vec<i64> {
    drain(&mut Stream::start(spec)).into_iter().flat_map(|item| item.unwrap().1).collect()
}

pub fn is_corrupt<T>(item: &Result<T>) -> bool {
    matches!(item, Err(Error::CorruptShard { block: Some(_), .. }))
}

/// The ids of a step's rows, whose other columns are looked at as well.
pub fn ids(step: &Step) -> Vec<i64> {
    match step {
        Step::Row(rows, index) => vec![checked_id(rows, *index)],
        Step::Rows(rows) => (0..rows.len()).map(|index| checked_id(rows, index)).collect(),
        Step::Batch(batch) => {
            let Column::Tensor { buffer, shape, .. } = &batch.columns[0] else { panic!("ids are numbers") };
            let ids = buffer.as_of::<i64>().to_vec();
            assert_eq!((shape.as_slice(), batch.num_rows), ([ids.len()].as_slice(), ids.len()));
            for (index, id) in ids.iter().enumerate() {
                assert_eq!(tokens_of(&batch.columns[1], index), expected_tokens(*id));
                assert_eq!(text(&batch.rows, index), format!("row {id}"));
            }
            ids
        }
    }
}

fn checked_id(rows: &RowSet, index: usize) -> i64 {
    let (array, at) = rows.cell(0, index);
    let id = array.as_primitive::<Int64Type>().value(at);
    let (array, at) = rows.cell(1, index);
    assert_eq!(array.as_list::<i32>().value(at).as_primitive::<Int32Type>().values(), &expected_tokens(id));
    assert_eq!(text(rows, index), format!("row {id}"));
    id
}

fn text(rows: &RowSet, index: usize) -> String {
    let (array, at) = rows.cell(2, index);
    String::from_utf8(array.as_binary::<i32>().value(at).to_vec()).unwrap()
}

fn expected_tokens(id: i64) -> Vec<i32> {
    (0..id % 5).map(|at| (id + at) as i32).collect()
}

fn tokens_of(column: &Column, index: usize) -> Vec<i32> {
    match column {
        Column::Ragged { rows, .. } => rows[index].0.as_of::<i32>().to_vec(),
        Column::Tensor { buffer, shape, .. } => {
            buffer.as_of::<i32>()[index * shape[1]..][..shape[1]].to_vec()
        }
        Column::Objects => panic!("tokens are numbers"),
    }
}
