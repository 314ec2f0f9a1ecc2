//! Partition: which positions of a stream a rank and a worker take, and in which step.

use super::holes::Holes;
use crate::error::{Error, Result};

/// How many sizes an error about a position lists.
const SIZES_LISTED: usize = 8;

/// What happens to the rows that fill no whole global batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remainder {
    /// They are left out: every rank takes the same number of steps.
    Drop,
    /// The last step is filled from the beginning of the stream: the same number of steps too.
    Pad,
    /// They are handed out: batches of the last step are short, and some ranks may have none.
    Keep,
}

impl std::fmt::Display for Remainder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Pad => "pad",
            Self::Keep => "keep",
        })
    }
}

impl std::str::FromStr for Remainder {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "drop" => Ok(Self::Drop),
            "pad" => Ok(Self::Pad),
            "keep" => Ok(Self::Keep),
            other => Err(Error::InvalidArgument(format!(
                "remainder {other:?} is not known; use \"drop\", \"pad\" or \"keep\""
            ))),
        }
    }
}

/// One worker's share of a stream of positions. An *item* is a batch, or a row where nothing is batched.
///
/// ```
/// use rowmill_core::order::{Partition, Remainder};
///
/// let rank = Partition { num_shards: 2, index: 1, batch_size: Some(3), ..Partition::whole(12) }.validated()?;
/// assert_eq!(rank.rank_items(), 2);
/// assert_eq!(rank.item(1).unwrap().collect::<Vec<_>>(), [7, 9, 11]);
/// assert_eq!(rank.next_position(1), 6);
/// # Ok::<(), rowmill_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// How many ranks there are (R).
    pub num_shards: u64,
    /// Which of them this is (r).
    pub index: u64,
    /// How many workers each rank has (W).
    pub num_workers: u64,
    /// Which of them this is (w).
    pub worker: u64,
    /// Rows in a rank's batch (B); none where rows come one by one.
    pub batch_size: Option<u64>,
    /// What happens at the end.
    pub remainder: Remainder,
    /// Length of the stream (M); `u64::MAX` is endless.
    pub num_positions: u64,
    /// How many positions were delivered in all before this iteration.
    pub start: u64,
    /// Which positions below `start + holes.len()` those were not.
    pub holes: Holes,
    /// Runs `(first, last + 1)` of the steps from `start` on that nobody takes: ascending, apart, none empty.
    pub left_out: Vec<(u64, u64)>,
}

impl Partition {
    /// A stream that one rank and one worker take row by row, all of it.
    pub fn whole(num_positions: u64) -> Self {
        Self {
            num_shards: 1,
            index: 0,
            num_workers: 1,
            worker: 0,
            batch_size: None,
            remainder: Remainder::Keep,
            num_positions,
            start: 0,
            holes: Holes::none(),
            left_out: Vec::new(),
        }
    }

    /// The partition itself, if its numbers fit together.
    pub fn validated(self) -> Result<Self> {
        check_index("rank", self.index, self.num_shards)?;
        check_index("worker", self.worker, self.num_workers)?;
        if self.batch_size == Some(0) {
            return Err(Error::InvalidArgument("batch_size is 0; it must be at least 1".to_owned()));
        }
        if self.num_shards.checked_mul(self.batch()).is_none_or(|size| size >= 1 << 62) {
            let (ranks, rows) = (self.num_shards, self.batch());
            return Err(Error::Topology(format!(
                "{ranks} ranks times {rows} rows is more than any data set has"
            )));
        }
        let (start, end) = (self.start, self.num_positions);
        if start.checked_add(self.holes.len()).is_none_or(|top| top > end) {
            return Err(Error::StateMismatch(format!(
                "the cursor's position {start} with {} holes lies beyond the stream's {end} positions",
                self.holes.len()
            )));
        }
        let mut before = 0;
        for &(first, last) in &self.left_out {
            if first >= last || (first <= before && before > 0) {
                return Err(Error::InvalidArgument(format!(
                    "the steps {:?} that are left out are no ascending runs",
                    self.left_out
                )));
            }
            before = last;
        }
        // Holes are made against a position: they may have met another one since.
        Holes::try_new(&self.holes.to_lists(), start)?;
        self.check_position()?;
        Ok(self)
    }

