//! Which samples each rank takes of a pass whose lanes are known to their ends.
//!
//! The job's samples stand in one order: sample k of lane l before sample k of lane l + 1, lanes that have ended left
//! out. A step of all ranks together holds the next ranks x batch size of them, whatever the number of ranks. A rank
//! takes those of its own lanes first; what they have too much in a step goes to the ranks whose lanes have too
//! little. So nobody reads another rank's lane before the first lane has ended.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// What all ranks know before the first step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deal {
    /// Ranks of the job.
    pub num_ranks: u32,
    /// This one; it owns the lanes of that remainder.
    pub rank: u32,
    /// Of each lane of the job the number of its first sample of the pass, and of the one after its last.
    pub ranges: Vec<(u64, u64)>,
    /// Samples of all ranks that were taken before, of these.
    pub position: u64,
}

impl Deal {
    /// The same behind so many more steps of all ranks.
    #[must_use]
    pub fn after(self, num_steps: u64, batch_size: usize) -> Self {
        let samples = num_steps.saturating_mul(u64::from(self.num_ranks)).saturating_mul(batch_size as u64);
        Self { position: self.position.saturating_add(samples), ..self }
    }

    /// How many samples the ranks before this one lack together in the last step, which not all can fill.
    pub fn lacking_before(&self, batch_size: usize) -> u64 {
        let num_ranks = self.num_ranks as usize;
        let left = left_at(&self.ranges, self.position).into_iter();
        let num_left: u64 = left.map(|(first, stop)| stop.saturating_sub(first)).sum();
        let num_whole = num_left / (num_ranks * batch_size) as u64;
        let last = Steps::new(&self.clone().after(num_whole, batch_size)).next_step(num_ranks, batch_size);
        let lacking = |rank: &RankStep| batch_size - rank.kept.len() - rank.taken.len();
        last[..self.rank as usize].iter().map(|rank| lacking(rank) as u64).sum()
    }
}

/// A sample: its lane, and its number there.
pub type Sample = (u32, u64);

/// What one rank does in a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RankStep {
    /// Samples of its own lanes that it takes.
    pub kept: Vec<Sample>,
    /// Samples of its own lanes that other ranks take.
    pub given: Vec<Sample>,
    /// Samples of other ranks' lanes that it takes.
    pub taken: Vec<Sample>,
}

/// Steps of all ranks, one after the other.
#[derive(Debug, Clone)]
pub struct Steps {
    ranges: Vec<(u64, u64)>,
    /// The number in their lanes of the samples that come next, and the lanes that have one; the next of these.
    round: u64,
    active: Vec<u32>,
    at: usize,
    /// The round from which on other lanes have one.
    until: Option<u64>,
}

impl Steps {
    /// The steps from a position on.
    pub fn new(deal: &Deal) -> Self {
        let ranges = left_at(&deal.ranges, deal.position);
        let round = ranges.iter().filter(|(first, stop)| first < stop).map(|(first, _)| *first).min();
        let mut steps = Self { ranges, round: round.unwrap_or(0), active: Vec::new(), at: 0, until: None };
        steps.look();
        steps
    }

    /// What each rank does in the next step; in the last one ranks may have less than the others, or nothing.
    pub fn next_step(&mut self, num_ranks: usize, batch_size: usize) -> Vec<RankStep> {
        let mut ranks = vec![RankStep::default(); num_ranks];
        let mut surplus = Vec::new();
        for (lane, number) in self.by_ref().take(num_ranks * batch_size) {
            let owner = &mut ranks[lane as usize % num_ranks];
            if owner.kept.len() < batch_size {
                owner.kept.push((lane, number));
            } else {
                owner.given.push((lane, number));
                surplus.push((lane, number));
            }
        }
        let mut surplus = surplus.into_iter();
        for rank in &mut ranks {
            rank.taken.extend(surplus.by_ref().take(batch_size - rank.kept.len()));
        }
        ranks
    }

    /// Which lanes have a sample in this round, and until when.
    fn look(&mut self) {
        let (lanes, round) = ((0..).zip(&self.ranges), self.round);
        let has_one = |range: &(u64, u64)| range.0 <= round && round < range.1;
        self.active = lanes.filter(|(_, range)| has_one(range)).map(|(lane, _)| lane).collect();
        let ranges = self.ranges.iter().filter(|(first, stop)| first < stop);
        self.until = ranges.flat_map(|(first, stop)| [*first, *stop]).filter(|turn| *turn > round).min();
        self.at = 0;
    }
}

impl Iterator for Steps {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        while self.at == self.active.len() {
            let until = self.until?;
            self.round = if self.active.is_empty() { until } else { self.round + 1 };
            if self.round == until {
                self.look();
            }
            self.at = 0;
        }
        self.at += 1;
        Some((self.active[self.at - 1], self.round))
    }
}

