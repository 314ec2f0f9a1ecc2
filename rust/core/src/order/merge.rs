//! Merging what several workers of several ranks have delivered into one position and its holes.

use super::holes::{Holes, MAX_RUNS};
use super::partition::{Partition, share};
use super::runs::Run;
use crate::error::{Error, Result};

/// The position and the holes of a job whose worker `w` of rank `r` has delivered `delivered[r][w]` items.
///
/// `job` says how it was partitioned and from where it began; its `index` and `worker` do not matter.
/// Positions above the last item that anyone delivered are no holes: the stream just goes on there.
pub fn merge_delivered(job: &Partition, delivered: &[Vec<u64>]) -> Result<(u64, Holes)> {
    check_delivered(job, delivered)?;
    let num_items = delivered.iter().flat_map(|rank| (0..).zip(rank));
    let num_batches = num_items
        .filter(|&(_, &items)| items > 0)
        .map(|(worker, items)| worker + (items - 1) * job.num_workers + 1);
    let num_batches = num_batches.max().unwrap_or(0);
    let top = job.next_position(num_batches);
    let mut missing = Vec::new();
    for worker in 0..job.num_workers {
        missing_of_worker(job, delivered, worker, num_batches, &mut missing)?;
    }
    let missing: Vec<Run> = missing.iter().flat_map(|run| run.within(&(job.start..top))).collect();
    let position = top - missing.iter().map(Run::len).sum::<u64>();
    let runs = through_earlier(job, &missing, top)?;
    Ok((position, Holes::from_runs(runs, position)?))
}

fn check_delivered(job: &Partition, delivered: &[Vec<u64>]) -> Result<()> {
    let (ranks, workers) = (job.num_shards, job.num_workers);
    if delivered.len() as u64 != ranks || delivered.iter().any(|rank| rank.len() as u64 != workers) {
        return Err(Error::StateMismatch(format!(
            "states of {ranks} ranks with {workers} workers each are needed, one of every worker"
        )));
    }
    for (index, rank) in (0_u64..).zip(delivered) {
        for (worker, &items) in (0_u64..).zip(rank) {
            let most = share(job.items_of(index), workers, worker);
            if items > most {
                return Err(Error::StateMismatch(format!(
                    "worker {worker} of rank {index} says it delivered {items} items, but it has {most}"
                )));
            }
        }
    }
    // Twice as far as any data set goes, and sums of what follows stay within u64.
    if delivered.iter().flatten().any(|&items| {
        let batches = items.checked_add(1).and_then(|items| items.checked_mul(workers));
        batches.and_then(|batches| batches.checked_mul(job.global_batch())).is_none_or(|size| size >= 1 << 62)
    }) {
        return Err(Error::StateMismatch("the workers delivered more than 2^62 positions".to_owned()));
    }
    Ok(())
}

/// Adds what a worker of each rank has not delivered of the first `num_batches` of the stream.
fn missing_of_worker(
    job: &Partition,
    delivered: &[Vec<u64>],
    worker: u64,
    num_batches: u64,
    missing: &mut Vec<Run>,
) -> Result<()> {
    let size = job.global_batch();
    let first_of = |item: u64| job.start + (worker + item * job.num_workers) * size;
    let all = share(num_batches, job.num_workers, worker);
    let of_rank = |rank: &Vec<u64>| rank[worker as usize];
    let furthest = delivered.iter().map(of_rank).max().unwrap_or(0);
    if furthest < all {
        let stride = size * job.num_workers;
        missing.push(Run { first: first_of(furthest), length: size, stride, count: all - furthest });
    }
    for (index, rank) in (0_u64..).zip(delivered) {
        let items = of_rank(rank)..furthest;
        if items.is_empty() {
            continue;
        }
        if size == job.num_shards {
            let stride = size * job.num_workers;
            let count = items.end - items.start;
            missing.push(Run { first: first_of(items.start) + index, length: 1, stride, count });
            continue;
        }
        if items.end - items.start > MAX_RUNS as u64 {
            return Err(too_far_apart());
        }
        let (stride, count) = (job.num_shards, size / job.num_shards);
        missing.extend(items.map(|item| Run { first: first_of(item) + index, length: 1, stride, count }));
    }
    Ok(())
}

/// Holes of the stream as holes of positions, where the stream itself began with holes.
fn through_earlier(job: &Partition, missing: &[Run], top: u64) -> Result<Vec<Run>> {
    let earlier_end = job.start + job.holes.len();
    let mut runs = Vec::new();
    for run in missing {
        runs.extend(run.within(&(earlier_end..u64::MAX)));
        for part in run.within(&(job.start..earlier_end)) {
            for piece in (0..part.count).map(|index| part.first + index * part.stride) {
                let rank = piece - job.start;
                runs.extend(job.holes.slice(rank..rank + part.length));
                if runs.len() > MAX_RUNS {
                    return Err(too_far_apart());
                }
            }
        }
    }
    if top < earlier_end {
        runs.extend(job.holes.slice(top - job.start..job.holes.len()));
    }
    Ok(runs)
}

fn too_far_apart() -> Error {
    Error::StateMismatch(format!(
        "what the workers delivered leaves more than {MAX_RUNS} runs of holes; \
         save the states of all ranks and workers at the same step"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(ranks: u64, workers: u64, batch: Option<u64>, positions: u64) -> Partition {
        Partition {
            num_shards: ranks,
            num_workers: workers,
            batch_size: batch,
            ..Partition::whole(positions)
        }
    }

    #[test]
    fn workers_in_step_leave_no_holes() {
        let (position, holes) = merge_delivered(&job(2, 2, Some(4), 100), &[vec![3, 2], vec![3, 2]]).unwrap();
        assert_eq!((position, holes), (40, Holes::none()));
        assert_eq!(merge_delivered(&job(1, 2, None, 9), &[vec![0, 0]]).unwrap(), (0, Holes::none()));
    }

    #[test]
    fn a_worker_behind_leaves_one_run_however_far() {
        let (position, holes) = merge_delivered(&job(1, 2, Some(4), 1 << 40), &[vec![1 << 20, 2]]).unwrap();
        assert_eq!(holes.to_lists(), [[20, 4, 8, (1 << 20) - 3]]);
        assert_eq!(position + holes.len(), (1 << 23) - 4);
        let (position, holes) = merge_delivered(&job(1, 3, None, 100), &[vec![4, 2, 3]]).unwrap();
        assert_eq!((position, holes.to_lists()), (9, vec![[7, 1, 3, 1]]));
    }

    #[test]
    fn a_short_last_batch_counts_what_it_has() {
        let (position, holes) = merge_delivered(&job(1, 2, Some(4), 10), &[vec![2, 0]]).unwrap();
        assert_eq!((position, holes.to_lists()), (6, vec![[4, 4, 8, 1]]));
    }

    #[test]
    fn states_that_cannot_be_are_refused() {
        let refused = |job: &Partition, delivered: &[Vec<u64>], word: &str| {
            let error = merge_delivered(job, delivered).unwrap_err();
            assert!(matches!(error, Error::StateMismatch(_)));
            assert!(error.to_string().contains(word), "{error}");
        };
        refused(&job(2, 1, None, 10), &[vec![1]], "2 ranks");
        refused(&job(1, 2, None, 10), &[vec![1]], "2 workers");
        refused(&job(1, 2, Some(4), 10), &[vec![1, 2]], "worker 1 of rank 0");
        refused(&job(1, 1, None, u64::MAX), &[vec![u64::MAX / 2]], "2^62");
        refused(&job(2, 1, Some(2), 1 << 40), &[vec![0], vec![1_000]], "256 runs");
    }
}
