//! The partition law: who takes which position in which step, and how a cursor goes on elsewhere.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rowmill_core::order::{Holes, Partition, Remainder, merge_delivered};

fn remainders() -> impl Strategy<Value = Remainder> {
    prop_oneof![Just(Remainder::Drop), Just(Remainder::Pad), Just(Remainder::Keep)]
}

prop_compose! {
    /// A job of R ranks x W workers on a stream of M positions, begun at a whole step.
    fn jobs()(num_shards in 1..7_u64, num_workers in 1..5_u64, batch_size in prop::option::of(1..6_u64),
              remainder in remainders(), num_positions in 0..300_u64, steps_before in 0..20_u64) -> Partition {
        let size = num_shards * batch_size.unwrap_or(1);
        let start = (steps_before * size).min(num_positions / size * size);
        let job = Partition { num_shards, num_workers, batch_size, remainder, start, ..Partition::whole(num_positions) };
        job.validated().expect("the numbers fit")
    }
}

fn worker(job: &Partition, index: u64, worker: u64) -> Partition {
    Partition { index, worker, ..job.clone() }.validated().expect("the numbers fit")
}

fn ranks(job: &Partition) -> impl Iterator<Item = Partition> + '_ {
    (0..job.num_shards).map(|index| worker(job, index, 0))
}

/// Every item of every worker of every rank.
fn everything(job: &Partition) -> Vec<u64> {
    let workers = (0..job.num_shards).flat_map(|r| (0..job.num_workers).map(move |w| worker(job, r, w)));
    workers
        .flat_map(|worker| {
            let items: Vec<u64> =
                (0..worker.worker_items()).flat_map(|item| worker.item(item).expect("counted")).collect();
            assert!(worker.item(worker.worker_items()).is_none());
            items
        })
        .collect()
}

fn sorted(mut positions: Vec<u64>) -> Vec<u64> {
    positions.sort_unstable();
    positions
}

/// What the worker counts say has been delivered; rows that only fill a last step do not count.
fn delivered_positions(job: &Partition, delivered: &[Vec<u64>]) -> BTreeSet<u64> {
    let mut positions = BTreeSet::new();
    for (index, rank) in (0..).zip(delivered) {
        for (number, &items) in (0..).zip(rank) {
            let worker = Partition { remainder: Remainder::Keep, ..worker(job, index, number) };
            positions.extend((0..items).filter_map(|item| worker.item(item)).flatten());
        }
    }
    positions
}

