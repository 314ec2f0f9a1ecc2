//! Whose turn it is: always the lane whose next sample is globally the first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The lanes of a consumer in the order of their turns, endless and without a look at the data.
///
/// A lane that ends keeps its turns, in which nothing comes: dropping them afterwards leaves the same
/// samples in the same order as if it had left the round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turns {
    /// Turns before every lane has one turn a round, each with how many its lane had before: after a merge some
    /// lanes may be ahead, and one that has ended is behind by all that the others gave since.
    head: Vec<(u32, u64)>,
    /// The round.
    cycle: Vec<u32>,
    /// Turns that each lane has in the head.
    in_head: Vec<u64>,
}

impl Turns {
    /// From the number of lanes of the job, and this consumer's lanes with the samples that each has given.
    pub fn new(num_lanes: u64, lanes: &[(u32, u64)]) -> Self {
        let turn = |at: usize, samples: u64| samples * num_lanes + u64::from(lanes[at].0);
        let most = lanes.iter().map(|(_, samples)| *samples).max().unwrap_or(0);
        let mut heap: BinaryHeap<_> = lanes
            .iter()
            .enumerate()
            .map(|(at, (_, samples))| Reverse((turn(at, *samples), at, *samples)))
            .collect();
        let (mut head, mut in_head) = (Vec::new(), vec![0; lanes.len()]);
        // Until the slowest lane has caught up the round is not regular.
        while let Some(Reverse((_, at, samples))) = heap.peek().copied()
            && samples < most
        {
            heap.pop();
            heap.push(Reverse((turn(at, samples + 1), at, samples + 1)));
            head.push((at as u32, in_head[at]));
            in_head[at] += 1;
        }
        let mut cycle = Vec::with_capacity(lanes.len());
        while let Some(Reverse((_, at, _))) = heap.pop() {
            cycle.push(at as u32);
        }
        Self { head, cycle, in_head }
    }

    /// The lane (by its place among the consumer's) whose turn number `ticket` is, and how many turns it had before.
    pub fn at(&self, ticket: u64) -> (usize, u64) {
        let Some(after) = ticket.checked_sub(self.head.len() as u64) else {
            let (lane, before) = self.head[ticket as usize];
            return (lane as usize, before);
        };
        let round = self.cycle.len() as u64;
        let lane = self.cycle[(after % round) as usize] as usize;
        (lane, self.in_head[lane] + after / round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the definition says it.
    fn by_definition(num_lanes: u64, lanes: &[(u32, u64)], count: usize) -> Vec<usize> {
        let mut samples: Vec<u64> = lanes.iter().map(|(_, samples)| *samples).collect();
        let next = |samples: &[u64]| {
            (0..lanes.len()).min_by_key(|at| samples[*at] * num_lanes + u64::from(lanes[*at].0)).unwrap()
        };
        (0..count)
            .map(|_| {
                let at = next(&samples);
                samples[at] += 1;
                at
            })
            .collect()
    }

    proptest! {
        #[test]
        fn turns_are_those_of_the_definition(
            first in 0_u32..4,
            counts in proptest::collection::vec(0_u64..6, 1..9),
        ) {
            let lanes: Vec<_> =
                counts.iter().enumerate().map(|(at, samples)| (first + 4 * at as u32, *samples)).collect();
            let num_lanes = 4 * lanes.len() as u64;
            let turns = Turns::new(num_lanes, &lanes);
            let expected = by_definition(num_lanes, &lanes, 80);
            let mut seen = vec![0; lanes.len()];
            for (ticket, lane) in expected.into_iter().enumerate() {
                prop_assert_eq!(turns.at(ticket as u64), (lane, seen[lane]));
                seen[lane] += 1;
            }
        }
    }
}
