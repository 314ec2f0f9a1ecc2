//! From files to items: every row once an epoch, whatever the order, the threads, the way of reading.

mod loader_cases;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use loader_cases::{Data, drain, drained_ids, ids, is_corrupt, next, outputs};
use rowmill_core::Error;
use rowmill_core::loader::{OnError, Output, Stream, StreamSpec};
use rowmill_core::order::{Mode, Partition, Remainder};
use rowmill_core::prefetch::Polled;
use rowmill_core::source::IoMode;

const MODES: [Mode; 4] = [Mode::None, Mode::Shard, Mode::Window, Mode::Row];

fn batched(spec: &StreamSpec, output: Output, batch_size: u64) -> StreamSpec {
    let batch_size = (!matches!(output, Output::Rows)).then_some(batch_size);
    StreamSpec { partition: Partition { batch_size, ..spec.partition.clone() }, output, ..spec.clone() }
}

#[test]
fn every_row_comes_once_in_the_same_order_however_it_is_read() {
    let data = Data::new();
    for mode in MODES {
        let spec = data.spec(mode);
        let order = spec.epochs.order(0);
        let mut reader = order.reader();
        let expected: Vec<i64> = (0..data.num_rows()).map(|at| reader.row_id(at) as i64).collect();
        assert_eq!(expected.iter().collect::<HashSet<_>>().len() as u64, data.num_rows());
        for io in [IoMode::Mmap, IoMode::Read, IoMode::Direct] {
            let table = data.table(io, OnError::Raise);
            for (name, output) in outputs(&table) {
                for num_threads in [0, 1, 2] {
                    let spec = StreamSpec { table: table.clone(), num_threads, ..spec.clone() };
                    let found = drained_ids(batched(&spec, output.clone(), 7));
                    assert_eq!(found, expected, "{mode} {io:?} {name} with {num_threads} threads");
                }
            }
        }
    }
}

#[test]
fn ranks_and_workers_share_the_rows_and_none_comes_twice() {
    let data = Data::new();
    let spec = data.spec(Mode::Window);
    let mut found = Vec::new();
    for index in 0..3 {
        for worker in 0..2 {
            let partition =
                Partition { num_shards: 3, index, num_workers: 2, worker, ..spec.partition.clone() };
            let spec = StreamSpec { partition, num_threads: 1, ..spec.clone() };
            found.extend(drained_ids(batched(&spec, Output::RowSets { gathers: false }, 5)));
        }
    }
    found.sort_unstable();
    assert_eq!(found, (0..data.num_rows() as i64).collect::<Vec<_>>());
}

#[test]
fn a_stream_runs_on_into_epochs_of_other_orders() {
    let data = Data::new();
    let num_rows = data.num_rows();
    let spec = data.spec(Mode::Row);
    let partition = Partition { num_positions: 3 * num_rows, ..spec.partition.clone() };
    let found = drained_ids(StreamSpec { partition, num_threads: 2, ..spec });
    let epochs: Vec<_> = found.chunks(num_rows as usize).collect();
    assert_eq!(epochs.len(), 3);
    assert!(epochs.iter().all(|epoch| epoch.iter().collect::<HashSet<_>>().len() as u64 == num_rows));
    assert_ne!(epochs[0], epochs[1]);
    assert_ne!(epochs[1], epochs[2]);
}

#[test]
fn a_padded_last_batch_begins_again_and_a_dropped_one_does_not_come() {
    let data = Data::new();
    let spec = data.spec(Mode::Shard);
    let straight = drained_ids(spec.clone());
    let with = |remainder| {
        let partition = Partition { remainder, ..spec.partition.clone() };
        drained_ids(batched(
            &StreamSpec { partition, ..spec.clone() },
            Output::RowSets { gathers: false },
            64,
        ))
    };
    let whole = straight.len() / 64 * 64;
    assert_eq!(with(Remainder::Drop), straight[..whole]);
    let padded: Vec<i64> = straight.iter().chain(&straight).copied().take(whole + 64).collect();
    assert_eq!(with(Remainder::Pad), padded);
}

#[test]
fn damage_stands_at_its_step_and_the_stream_goes_on() {
    let data = Data::new();
    let bad = data.damage(2);
    for num_threads in [0, 2] {
        for io in [IoMode::Mmap, IoMode::Read] {
            let spec = data.spec(Mode::Window);
            let mut reader = spec.epochs.order(0).reader();
            let expected: Vec<i64> = (0..data.num_rows()).map(|at| reader.row_id(at) as i64).collect();
            let spec = StreamSpec { table: data.table(io, OnError::Raise), num_threads, ..spec };
            let found = drain(&mut Stream::start(spec));
            assert_eq!(found.len(), expected.len());
            for (number, (item, id)) in found.iter().zip(&expected).enumerate() {
                if bad.contains(id) {
                    assert!(is_corrupt(item), "{item:?}");
                } else {
                    assert_eq!(item.as_ref().unwrap(), &(number as u64, vec![*id]));
                }
            }
        }
    }
}

