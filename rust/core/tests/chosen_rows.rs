//! Chosen rows are a dataset of their own: every one once, in every order, by every way of reading.

mod loader_cases;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow_ipc::writer::StreamWriter;
use loader_cases::{Data, drained_ids, ids, outputs};
use rowmill_core::Error;
use rowmill_core::loader::{Choice, Chunk, Epochs, Lanes, OnError, Output, Pruned, Step, StreamSpec, choose};
use rowmill_core::order::{Mode, Partition, Selection};
use rowmill_core::prefetch::{Limits, Polled};
use rowmill_core::source::IoMode;

/// Choices of different shapes among 250 rows.
fn choices() -> [Vec<u64>; 5] {
    [
        (0..250).filter(|row| row % 3 == 0).collect(),
        (0..2500).map(|row| row * 77 % 250).collect(),
        vec![249],
        vec![],
        [vec![7; 40], (100..180).collect()].concat(),
    ]
}

fn indices_file(data: &Data, column: ArrayRef) -> PathBuf {
    let path = data.folder.path().join("indices.arrow");
    let batch = RecordBatch::try_from_iter([("indices", column)]).unwrap();
    let mut writer = StreamWriter::try_new(File::create(&path).unwrap(), &batch.schema()).unwrap();
    for first in (0..batch.num_rows()).step_by(300) {
        writer.write(&batch.slice(first, 300.min(batch.num_rows() - first))).unwrap();
    }
    writer.finish().unwrap();
    path
}

fn chosen(data: &Data, rows: &[u64]) -> Arc<Selection> {
    let indices = vec![indices_file(data, Arc::new(UInt64Array::from(rows.to_vec())))];
    Arc::new(choose(&data.layout, &Choice { ranges: vec![], indices }).unwrap().expect("not all rows"))
}

fn spec(data: &Data, selection: &Arc<Selection>, mode: Mode, io: IoMode) -> StreamSpec {
    let mut spec = data.spec(mode);
    let table = Arc::into_inner(data.table(io, OnError::Raise)).unwrap();
    spec.table = Arc::new(table.with_selection(Arc::clone(selection)));
    spec.epochs = Arc::new(Epochs::new(Arc::clone(selection.layout()), spec.epochs.settings().clone()));
    spec.per_epoch = selection.layout().num_rows();
    spec.partition = Partition::whole(spec.per_epoch);
    spec
}

fn batched(spec: &StreamSpec, output: Output) -> StreamSpec {
    let batch_size = (!matches!(output, Output::Rows)).then_some(7);
    let partition = Partition { batch_size, ..spec.partition.clone() };
    StreamSpec { partition, output, num_threads: 2, ..spec.clone() }
}

#[test]
fn every_chosen_row_comes_once_in_every_order() {
    let data = Data::new();
    for rows in choices() {
        let selection = chosen(&data, &rows);
        for mode in [Mode::None, Mode::Shard, Mode::Window, Mode::Row] {
            for io in [IoMode::Mmap, IoMode::Read] {
                let spec = spec(&data, &selection, mode, io);
                let order = spec.epochs.order(0);
                let expected: Vec<i64> =
                    (0..rows.len() as u64).map(|at| rows[order.row_id_at(at) as usize] as i64).collect();
                let mut sorted = expected.clone();
                for (_, output) in outputs(&spec.table) {
                    let found = drained_ids(batched(&spec, output));
                    assert_eq!(found, expected, "{mode:?} {io:?}");
                }
                sorted.sort_unstable();
                let mut all: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
                all.sort_unstable();
                assert_eq!(sorted, all);
            }
        }
    }
}

