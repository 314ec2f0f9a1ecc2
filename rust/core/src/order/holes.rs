//! Holes: positions below the furthest delivered one that have not been delivered yet.

use std::ops::Range;

use super::runs::Run;
use crate::error::{Error, Result};

/// A cursor of one kilobyte holds fewer; more come from no merge of ours.
pub(super) const MAX_RUNS: usize = 256;

/// Comparisons that checking a list of runs may take: milliseconds, whatever the list says.
const MAX_COMPARISONS: u64 = 1 << 20;

/// Positions not yet delivered, as a short list of runs that share none.
///
/// Of `position` rows delivered in all and `len` holes, every position below `position + len` is either
/// delivered or a hole. The stream goes on with the holes in ascending order, then with what is above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holes {
    runs: Vec<Run>,
    len: u64,
}

impl Holes {
    /// No holes: everything below the position is delivered.
    pub fn none() -> Self {
        Self::default()
    }

    /// Holes as a cursor writes them, `[first, length, stride, count]` a run, checked against its position.
    pub fn try_new(runs: &[[u64; 4]], position: u64) -> Result<Self> {
        let runs = runs.iter().map(|&[first, length, stride, count]| Run { first, length, stride, count });
        Self::from_runs(runs.collect(), position)
    }

    pub(super) fn from_runs(runs: Vec<Run>, position: u64) -> Result<Self> {
        if runs.len() > MAX_RUNS {
            return Err(mismatch(&format!("{} runs are more than {MAX_RUNS}", runs.len())));
        }
        if let Some(run) = runs.iter().find(|run| !run.is_sound()) {
            return Err(mismatch(&format!("{run:?} is empty, overlaps itself or ends above 2^64")));
        }
        let len = runs.iter().try_fold(0_u64, |sum, run| sum.checked_add(run.length.checked_mul(run.count)?));
        let top = len.and_then(|len| position.checked_add(len));
        let (Some(len), Some(top)) = (len, top) else {
            return Err(mismatch("the runs cover more than 2^64 positions"));
        };
        let holes = Self { runs, len };
        holes.check_below(top, position)?;
        holes.check_apart()?;
        Ok(holes)
    }

    fn check_below(&self, top: u64, position: u64) -> Result<()> {
        let Some(run) = self.runs.iter().find(|run| run.end() > top) else { return Ok(()) };
        let (end, len) = (run.end(), self.len);
        Err(mismatch(&format!("{run:?} reaches {end}, but position {position} and {len} holes end at {top}")))
    }

    fn check_apart(&self) -> Result<()> {
        let mut budget = MAX_COMPARISONS;
        for (index, run) in self.runs.iter().enumerate() {
            for other in &self.runs[index + 1..] {
                match run.overlaps(other, &mut budget) {
                    Some(false) => {}
                    Some(true) => return Err(mismatch(&format!("{run:?} and {other:?} overlap"))),
                    None => return Err(mismatch("the runs are too tangled to be checked")),
                }
            }
        }
        Ok(())
    }

    /// How many positions are holes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The runs as a cursor writes them: `[first, length, stride, count]` each.
    pub fn to_lists(&self) -> Vec<[u64; 4]> {
        self.runs.iter().map(|run| [run.first, run.length, run.stride, run.count]).collect()
    }

    /// The position that stands at an index of the stream which began when `position` were delivered.
    #[inline]
    pub fn map(&self, position: u64, index: u64) -> u64 {
        match index.checked_sub(position) {
            Some(rank) if rank < self.len => self.at(rank),
            _ => index,
        }
    }