/// What is left of each lane behind so many samples of all together.
pub fn left_at(ranges: &[(u64, u64)], position: u64) -> Vec<(u64, u64)> {
    let before = |round: u64| -> u64 {
        ranges.iter().map(|(first, stop)| (*stop).min(round).saturating_sub(*first)).sum()
    };
    // The last round before which no more than that comes.
    let (mut low, mut high) = (0, ranges.iter().map(|(_, stop)| *stop).max().unwrap_or(0));
    while low < high {
        let middle = u64::midpoint(low, high + 1);
        if before(middle) <= position {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    let mut of_round = position.saturating_sub(before(low));
    let begin = |&(first, stop): &(u64, u64)| {
        let takes = first <= low && low < stop && of_round > 0;
        of_round -= u64::from(takes);
        (low.clamp(first, stop.max(first)) + u64::from(takes), stop)
    };
    ranges.iter().map(begin).collect()
}

/// What is done with a lane in its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Its sample of this number is handed out.
    Sample(u64),
    /// It goes past that one, which another rank hands out.
    Past(u64),
    /// It has no more.
    End,
}

/// A turn: which slot's, how many it had before, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub slot: usize,
    pub before: u64,
    pub want: Want,
}

/// One rank's turns, step by step; jobs on several threads ask in about this order.
///
/// Slots are the rank's own lanes, and behind them all lanes of the job, where it reads those of others.
pub(super) struct Dealer {
    deal: Deal,
    batch_size: usize,
    state: Mutex<Dealt>,
}

struct Dealt {
    steps: Steps,
    next: u64,
    /// Turns that each slot had.
    turns: Vec<u64>,
    /// Steps that were worked out on the way to a later one.
    ready: BTreeMap<u64, Vec<Ticket>>,
}

impl Dealer {
    /// Nothing is dealt yet.
    pub fn new(deal: Deal, batch_size: usize) -> Self {
        let steps = Steps::new(&deal);
        let num_lanes = deal.ranges.len();
        let turns = vec![0; num_lanes / deal.num_ranks as usize + num_lanes];
        let state = Dealt { steps, next: 0, turns, ready: BTreeMap::new() };
        Self { deal, batch_size, state: Mutex::new(state) }
    }

    /// The turns of a step, counted from the position on; each step is asked for once.
    pub fn step(&self, number: u64) -> Vec<Ticket> {
        let mut state = self.state.lock();
        while state.next <= number {
            let tickets = self.tickets(&mut state);
            let next = state.next;
            state.ready.insert(next, tickets);
            state.next += 1;
        }
        state.ready.remove(&number).unwrap_or_default()
    }

    fn tickets(&self, state: &mut Dealt) -> Vec<Ticket> {
        let (num_ranks, rank) = (self.deal.num_ranks as usize, self.deal.rank as usize);
        let own_lanes = self.deal.ranges.len() / num_ranks;
        let mut wants = Vec::new();
        if state.next == 0 {
            let over = (rank..self.deal.ranges.len()).step_by(num_ranks).enumerate();
            let is_over = |lane: usize| state.steps.ranges[lane].0 >= state.steps.ranges[lane].1;
            wants.extend(over.filter(|(_, lane)| is_over(*lane)).map(|(slot, _)| (slot, Want::End)));
        }
        let RankStep { kept, given, taken } =
            state.steps.next_step(num_ranks, self.batch_size).swap_remove(rank);
        let own = kept.into_iter().map(|sample| (sample, Want::Sample(sample.1)));
        for ((lane, number), want) in
            own.chain(given.into_iter().map(|sample| (sample, Want::Past(sample.1))))
        {
            let slot = lane as usize / num_ranks;
            wants.push((slot, want));
            if number + 1 == self.deal.ranges[lane as usize].1 {
                wants.push((slot, Want::End));
            }
        }
        wants.extend(
            taken.into_iter().map(|(lane, number)| (own_lanes + lane as usize, Want::Sample(number))),
        );
        let ticket = |(slot, want): (usize, Want)| {
            state.turns[slot] += 1;
            Ticket { slot, before: state.turns[slot] - 1, want }
        };
        wants.into_iter().map(ticket).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_ranks_lack_in_the_last_step_is_counted_rank_by_rank() {
        // Of 11 samples the last step of 3 ranks with 3 places each has 2, both of lanes of rank 0.
        let deal = |rank| Deal { num_ranks: 3, rank, ranges: vec![(0, 5), (0, 3), (0, 3)], position: 0 };
        assert_eq!([0, 1, 2].map(|rank| deal(rank).lacking_before(3)), [0, 1, 4]);
        assert_eq!([0, 1, 2].map(|rank| deal(rank).after(1, 3).lacking_before(3)), [0, 1, 4]);
    }

    /// All samples in their order, as the definition says it.
    fn in_order(ranges: &[(u64, u64)]) -> Vec<Sample> {
        let mut all: Vec<_> = (0..)
            .zip(ranges)
            .flat_map(|(lane, &(first, stop))| (first..stop).map(move |number| (number, lane)))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(number, lane)| (lane, number)).collect()
    }