    /// Whether whole steps of this topology lead to the position, or it is the stream's end.
    fn check_position(&self) -> Result<()> {
        let size = self.global_batch();
        if self.start.is_multiple_of(size) || self.start == self.num_positions {
            return Ok(());
        }
        let sizes: Vec<_> = fitting_sizes(self.start, size).iter().map(u64::to_string).collect();
        Err(Error::Topology(format!(
            "position {} is not a multiple of the global batch, {} ranks x {} rows = {size}; \
             ranks x batch size must be one of its divisors, for example {}",
            self.start,
            self.num_shards,
            self.batch(),
            sizes.join(", ")
        )))
    }

    fn batch(&self) -> u64 {
        self.batch_size.unwrap_or(1)
    }

    /// Positions of one step over all ranks: R * B.
    pub fn global_batch(&self) -> u64 {
        self.num_shards * self.batch()
    }

    fn is_endless(&self) -> bool {
        self.num_positions == u64::MAX
    }

    /// How many steps the job takes from `start` to the end.
    pub fn num_steps(&self) -> u64 {
        self.taken_of(self.all_steps())
    }

    /// The same with those that are left out.
    fn all_steps(&self) -> u64 {
        let (left, size) = (self.num_positions - self.start, self.global_batch());
        if self.remainder == Remainder::Drop || self.is_endless() { left / size } else { left.div_ceil(size) }
    }

    /// How many of the first `steps` steps are taken.
    fn taken_of(&self, steps: u64) -> u64 {
        let left_out = self.left_out.iter().map(|&(first, last)| last.min(steps).saturating_sub(first));
        steps - left_out.sum::<u64>()
    }

    /// Which step the `taken`-th one that is taken is, counted with those that are left out.
    fn step_of(&self, taken: u64) -> u64 {
        let passed = self.left_out.iter().take_while(|(first, _)| self.taken_of(*first) <= taken);
        taken + passed.map(|(first, last)| last - first).sum::<u64>()
    }

    /// How many items the rank yields from `start` to the end, all its workers together.
    pub fn rank_items(&self) -> u64 {
        self.items_of(self.index)
    }

    /// How many items another rank of the job yields.
    pub fn items_of(&self, index: u64) -> u64 {
        let (left, size) = (self.num_positions - self.start, self.global_batch());
        match self.remainder {
            Remainder::Keep if !self.is_endless() => {
                self.taken_of(left / size + u64::from(left % size > index))
            }
            Remainder::Keep | Remainder::Drop | Remainder::Pad => self.num_steps(),
        }
    }

    /// How many items this worker yields.
    pub fn worker_items(&self) -> u64 {
        share(self.rank_items(), self.num_workers, self.worker)
    }