#[test]
fn fetch_and_lanes_go_by_the_places_of_the_choice() {
    let data = Data::new();
    for rows in choices() {
        let selection = chosen(&data, &rows);
        let spec = spec(&data, &selection, Mode::Window, IoMode::Mmap);
        let last = rows.len() as u64;
        let fetched = spec.table.fetch(&(0..last).rev().collect::<Vec<_>>()).unwrap();
        assert_eq!(ids(&Step::Rows(fetched)), rows.iter().rev().map(|row| *row as i64).collect::<Vec<_>>());
        assert!(matches!(spec.table.fetch(&[last]), Err(Error::InvalidArgument(_))));

        let limits = Limits { num_threads: 1, slots: 4, bytes: 1 << 20, help: true };
        let pruned = Arc::new(Pruned::new(spec.table.manifest().num_shards()));
        let lanes = Lanes::start(Arc::clone(&spec.table), Arc::clone(&spec.epochs), pruned, None, limits);
        let mut found = Vec::new();
        for lane in 0..4 {
            let len = last / 4 + u64::from(u64::from(lane) < last % 4);
            let chunk = Chunk { epoch: 0, lane, start: 0, len };
            let taken = loop {
                match lanes.take(chunk, Duration::from_millis(100)) {
                    Polled::Ready(rows) => break rows.unwrap(),
                    Polled::Pending => {}
                    Polled::Finished => panic!("a chunk was asked for"),
                }
            };
            found.extend(ids(&Step::Rows(taken.rows)));
        }
        found.sort_unstable();
        let mut all: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
        all.sort_unstable();
        assert_eq!(found, all);
    }
}

#[test]
fn damage_is_left_out_of_the_choice_only() {
    let data = Data::new();
    let rows: Vec<u64> = (0..250).step_by(2).collect();
    let selection = chosen(&data, &rows);
    let mut spec = spec(&data, &selection, Mode::Window, IoMode::Mmap);
    let lost = data.damage(3);
    let table = Arc::into_inner(data.table(IoMode::Mmap, OnError::Skip)).unwrap();
    spec.table = Arc::new(table.with_selection(selection));
    let mut found = drained_ids(spec.clone());
    found.sort_unstable();
    let sound = rows.iter().map(|row| *row as i64).filter(|row| !lost.contains(row));
    assert_eq!(found, sound.collect::<Vec<_>>());
    assert_eq!(spec.table.num_skipped(), rows.len() as u64 - found.len() as u64);
}

#[test]
fn ranges_and_indices_are_put_together() {
    let data = Data::new();
    let indices = vec![indices_file(&data, Arc::new(UInt64Array::from(vec![0, 11, 10, 29])))];
    let choice = Choice { ranges: vec![200..211, 5..24], indices };
    let selection = choose(&data.layout, &choice).unwrap().expect("a choice");
    let places: Vec<u64> = (0..4).map(|place| selection.chosen().get(place)).collect();
    assert_eq!(places, [200, 5, 210, 23]);

    let num_rows = data.num_rows();
    let of = |ranges| choose(&data.layout, &Choice { ranges, indices: vec![] });
    assert!(of(vec![]).unwrap().is_none() && of(vec![0..9, 9..num_rows]).unwrap().is_none());
    assert!(of(vec![0..9, 0..9]).unwrap().is_some());
    assert!(matches!(of(vec![0..9, 9..num_rows + 1]), Err(Error::InvalidArgument(_))));
}

#[test]
fn indices_that_are_none_are_named() {
    let data = Data::new();
    let cases: [(ArrayRef, &str); 4] = [
        (Arc::new(UInt64Array::from(vec![0, 250])), "index 1 is row 250, but the data has 250 rows"),
        (Arc::new(UInt64Array::from(vec![u64::MAX])), "index 0 is row 18446744073709551615"),
        (Arc::new(UInt64Array::from(vec![Some(1), None])), "null"),
        (Arc::new(Int64Array::from(vec![1])), "one column of uint64, this one has indices (Int64)"),
    ];
    for (column, part) in cases {
        let choice = Choice { ranges: vec![], indices: vec![indices_file(&data, column)] };
        let error = choose(&data.layout, &choice).unwrap_err();
        assert!(matches!(&error, Error::CorruptShard { path, .. } if path.ends_with("indices.arrow")));
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn the_fingerprint_follows_the_rows_and_their_order() {
    let data = Data::new();
    let of = |rows: &[u64]| data.manifest.fingerprint_of(chosen(&data, rows).chosen().runs());
    let all = [of(&[1, 2]), of(&[2, 1]), of(&[1, 2, 2]), of(&[1]), of(&[]), data.manifest.fingerprint()];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one));
    }
    assert_eq!(of(&[1, 2]), of(&[1, 2]));
}
