//! Which items each job makes.

use std::ops::Range;

/// Into so many parts the first job is cut, where it has as many items.
const PARTS: u64 = 8;

/// Never more batches than this in one job, so that what is made ahead stays fine-grained.
const MAX_BATCHES_PER_JOB: u64 = 16;

/// Batches that one job makes: about so many bytes of them, and few enough that among the `ahead` ones there is a job
/// for each thread.
pub fn batches_per_job(job_bytes: u64, batch_bytes: u64, ahead: u64, num_threads: usize) -> u64 {
    let shared = ahead / (num_threads as u64).max(2);
    (job_bytes / batch_bytes.max(1)).min(MAX_BATCHES_PER_JOB).min(shared).max(1)
}

/// Jobs of items one after the other, all of one size but for the first.
#[derive(Debug, Clone, Copy)]
pub struct Jobs {
    first: u64,
    end: u64,
    per_job: u64,
    /// How many jobs make what others make in one.
    parts: u64,
}

impl Jobs {
    /// Jobs of `per_job` of these items.
    pub fn new(items: Range<u64>, per_job: u64) -> Self {
        Self { first: items.start, end: items.end, per_job, parts: 1 }
    }

    /// The same in smaller steps at first: what is the first of its block or its lane costs more than the others, and the
    /// first item need not wait for several of them.
    #[must_use]
    pub fn with_small_ones_first(self) -> Self {
        Self { parts: self.per_job.clamp(1, PARTS), ..self }
    }

    /// The items of a job; none beyond the last job.
    pub fn items(&self, job: u64) -> Range<u64> {
        self.first_item(job)..self.first_item(job + 1)
    }

    /// The first item of a job; the end beyond the last job.
    pub fn first_item(&self, job: u64) -> u64 {
        let before = match job.checked_sub(self.parts) {
            None => job * self.per_job / self.parts,
            Some(later) => (later + 1).saturating_mul(self.per_job),
        };
        self.first.saturating_add(before).min(self.end)
    }

    /// How many jobs there are.
    pub fn len(&self) -> u64 {
        let left = self.end.saturating_sub(self.first);
        if left > self.per_job {
            return self.parts - 1 + left.div_ceil(self.per_job);
        }
        (0..self.parts).find(|job| self.first_item(*job) == self.end).unwrap_or(self.parts)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_item_is_of_one_job(start in 0_u64..1000, len in 0_u64..2000, per_job in 1_u64..300, is_small: bool) {
            let mut jobs = Jobs::new(start..start + len, per_job);
            if is_small {
                jobs = jobs.with_small_ones_first();
            }
            let mut next = start;
            for job in 0..jobs.len() {
                let items = jobs.items(job);
                prop_assert_eq!(items.start, next);
                prop_assert!(!items.is_empty() && items.end - items.start <= per_job);
                next = items.end;
            }
            prop_assert_eq!(next, start + len);
            prop_assert!(jobs.items(jobs.len()).is_empty());
        }
    }

    proptest! {
        #[test]
        fn each_thread_has_a_job(job in 0_u64..1000, batch in 0_u64..100, ahead in 0_u64..100, num_threads in 0_usize..40) {
            let per_job = batches_per_job(job, batch, ahead, num_threads);
            prop_assert!(per_job == 1 || per_job <= MAX_BATCHES_PER_JOB && per_job * batch <= job);
            prop_assert!(ahead.div_ceil(per_job) >= ahead.min(num_threads as u64));
        }
    }

    #[test]
    fn the_first_ones_are_small() {
        let jobs = Jobs::new(100..u64::MAX, 128).with_small_ones_first();
        assert_eq!([0, 1, 7, 8, 9].map(|job| jobs.items(job).start), [100, 116, 212, 228, 356]);
        assert_eq!(jobs.items(8).end, 356);
    }
}
