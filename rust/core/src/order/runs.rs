//! Runs: pieces of equal length at equal distances, the short way to write down many positions.

use std::ops::Range;

/// The `k`-th piece covers `first + k * stride .. + length`, for `k` below `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where the first piece begins.
    pub first: u64,
    /// How long each piece is.
    pub length: u64,
    /// From the beginning of one piece to the next.
    pub stride: u64,
    /// How many pieces there are.
    pub count: u64,
}

impl Run {
    /// One piece.
    pub(super) fn piece(range: Range<u64>) -> Self {
        let length = range.end - range.start;
        Self { first: range.start, length, stride: length, count: 1 }
    }

    /// Whether the run has pieces, they are apart, and it ends within u64.
    pub(super) fn is_sound(&self) -> bool {
        let reach = (self.count.max(1) - 1).checked_mul(self.stride);
        let end = reach.and_then(|reach| self.first.checked_add(reach)?.checked_add(self.length));
        self.length > 0 && self.count > 0 && self.stride >= self.length && end.is_some()
    }

    /// One past the last position.
    pub(super) fn end(&self) -> u64 {
        self.first + (self.count - 1) * self.stride + self.length
    }

    /// How many positions the run covers.
    pub(super) fn len(&self) -> u64 {
        self.length * self.count
    }

    /// How many of its positions lie below `limit`.
    pub(super) fn count_below(&self, limit: u64) -> u64 {
        let Some(reach) = limit.checked_sub(self.first) else { return 0 };
        if self.count == 1 {
            return reach.min(self.length);
        }
        let whole = (reach / self.stride).min(self.count);
        let part = if whole < self.count { (reach - whole * self.stride).min(self.length) } else { 0 };
        whole * self.length + part
    }

    /// The part of the run inside `range`: whole pieces, and one cut piece at either end.
    pub(super) fn within(&self, range: &Range<u64>) -> impl Iterator<Item = Self> + use<> {
        let (run, range) = (*self, range.clone());
        // Pieces that end above the start, and those that begin below the end.
        let from = if range.start <= run.first { 0 } else { run.pieces_ending_by(range.start) };
        let to = if range.end <= run.first { 0 } else { run.pieces_beginning_below(range.end) };
        let cut = move |index: u64| {
            let first = run.first + index * run.stride;
            let piece = first.max(range.start)..(first + run.length).min(range.end);
            (piece.start < piece.end).then(|| Self::piece(piece))
        };
        let middle = (from + 1 < to.saturating_sub(1)).then(|| Self {
            first: run.first + (from + 1) * run.stride,
            count: to - from - 2,
            ..run
        });
        let head = (from < to).then(|| cut(from)).flatten();
        let tail = (from + 1 < to).then(|| cut(to - 1)).flatten();
        let is_whole = from == 0 && to == run.count && run.len() == len_of(head, middle, tail);
        let parts = if is_whole && run.count > 0 { [Some(run), None, None] } else { [head, middle, tail] };
        parts.into_iter().flatten()
    }

    fn pieces_ending_by(&self, limit: u64) -> u64 {
        let Some(reach) = limit.checked_sub(self.first + self.length) else { return 0 };
        if self.count == 1 { 1 } else { (reach / self.stride + 1).min(self.count) }
    }

    fn pieces_beginning_below(&self, limit: u64) -> u64 {
        if self.count == 1 { 1 } else { ((limit - self.first - 1) / self.stride + 1).min(self.count) }
    }

    /// Whether the two share a position; `None` where to find out takes more than `budget` comparisons.
    pub(super) fn overlaps(&self, other: &Self, budget: &mut u64) -> Option<bool> {
        if self.end() <= other.first || other.end() <= self.first {
            return Some(false);
        }
        if self.stride == other.stride && self.is_clear_of(other) {
            return Some(false);
        }
        let (few, many) = if self.count <= other.count { (self, other) } else { (other, self) };
        *budget = budget.checked_sub(few.count)?;
        Some((0..few.count).any(|index| {
            let first = few.first + index * few.stride;
            many.count_below(first + few.length) > many.count_below(first)
        }))
    }

    /// Whether pieces at the same distance lie in different parts of it.
    fn is_clear_of(&self, other: &Self) -> bool {
        let gap = self.first.abs_diff(other.first) % self.stride;
        let (ahead, behind) = if self.first <= other.first { (self, other) } else { (other, self) };
        gap >= ahead.length && self.stride - gap >= behind.length
    }
}

fn len_of(head: Option<Run>, middle: Option<Run>, tail: Option<Run>) -> u64 {
    [head, middle, tail].iter().flatten().map(Run::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(run: &Run) -> Vec<u64> {
        (0..run.count).flat_map(|k| (0..run.length).map(move |i| run.first + k * run.stride + i)).collect()
    }

    fn small_runs() -> Vec<Run> {
        let mut runs = Vec::new();
        for first in 0..6 {
            for length in 1..4 {
                for stride in length..6 {
                    runs.extend((1..5).map(|count| Run { first, length, stride, count }));
                }
            }
        }
        runs
    }

    #[test]
    fn counts_and_cuts_agree_with_the_positions_written_out() {
        for run in small_runs() {
            assert!(run.is_sound());
            let all = positions(&run);
            assert_eq!((run.len(), run.end()), (all.len() as u64, all[all.len() - 1] + 1));
            for start in 0..30 {
                assert_eq!(run.count_below(start), all.iter().filter(|&&p| p < start).count() as u64);
                for end in start..30 {
                    let inside: Vec<_> = all.iter().copied().filter(|p| (start..end).contains(p)).collect();
                    let parts: Vec<_> = run.within(&(start..end)).flat_map(|part| positions(&part)).collect();
                    assert_eq!(parts, inside, "{run:?} within {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn overlaps_are_found_exactly() {
        let runs = small_runs();
        for (one, other) in runs.iter().flat_map(|one| runs.iter().map(move |other| (one, other))) {
            let mine = positions(one);
            let expected = positions(other).iter().any(|position| mine.contains(position));
            assert_eq!(one.overlaps(other, &mut 5), Some(expected), "{one:?} {other:?}");
        }
    }

    #[test]
    fn runs_that_are_none_are_seen() {
        for (first, length, stride, count) in
            [(0, 0, 1, 1), (0, 1, 1, 0), (0, 2, 1, 2), (u64::MAX, 1, 1, 1), (0, 1, 0, 1), (5, 1, u64::MAX, 3)]
        {
            assert!(!Run { first, length, stride, count }.is_sound());
        }
    }
}