    /// The positions of this worker's item, in the order in which they stand in it; `None` past its last.
    pub fn item(&self, item: u64) -> Option<impl ExactSizeIterator<Item = u64> + '_> {
        let in_rank = item.checked_mul(self.num_workers)?.checked_add(self.worker)?;
        self.rank_item(in_rank)
    }

    /// The positions of the rank's item, whichever worker has it; `None` past its last.
    pub fn rank_item(&self, item: u64) -> Option<impl ExactSizeIterator<Item = u64> + '_> {
        if item >= self.rank_items() {
            return None;
        }
        let (first, left) = self.in_rank_item(item);
        let len = if self.remainder == Remainder::Pad { self.batch() } else { left };
        Some(
            Strided { index: first, left: len, stride: self.num_shards }.map(|index| self.position_at(index)),
        )
    }

    /// How many rows of this worker's item come for the first time: those behind them fill up the last step.
    pub fn num_fresh(&self, item: u64) -> u64 {
        self.in_rank_item(item.saturating_mul(self.num_workers).saturating_add(self.worker)).1
    }

    /// The first index of the rank's item, and how many of its rows the stream still has.
    fn in_rank_item(&self, item: u64) -> (u64, u64) {
        let first = self.start + self.step_of(item) * self.global_batch() + self.index;
        let left = self.num_positions.saturating_sub(first).div_ceil(self.num_shards);
        (first, left.min(self.batch()))
    }

    /// The positions of a step over all ranks, ascending in the stream; `None` past the last step.
    ///
    /// The same for every number of ranks as long as the global batch is the same.
    pub fn step(&self, step: u64) -> Option<impl ExactSizeIterator<Item = u64> + '_> {
        if step >= self.num_steps() {
            return None;
        }
        let (size, first) = (self.global_batch(), self.start + self.step_of(step) * self.global_batch());
        let len = if self.remainder == Remainder::Pad { size } else { size.min(self.num_positions - first) };
        Some(Strided { index: first, left: len, stride: 1 }.map(|index| self.position_at(index)))
    }

    /// The position at an index of the stream, which a cursor counts; beyond the end it begins again.
    pub fn position_at(&self, index: u64) -> u64 {
        if index >= self.num_positions {
            index % self.num_positions
        } else {
            self.holes.map(self.start, index)
        }
    }

    /// Where the cursor stands after the rank has been handed `items` in all.
    pub fn next_position(&self, items: u64) -> u64 {
        let left = self.num_positions - self.start;
        let steps = items.checked_sub(1).map_or(0, |last| self.step_of(last) + 1);
        self.start + steps.saturating_mul(self.global_batch()).min(left)
    }

    /// The same with the holes that are then left.
    pub fn next_cursor(&self, items: u64) -> (u64, Holes) {
        let position = self.next_position(items);
        (position, self.holes.advanced(position - self.start))
    }
}

/// How many of `count` things dealt round-robin over `parts` fall to one of them.
pub(super) fn share(count: u64, parts: u64, part: u64) -> u64 {
    count.saturating_sub(part).div_ceil(parts)
}

/// Every `stride`-th number.
struct Strided {
    index: u64,
    left: u64,
    stride: u64,
}