    fn ranges() -> impl Strategy<Value = Vec<(u64, u64)>> {
        proptest::collection::vec((0_u64..5, 0_u64..9).prop_map(|(first, len)| (first, first + len)), 12)
    }

    proptest! {
        #[test]
        fn a_step_holds_the_next_samples_whatever_the_number_of_ranks(
            ranges in ranges(),
            num_ranks in prop_oneof![Just(1_usize), Just(2), Just(3), Just(4), Just(6), Just(12)],
            batch_size in 1_usize..6,
            position in 0_usize..70,
        ) {
            let all = in_order(&ranges);
            let deal = Deal { num_ranks: num_ranks as u32, rank: 0, ranges, position: position as u64 };
            let mut steps = Steps::new(&deal);
            for expected in all[position.min(all.len())..].chunks(num_ranks * batch_size) {
                let ranks = steps.next_step(num_ranks, batch_size);
                let mut given: Vec<_> = ranks.iter().flat_map(|rank| rank.given.clone()).collect();
                let mut taken: Vec<_> = ranks.iter().flat_map(|rank| rank.taken.clone()).collect();
                given.sort_unstable();
                taken.sort_unstable();
                prop_assert_eq!(given, taken);
                let mut found = Vec::new();
                for (at, rank) in ranks.iter().enumerate() {
                    let number = rank.kept.len() + rank.taken.len();
                    prop_assert!(number <= batch_size);
                    prop_assert!(number == batch_size || expected.len() < num_ranks * batch_size);
                    prop_assert!(rank.kept.iter().all(|(lane, _)| *lane as usize % num_ranks == at));
                    prop_assert!(rank.taken.is_empty() || rank.given.is_empty());
                    found.extend(rank.kept.iter().chain(&rank.taken).map(|(lane, number)| (*number, *lane)));
                }
                found.sort_unstable();
                let expected: Vec<_> = expected.iter().map(|(lane, number)| (*number, *lane)).collect();
                prop_assert_eq!(found, expected);
            }
            prop_assert!(steps.next_step(num_ranks, batch_size).iter().all(|rank| *rank == RankStep::default()));
        }

        #[test]
        fn nobody_reads_another_ranks_lane_while_all_lanes_go_on(
            len in 1_u64..9, more in proptest::collection::vec(0_u64..4, 12), batch_size in 1_usize..5,
        ) {
            let ranges: Vec<_> = more.iter().map(|more| (0, len + more)).collect();
            let deal = Deal { num_ranks: 3, rank: 0, ranges, position: 0 };
            let mut steps = Steps::new(&deal);
            for _ in 0..(12 * len) as usize / (3 * batch_size) {
                let ranks = steps.next_step(3, batch_size);
                prop_assert!(ranks.iter().all(|rank| rank.given.is_empty() && rank.taken.is_empty()));
            }
        }

        #[test]
        fn a_rank_goes_past_every_sample_of_its_lanes_once_and_ends_each(
            ranges in ranges(), rank in 0_u32..3, batch_size in 1_usize..5, jobs in Just(vec![1_u64, 0, 3, 2]),
        ) {
            let deal = Deal { num_ranks: 3, rank, ranges: ranges.clone(), position: 0 };
            let dealer = Dealer::new(deal, batch_size);
            // Threads ask for steps in about their order.
            let mut asked: Vec<_> = (0..30).flat_map(|turn| jobs.iter().map(move |job| turn * 4 + job))
                .map(|step| (step, dealer.step(step))).collect();
            asked.sort_by_key(|(step, _)| *step);
            let mut seen: Vec<Vec<Want>> = vec![Vec::new(); 4 + 12];
            for ticket in asked.into_iter().flat_map(|(_, tickets)| tickets) {
                prop_assert_eq!(ticket.before, seen[ticket.slot].len() as u64);
                seen[ticket.slot].push(ticket.want);
            }
            for (slot, seen) in seen[..4].iter().enumerate() {
                let (first, stop) = ranges[slot * 3 + rank as usize];
                let numbers: Vec<_> = seen.iter().filter_map(|want| match want {
                    Want::Sample(number) | Want::Past(number) => Some(*number),
                    Want::End => None,
                }).collect();
                prop_assert_eq!(numbers, (first..stop).collect::<Vec<_>>());
                prop_assert_eq!(seen.iter().filter(|want| **want == Want::End).count(), 1);
                prop_assert_eq!(seen.last(), Some(&Want::End));
            }
        }
    }
}
