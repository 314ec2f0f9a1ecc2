//! A stream that starts at an item is the tail of the straight run, to the number and the row.

mod loader_cases;

use loader_cases::{Data, drain, outputs};
use rowmill_core::loader::{Output, Stream, StreamSpec};
use rowmill_core::order::{Holes, Mode, Partition};

fn run(spec: &StreamSpec, first_item: u64) -> Vec<(u64, Vec<i64>)> {
    let spec = StreamSpec { first_item, ..spec.clone() };
    drain(&mut Stream::start(spec)).into_iter().map(Result::unwrap).collect()
}

#[test]
fn a_run_from_any_item_is_the_tail_of_the_straight_run() {
    let data = Data::new();
    for mode in [Mode::Shard, Mode::Window, Mode::Row] {
        let spec = data.spec(mode);
        for (name, output) in outputs(&spec.table) {
            let batch_size = (!matches!(output, Output::Rows)).then_some(6);
            for num_threads in [0, 2] {
                let partition = Partition { num_shards: 2, index: 1, batch_size, ..spec.partition.clone() };
                let spec = StreamSpec { partition, output: output.clone(), num_threads, ..spec.clone() };
                let straight = run(&spec, 0);
                let len = straight.len() as u64;
                for first in [1, 2, len / 2, len - 1, len] {
                    assert_eq!(run(&spec, first), straight[first as usize..], "{mode} {name} from {first}");
                }
                assert_eq!(run(&spec, len + 3), []);
            }
        }
    }
}

#[test]
fn a_worker_goes_on_where_it_stopped() {
    let data = Data::new();
    let spec = data.spec(Mode::Window);
    for worker in 0..3 {
        let partition = Partition { num_workers: 3, worker, batch_size: Some(4), ..spec.partition.clone() };
        let spec = StreamSpec {
            partition,
            output: Output::RowSets { gathers: true },
            num_threads: 1,
            ..spec.clone()
        };
        let straight = run(&spec, 0);
        assert_eq!(run(&spec, 5), straight[5..], "worker {worker}");
    }
}

#[test]
fn another_number_of_ranks_takes_the_same_rows_in_each_step() {
    let data = Data::new();
    let spec = data.spec(Mode::Window);
    let steps = |num_shards: u64, start: u64| {
        let ranks: Vec<_> = (0..num_shards)
            .map(|index| {
                let batch_size = Some(12 / num_shards);
                let partition = Partition { num_shards, index, batch_size, start, ..spec.partition.clone() };
                run(&StreamSpec { partition, output: Output::RowSets { gathers: false }, ..spec.clone() }, 0)
            })
            .collect();
        (0..ranks[0].len())
            .map(|step| {
                let rows = ranks.iter().filter_map(|rank| rank.get(step)).flat_map(|(_, ids)| ids.clone());
                let mut rows: Vec<i64> = rows.collect();
                rows.sort_unstable();
                rows
            })
            .collect::<Vec<_>>()
    };
    let straight = steps(1, 0);
    for num_shards in [2, 3, 4, 6] {
        assert_eq!(steps(num_shards, 0), straight);
        assert_eq!(steps(num_shards, 48), straight[4..]);
    }
}

#[test]
fn holes_of_a_merged_state_come_first_and_nothing_comes_twice() {
    let data = Data::new();
    let spec = data.spec(Mode::Row);
    let straight: Vec<i64> = run(&spec, 0).into_iter().flat_map(|(_, ids)| ids).collect();
    // Of 20 positions delivered, 13, 15 and 17 were not, and three above were.
    let holes = Holes::try_new(&[[13, 1, 2, 3]], 20).unwrap();
    let partition = Partition { start: 20, holes, ..spec.partition.clone() };
    let found: Vec<i64> =
        run(&StreamSpec { partition, ..spec }, 0).into_iter().flat_map(|(_, ids)| ids).collect();
    let left: Vec<i64> =
        [13, 15, 17].map(|at| straight[at]).into_iter().chain(straight[23..].to_vec()).collect();
    assert_eq!(found, left);
}