impl Iterator for Strided {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        let index = self.index;
        // Past the last one this may lie beyond u64, and nobody asks for it.
        self.index = index.wrapping_add(self.stride);
        Some(index)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Strided {}

fn check_index(what: &str, index: u64, count: u64) -> Result<()> {
    if index < count {
        return Ok(());
    }
    Err(Error::Topology(format!("{what} {index} of {count} does not exist; {what}s are counted from 0")))
}

/// The divisors of a position nearest to a size, ascending.
fn fitting_sizes(position: u64, size: u64) -> Vec<u64> {
    // Enough for any batch that is in use, and quick for any position.
    let highest = size.saturating_mul(4).clamp(64, 1 << 20).min(position);
    let mut sizes: Vec<u64> = (1..=highest).filter(|&size| position.is_multiple_of(size)).collect();
    sizes.sort_by_key(|&fit| fit.abs_diff(size));
    sizes.truncate(SIZES_LISTED);
    sizes.sort_unstable();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(ranks: u64, index: u64, batch: u64, remainder: Remainder, positions: u64) -> Partition {
        let whole = Partition::whole(positions);
        Partition { num_shards: ranks, index, batch_size: Some(batch), remainder, ..whole }
            .validated()
            .unwrap()
    }

    fn items(partition: &Partition) -> Vec<Vec<u64>> {
        (0..partition.rank_items()).map(|item| partition.rank_item(item).unwrap().collect()).collect()
    }

    #[test]
    fn the_last_step_is_dropped_padded_or_kept() {
        let of = |index, remainder| items(&partition(2, index, 2, remainder, 7));
        assert_eq!(of(0, Remainder::Drop), [[0, 2]]);
        assert_eq!(of(1, Remainder::Pad), [[1, 3], [5, 0]]);
        assert_eq!(of(0, Remainder::Keep), [vec![0, 2], vec![4, 6]]);
        assert_eq!(of(1, Remainder::Keep), [vec![1, 3], vec![5]]);
        assert_eq!(items(&partition(3, 2, 2, Remainder::Keep, 8)), [[2, 5]], "rank 2 has one step less");
        assert_eq!(items(&partition(2, 1, 3, Remainder::Pad, 2)), [[1, 1, 1]], "wraps as often as it must");
        for remainder in [Remainder::Drop, Remainder::Pad, Remainder::Keep] {
            assert_eq!(partition(2, 0, 2, remainder, 0).rank_items(), 0);
            assert_eq!(remainder.to_string().parse::<Remainder>().unwrap(), remainder);
        }
    }

    #[test]
    fn an_endless_stream_has_items_without_end() {
        for remainder in [Remainder::Drop, Remainder::Pad, Remainder::Keep] {
            let endless = partition(3, 2, 4, remainder, u64::MAX);
            assert_eq!(endless.rank_items(), u64::MAX / 12);
            let last = endless.rank_item(endless.rank_items() - 1).unwrap();
            assert_eq!(last.last(), Some(u64::MAX / 12 * 12 - 1));
        }
    }

    #[test]
    fn steps_that_are_left_out_are_nobodys() {
        let left_out = vec![(0, 1), (3, 5), (9, 20)];
        for remainder in [Remainder::Drop, Remainder::Pad, Remainder::Keep] {
            for index in 0..2 {
                let all = partition(2, index, 3, remainder, 56);
                let part = Partition { left_out: left_out.clone(), ..all.clone() }.validated().unwrap();
                let kept = |step: &u64| !left_out.iter().any(|(first, last)| (first..last).contains(&step));
                let steps: Vec<_> = (0..all.rank_items()).filter(kept).collect();
                let of = |partition: &Partition, item| partition.rank_item(item).unwrap().collect::<Vec<_>>();
                assert_eq!(part.rank_items(), steps.len() as u64, "{remainder} {index}");
                for (item, step) in steps.iter().enumerate() {
                    assert_eq!(of(&part, item as u64), of(&all, *step), "{remainder} {index}");
                    assert_eq!(part.next_position(item as u64 + 1), all.next_position(step + 1));
                }
            }
        }
        assert_eq!(Partition { left_out: vec![(0, 99)], ..Partition::whole(9) }.rank_items(), 0);
        for bad in [vec![(3, 3)], vec![(5, 6), (2, 3)], vec![(1, 4), (3, 6)]] {
            assert!(Partition { left_out: bad, ..Partition::whole(9) }.validated().is_err());
        }
    }

    #[test]
    fn a_position_between_steps_names_the_sizes_that_fit() {
        let unfit =
            Partition { num_shards: 7, batch_size: Some(32), start: 1_200, ..Partition::whole(9_999) };
        let error = unfit.validated().unwrap_err();
        assert!(matches!(error, Error::Topology(_)));
        for word in ["1200", "7 ranks x 32 rows = 224", "200, 240, 300"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        let end = Partition { num_shards: 2, batch_size: Some(4), start: 9, ..Partition::whole(9) };
        assert_eq!(end.validated().unwrap().rank_items(), 0, "the end of a stream fits every size");
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let whole = Partition::whole(10);
        for (bad, word) in [
            (Partition { index: 2, num_shards: 2, ..whole.clone() }, "rank 2 of 2"),
            (Partition { num_workers: 0, ..whole.clone() }, "worker 0 of 0"),
            (Partition { batch_size: Some(0), ..whole.clone() }, "batch_size"),
            (Partition { num_shards: 1 << 40, batch_size: Some(1 << 40), ..whole.clone() }, "ranks times"),
            (Partition { start: 11, ..whole.clone() }, "beyond"),
            (Partition { start: 1, holes: Holes::try_new(&[[9, 1, 1, 1]], 9).unwrap(), ..whole }, "reaches"),
        ] {
            let error = bad.validated().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