#[test]
fn a_batch_with_damage_fails_whole_and_the_others_keep_their_numbers() {
    let data = Data::new();
    let bad = data.damage(3);
    let spec = data.spec(Mode::None);
    for (name, output) in outputs(&spec.table).into_iter().skip(1) {
        let spec = StreamSpec { num_threads: 1, ..batched(&spec, output, 10) };
        for (number, item) in drain(&mut Stream::start(spec)).iter().enumerate() {
            let first = number as i64 * 10;
            if first < bad.end && bad.start < first + 10 {
                assert!(is_corrupt(item), "{name}: {item:?}");
            } else {
                let (found, ids) = item.as_ref().unwrap();
                assert_eq!((*found, ids[0]), (number as u64, first), "{name}");
            }
        }
    }
}

#[test]
fn skipped_rows_are_counted_as_they_are_passed_not_as_they_are_read_ahead() {
    let data = Data::new();
    let bad = data.damage(5);
    let num_bad = (bad.end - bad.start) as u64;
    let spec = data.spec(Mode::None);
    for (name, output) in outputs(&spec.table) {
        for num_threads in [0, 2] {
            let table = data.table(IoMode::Mmap, OnError::Skip);
            let spec = StreamSpec { table: table.clone(), num_threads, ..batched(&spec, output.clone(), 10) };
            let mut stream = Stream::start(spec);
            let mut found = Vec::new();
            while let Some(item) = next(&mut stream) {
                found.extend(ids(&item.unwrap().1));
                let passed = found.last().unwrap() - found.len() as i64 + 1;
                assert!(stream.num_skipped() >= passed as u64, "{name}");
                assert!(found.last() >= Some(&(bad.start - 10)) || stream.num_skipped() == 0, "{name}");
            }
            let expected: Vec<i64> = (0..data.num_rows() as i64).filter(|id| !bad.contains(id)).collect();
            assert_eq!(found, expected, "{name}");
            assert_eq!((stream.num_skipped(), table.num_skipped()), (num_bad, num_bad), "{name}");
            assert_eq!(table.take_reports().len(), 1);
        }
    }
}

#[test]
fn an_endless_stream_of_damage_lets_its_caller_look_up() {
    let data = Data::new();
    for block in 0..data.manifest.num_blocks() {
        data.damage(block);
    }
    let spec = data.spec(Mode::None);
    let partition = Partition { num_positions: u64::MAX, ..spec.partition.clone() };
    let table = data.table(IoMode::Mmap, OnError::Skip);
    let mut stream = Stream::start(StreamSpec { table, partition, ..spec });
    let start = Instant::now();
    for _ in 0..3 {
        assert!(matches!(stream.poll(Duration::from_millis(20)), Polled::Pending));
    }
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_file_that_vanished_is_named_at_its_step() {
    let data = Data::new();
    std::fs::remove_file(data.manifest.shard(1).path).unwrap();
    let found = drain(&mut Stream::start(data.spec(Mode::None)));
    let missing = found.iter().filter(|item| matches!(item, Err(Error::MissingShard { .. }))).count();
    assert_eq!(missing as u64, data.manifest.block_rows()[3]);
    assert_eq!(found.iter().filter(|item| item.is_ok()).count() as u64, data.num_rows() - missing as u64);
}

#[test]
fn closing_midway_ends_the_threads_within_a_second() {
    let data = Data::new();
    for (_, output) in outputs(&data.spec(Mode::Window).table) {
        let spec = StreamSpec { num_threads: 2, ..batched(&data.spec(Mode::Window), output, 3) };
        let mut stream = Stream::start(spec);
        next(&mut stream).unwrap().unwrap();
        let start = Instant::now();
        stream.close();
        drop(stream);
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn nothing_at_all_is_a_stream_that_is_over() {
    let data = Data::new();
    let spec = data.spec(Mode::Window);
    for num_threads in [0, 2] {
        let spec = StreamSpec { partition: Partition::whole(0), num_threads, ..spec.clone() };
        assert!(matches!(Stream::start(spec).poll(Duration::ZERO), Polled::Finished));
    }
}