    /// The `rank`-th hole in ascending order, by bisection: a few comparisons of each run a bit.
    fn at(&self, rank: u64) -> u64 {
        let mut low = self.runs.iter().map(|run| run.first).min().unwrap_or(0);
        let mut high = self.runs.iter().map(Run::end).max().unwrap_or(0);
        // The answer is the last position with at most `rank` holes below it.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let below: u64 = self.runs.iter().map(|run| run.count_below(middle)).sum();
            if below <= rank { low = middle } else { high = middle }
        }
        low
    }

    /// Holes number `ranks.start` to `ranks.end` in ascending order, as runs.
    pub(super) fn slice(&self, ranks: Range<u64>) -> impl Iterator<Item = Run> + '_ {
        let range = if ranks.is_empty() { 0..0 } else { self.at(ranks.start)..self.at(ranks.end - 1) + 1 };
        self.runs.iter().flat_map(move |run| run.within(&range))
    }

    /// What is left of the holes once the first `count` of them are delivered too.
    #[must_use]
    pub fn advanced(&self, count: u64) -> Self {
        if count == 0 {
            return self.clone();
        }
        let runs: Vec<_> = self.slice(count.min(self.len)..self.len).collect();
        Self { len: self.len - count.min(self.len), runs }
    }
}

fn mismatch(problem: &str) -> Error {
    Error::StateMismatch(format!("the cursor's holes are not sound: {problem}; use a cursor as it was saved"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_come_first_in_ascending_order_then_what_is_above() {
        // Delivered: 2, 3, 6, 7 of [0, 10); holes 0 1 | 4 5 | 8, and 9.
        let holes = Holes::try_new(&[[0, 2, 4, 2], [8, 1, 1, 1], [9, 1, 1, 1]], 4).unwrap();
        let stream: Vec<_> = (4..13).map(|index| holes.map(4, index)).collect();
        assert_eq!(stream, [0, 1, 4, 5, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn interleaved_runs_are_merged_in_order() {
        let holes = Holes::try_new(&[[0, 1, 6, 3], [3, 2, 6, 2], [1, 1, 7, 2]], 9).unwrap();
        let stream: Vec<_> = (9..18).map(|index| holes.map(9, index)).collect();
        assert_eq!(stream, [0, 1, 3, 4, 6, 8, 9, 10, 12]);
    }

    #[test]
    fn what_is_left_goes_on_as_if_nothing_had_stopped() {
        let holes = Holes::try_new(&[[0, 2, 5, 4], [3, 1, 5, 3]], 20).unwrap();
        for count in 0..14 {
            let rest = holes.advanced(count);
            let position = 20 + count;
            assert_eq!(rest.len(), holes.len().saturating_sub(count));
            assert_eq!(Holes::try_new(&rest.to_lists(), position).unwrap(), rest);
            for index in position..50 {
                assert_eq!(rest.map(position, index), holes.map(20, index));
            }
        }
    }

    #[test]
    fn runs_that_cannot_be_are_refused() {
        let refused = |runs: &[[u64; 4]], position, word: &str| {
            let error = Holes::try_new(runs, position).unwrap_err();
            assert!(matches!(error, Error::StateMismatch(_)));
            assert!(error.to_string().contains(word), "{error}");
        };
        refused(&[[0, 2, 4, 3], [9, 1, 1, 1]], 20, "overlap");
        refused(&[[0, 2, 4, 3], [0, 3, 9, 2]], 20, "overlap");
        refused(&[[10, 2, 2, 1]], 9, "reaches 12");
        refused(&[[0, 0, 1, 1]], 9, "empty");
        refused(&[[0, u64::MAX, u64::MAX, 1], [0, 1, 1, 1]], 9, "2^64");
        refused(&[[0, 1, 1, u64::MAX]], 9, "2^64");
        refused(&[[0, 1, 3, 1 << 40], [1, 1, 4, 1 << 40]], 1 << 50, "tangled");
        refused(&vec![[0, 1, 1, 1]; 257], 9, "256");
    }

    #[test]
    fn the_two_hundred_thousandth_hole_is_found_at_once() {
        let holes = Holes::try_new(&[[8, 8, 24, 1 << 40], [16, 8, 24, 1 << 40]], 1 << 43).unwrap();
        assert_eq!(holes.map(1 << 43, (1 << 43) + (1 << 42) + 9), 24 * (1 << 38) + 8 + 9);
    }
}