/// Counts within what each worker has, drawn from `draws`.
fn some_counts(job: &Partition, draws: &[u64]) -> Vec<Vec<u64>> {
    let mut draws = draws.iter().cycle();
    let mut count = |r, w| draws.next().expect("draws") % (worker(job, r, w).worker_items() + 1);
    (0..job.num_shards).map(|r| (0..job.num_workers).map(|w| count(r, w)).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ranks_and_workers_together_take_what_the_remainder_promises(job in jobs()) {
        let (start, end, size) = (job.start, job.num_positions, job.global_batch());
        let all = sorted(everything(&job));
        let whole_end = start + (end - start) / size * size;
        let expected: Vec<u64> = match job.remainder {
            Remainder::Keep => (start..end).collect(),
            Remainder::Drop => (start..whole_end).collect(),
            Remainder::Pad => {
                let padded = start + (end - start).div_ceil(size) * size;
                sorted((start..padded).map(|index| index % end.max(1)).collect())
            }
        };
        prop_assert_eq!(all, expected);
        let items: BTreeSet<u64> = ranks(&job).map(|rank| rank.rank_items()).collect();
        prop_assert!(items.len() <= if job.remainder == Remainder::Keep { 2 } else { 1 }, "equal steps");
    }

    #[test]
    fn workers_in_turn_are_the_rank(job in jobs(), index in 0..7_u64) {
        let index = index % job.num_shards;
        let rank = worker(&job, index, 0);
        for item in 0..rank.rank_items() {
            let holder = worker(&job, index, item % job.num_workers);
            prop_assert!(holder.item(item / job.num_workers).expect("its turn").eq(rank.rank_item(item).expect("counted")));
        }
        let by_worker: u64 = (0..job.num_workers).map(|number| worker(&job, index, number).worker_items()).sum();
        prop_assert_eq!(by_worker, rank.rank_items());
    }

    #[test]
    fn the_same_rows_come_in_the_same_step_for_every_number_of_ranks(
        size in prop_oneof![Just(12_u64), Just(24), Just(30), 1..40_u64], remainder in remainders(),
        num_positions in 0..300_u64, steps_before in 0..9_u64,
    ) {
        let start = (steps_before * size).min(num_positions / size * size);
        let mut reference: Option<Vec<Vec<u64>>> = None;
        for num_shards in (1..=size).filter(|ranks| size % ranks == 0) {
            let batch_size = Some(size / num_shards);
            let job = Partition { num_shards, batch_size, remainder, start, ..Partition::whole(num_positions) };
            let steps: Vec<Vec<u64>> = (0..job.num_steps())
                .map(|step| sorted(ranks(&job).filter_map(|rank| Some(rank.rank_item(step)?.collect::<Vec<_>>())).flatten().collect()))
                .collect();
            for (number, step) in (0..).zip(&steps) {
                prop_assert_eq!(&sorted(job.step(number).expect("counted").collect()), step);
            }
            prop_assert!(job.step(job.num_steps()).is_none());
            prop_assert_eq!(reference.get_or_insert_with(|| steps.clone()), &steps);
        }
    }

    #[test]
    fn a_job_goes_on_from_any_step_on_any_topology_that_fits(
        job in jobs(), steps in 0..30_u64, ranks_after in 1..7_u64, batch_after in 1..6_u64, workers_after in 1..5_u64,
    ) {
        let job = Partition { remainder: Remainder::Keep, start: 0, ..job };
        let position = job.next_position(steps);
        let before: Vec<u64> = (0..steps.min(job.num_steps())).flat_map(|step| job.step(step).expect("counted")).collect();
        let after = Partition {
            num_shards: ranks_after, num_workers: workers_after, batch_size: Some(batch_after), start: position, ..job.clone()
        };
        let fits = position.is_multiple_of(ranks_after * batch_after) || position == job.num_positions;
        let after = after.validated();
        prop_assert_eq!(after.is_ok(), fits);
        if let Ok(after) = after {
            let all: Vec<u64> = before.into_iter().chain(everything(&after)).collect();
            prop_assert_eq!(sorted(all), (0..job.num_positions).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_merged_cursor_delivers_exactly_what_was_not(job in jobs(), draws in prop::collection::vec(any::<u64>(), 1..30)) {
        let job = Partition { start: 0, ..job };
        let delivered = some_counts(&job, &draws);
        let seen = delivered_positions(&job, &delivered);
        let (position, holes) = merge_delivered(&job, &delivered).expect("few runs");
        prop_assert_eq!(position, seen.len() as u64);
        prop_assert_eq!(&Holes::try_new(&holes.to_lists(), position).expect("sound"), &holes);
        let rest = Partition { start: position, holes, ..Partition::whole(job.num_positions) }.validated().expect("rows");
        let rest = everything(&rest);
        prop_assert!(rest.is_sorted());
        let missing: Vec<u64> = (0..job.num_positions).filter(|position| !seen.contains(position)).collect();
        prop_assert_eq!(rest, missing);
    }

    #[test]
    fn holes_of_holes_are_holes(
        job in jobs(), again in jobs(), first in prop::collection::vec(any::<u64>(), 1..30),
        second in prop::collection::vec(0..4_u64, 1..30), items in 0..50_u64,
    ) {
        let job = Partition { start: 0, remainder: Remainder::Keep, ..job };
        let seen = delivered_positions(&job, &some_counts(&job, &first));
        let (position, holes) = merge_delivered(&job, &some_counts(&job, &first)).expect("few runs");
        // Go on for a while on one rank, then on another topology that fits, and stop out of step.
        let alone = Partition { start: position, holes, ..Partition::whole(job.num_positions) };
        let mut seen: BTreeSet<u64> = seen.into_iter().chain((0..items).filter_map(|item| alone.item(item)).flatten()).collect();
        let (position, holes) = alone.next_cursor(items);
        let next = Partition { num_positions: job.num_positions, start: position, holes, num_shards: 1, batch_size: None,
                               remainder: Remainder::Keep, ..again };
        let next = next.validated().expect("one row a step fits");
        let counts = some_counts(&next, &second);
        seen.extend(delivered_positions(&next, &counts));
        let (position, holes) = merge_delivered(&next, &counts).expect("few runs");
        prop_assert_eq!(position, seen.len() as u64);
        let rest = Partition { start: position, holes, ..Partition::whole(job.num_positions) }.validated().expect("sound");
        let missing: Vec<u64> = (0..job.num_positions).filter(|position| !seen.contains(position)).collect();
        prop_assert_eq!(everything(&rest), missing);
    }

    #[test]
    fn holes_of_any_list_map_ascending_or_are_refused(
        runs in prop::collection::vec([0..60_u64, 0..5, 0..9, 0..6], 0..6), position in 0..60_u64,
    ) {
        let written: Vec<u64> = runs.iter()
            .flat_map(|&[first, length, stride, count]| (0..count).flat_map(move |k| (0..length).map(move |i| first + k * stride + i)))
            .collect();
        let distinct: BTreeSet<u64> = written.iter().copied().collect();
        let top = position + written.len() as u64;
        let is_sound = distinct.len() == written.len() && distinct.iter().all(|&hole| hole < top)
            && runs.iter().all(|&[_, length, stride, count]| length > 0 && count > 0 && stride >= length);
        let holes = Holes::try_new(&runs, position);
        prop_assert_eq!(holes.is_ok(), is_sound);
        if let Ok(holes) = holes {
            let mapped: Vec<u64> = (position..top + 3).map(|index| holes.map(position, index)).collect();
            prop_assert_eq!(mapped, distinct.into_iter().chain(top..top + 3).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_hostile_list_never_panics(runs in prop::collection::vec(any::<[u64; 4]>(), 0..5), position: u64, index: u64) {
        if let Ok(holes) = Holes::try_new(&runs, position) {
            let _ = holes.map(position, index);
            let _ = holes.advanced(index);
        }
    }
}
