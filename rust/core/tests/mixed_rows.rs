//! Rows of several datasets as one: the table, the order and the stream of a mix agree.

mod loader_cases;

use std::sync::Arc;

use loader_cases::{Data, drained_ids, outputs};
use rowmill_core::loader::epochs::EpochReaders;
use rowmill_core::loader::{
    Epochs, Member, MixedSource, OnError, Output, Projection, Shards, StreamSpec, Table,
};
use rowmill_core::mix::{Draws, LaneRows, Schedule, Stopping};
use rowmill_core::order::{Mode, OrderSettings, Partition};
use rowmill_core::source::IoMode;

const NUM_LANES: u32 = 4;

/// Two datasets of the same rows.
struct Mixed {
    sources: [Data; 2],
}

impl Mixed {
    fn member(&self, at: usize, io: IoMode) -> Member {
        let (data, first) = (&self.sources[at], &self.sources[0]);
        let names = vec!["id".to_owned(), "tokens".to_owned(), "text".to_owned()];
        let projection = Projection { indices: vec![0, 1, 2], names };
        let shards = Shards::new(data.manifest.clone(), Arc::clone(&data.layout), projection, io);
        Member {
            name: format!("source {at}"),
            shards: Arc::new(shards),
            first_row: at as u64 * first.num_rows(),
            first_block: at as u32 * first.layout.num_blocks() as u32,
        }
    }

    fn table(&self, io: IoMode) -> Arc<Table> {
        let members = (0..2).map(|at| self.member(at, io)).collect();
        Arc::new(Table::of_members(members, OnError::Raise, None).unwrap())
    }

    fn epochs(&self, modes: [Mode; 2], stopping: Stopping) -> Arc<Epochs> {
        let schedule = Arc::new(Schedule::try_new(&[0.7, 0.3], NUM_LANES, 3).unwrap());
        let rows = self.sources.iter().map(|data| LaneRows::new(NUM_LANES, 0..data.num_rows())).collect();
        let draws = Arc::new(Draws::try_new(schedule, rows, stopping).unwrap());
        let source = |at: usize| {
            let Member { first_row, first_block, .. } = self.member(at, IoMode::Read);
            let settings = OrderSettings {
                mode: modes[at],
                seed: at as u64,
                num_lanes: NUM_LANES,
                window_bytes: 4096,
                reshuffle_each_epoch: true,
            };
            let layout = Arc::clone(&self.sources[at].layout);
            MixedSource { layout, settings, first_row, first_block }
        };
        Arc::new(Epochs::mixed(vec![source(0), source(1)], draws))
    }

    fn spec(&self, modes: [Mode; 2], io: IoMode, output: Output, positions: u64) -> StreamSpec {
        let epochs = self.epochs(modes, Stopping::AllExhausted);
        let batch_size = (!matches!(output, Output::Rows)).then_some(7);
        StreamSpec {
            table: self.table(io),
            per_epoch: epochs.num_positions().unwrap(),
            epochs,
            partition: Partition { batch_size, ..Partition::whole(positions) },
            output,
            num_threads: 2,
            ..self.sources[0].spec(Mode::None)
        }
    }
}

#[test]
fn a_mix_reads_the_rows_that_its_order_says() {
    let mixed = Mixed { sources: [Data::new(), Data::new()] };
    let num_rows = mixed.sources[0].num_rows();
    for modes in [[Mode::Window, Mode::Row], [Mode::Shard, Mode::Window], [Mode::None, Mode::None]] {
        let epochs = mixed.epochs(modes, Stopping::AllExhausted);
        let per_epoch = epochs.num_positions().unwrap();
        let mut readers = EpochReaders::default();
        let row_ids: Vec<u64> = (0..2 * per_epoch)
            .map(|at| readers.row_id(&epochs, &epochs.spot_at(at / per_epoch, at % per_epoch)))
            .collect();
        // Both have given all of their rows by the end of an epoch.
        let mut seen = row_ids[..per_epoch as usize].to_vec();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (0..2 * num_rows).collect::<Vec<_>>());
        let expected: Vec<i64> = row_ids.iter().map(|row_id| (row_id % num_rows) as i64).collect();
        for io in [IoMode::Mmap, IoMode::Read] {
            for (name, output) in outputs(&mixed.table(io)) {
                let found = drained_ids(mixed.spec(modes, io, output, 2 * per_epoch));
                assert_eq!(found, expected, "{modes:?} {io:?} {name}");
            }
        }
    }
}

#[test]
fn rows_are_fetched_by_the_ids_that_the_order_gives() {
    let mixed = Mixed { sources: [Data::new(), Data::new()] };
    let num_rows = mixed.sources[0].num_rows();
    let table = mixed.table(IoMode::Read);
    let rows = table.fetch(&[0, num_rows - 1, num_rows, 2 * num_rows - 1]).unwrap();
    let paths: Vec<_> = (0..4).map(|at| rows.locate(at).0.source().path().to_owned()).collect();
    assert!(paths[..2].iter().all(|path| path.starts_with(mixed.sources[0].folder.path())));
    assert!(paths[2..].iter().all(|path| path.starts_with(mixed.sources[1].folder.path())));
    let error = table.fetch(&[2 * num_rows]).err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("out of range")));
}
