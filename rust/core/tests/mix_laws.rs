//! The mix law: no source is ever off its due by one, counts have exact inverses, and lanes keep to the shares.

use proptest::prelude::*;
use rowmill_core::mix::{Schedule, Shares, Step};

fn weights() -> impl Strategy<Value = Vec<f64>> {
    let decimal = (0..100_u32).prop_map(|hundredths| f64::from(hundredths) / 100.0);
    let any = prop_oneof![4 => decimal, 1 => Just(0.0), 1 => Just(1e-3)];
    let weights = prop_oneof![
        6 => prop::collection::vec(any, 1..8),
        1 => (1..=64_usize).prop_map(|sources| vec![1.0; sources]),
        1 => prop::collection::vec(1..100_u32, 1..=64).prop_map(|parts| parts.into_iter().map(f64::from).collect()),
        1 => Just(vec![0.999_999, 1e-6]),
        1 => (2..=64_usize).prop_map(|sources| (0..sources).map(|source| if source == 0 { 1e4 } else { 1.0 }).collect()),
    ];
    weights.prop_filter("some source", |weights: &Vec<f64>| weights.iter().any(|&weight| weight > 0.0))
}

fn num_lanes() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(64_u32), 1 => Just(1), 1 => Just(12), 2 => 1..100_u32]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_source_is_ever_off_its_due_by_one(weights in weights(), num_lanes in num_lanes(), seed: u64) {
        let shares = Shares::try_new(&weights).unwrap();
        let schedule = Schedule::try_new(&weights, num_lanes, seed).unwrap();
        let whole = u64::from(shares.whole());
        let mut counts = vec![0_u64; weights.len()];
        for position in 0..20_000 {
            for (count, &part) in counts.iter().zip(shares.parts()) {
                let due = position * u64::from(part);
                prop_assert!((due / whole..=due.div_ceil(whole)).contains(count), "{counts:?} at {position}");
            }
            counts[schedule.source_of(position)] += 1;
        }
        prop_assert_eq!(schedule.counts(20_000), counts);
    }

    #[test]
    fn counts_are_those_of_a_walk_and_have_inverses(
        weights in weights(), num_lanes in num_lanes(), seed: u64, start in prop_oneof![Just(0), 0..1_u64 << 40],
    ) {
        let schedule = Schedule::try_new(&weights, num_lanes, seed).unwrap();
        let start = start / u64::from(num_lanes) * u64::from(num_lanes);
        let mut counts = schedule.counts(start);
        let first = start / u64::from(num_lanes);
        let of_lane = |lane, element| {
            (0..weights.len()).map(|source| schedule.lane_count_before(source, lane, element)).collect::<Vec<_>>()
        };
        let mut lanes: Vec<Vec<u64>> = (0..num_lanes).map(|lane| of_lane(lane, first)).collect();
        prop_assert_eq!(lanes.iter().flatten().sum::<u64>(), start);
        for position in start..start + 3_000 {
            let source = schedule.source_of(position);
            let (lane, element) = (position % u64::from(num_lanes), position / u64::from(num_lanes));
            prop_assert_eq!(schedule.source_in_lane(lane as u32, element), source);
            let index = counts[source];
            prop_assert_eq!(schedule.count_before(source, position), index);
            prop_assert_eq!(schedule.position_of(source, index), Some(position));
            let index = lanes[lane as usize][source];
            prop_assert_eq!(schedule.lane_count_before(source, lane as u32, element), index);
            prop_assert_eq!(schedule.lane_element_of(source, lane as u32, index), Some(element));
            counts[source] += 1;
            lanes[lane as usize][source] += 1;
        }
        for (source, &weight) in weights.iter().enumerate() {
            prop_assert_eq!(weight > 0.0, schedule.position_of(source, 0).is_some());
        }
    }

    #[test]
    fn weights_that_change_keep_every_source_within_one_of_what_adds_up(steps in steps(), num_lanes in num_lanes(), seed: u64) {
        let schedule = Schedule::with_steps(&steps, num_lanes, seed).unwrap();
        let end = steps.last().unwrap().start + 10_000;
        let mut walk = Walk::new(&schedule);
        let mut due = vec![0.0_f64; walk.counts.len()];
        let mut shares = schedule.shares().iter().peekable();
        let mut current: Vec<f64> = vec![];
        for position in 0..end {
            if let Some((_, changed)) = shares.next_if(|(start, _)| *start == position) {
                current = changed.parts().iter().map(|&part| f64::from(part) / f64::from(changed.whole())).collect();
            }
            walk.step();
            for (source, due) in due.iter_mut().enumerate() {
                *due += current[source];
                let off = walk.counts[source] as f64 - *due;
                prop_assert!(off.abs() < 1.0 + 1e-6, "{off} at {position} of source {source}");
            }
        }
        prop_assert!(shares.next().is_none());
    }

    #[test]
    fn a_remix_goes_on_from_the_counts(
        first in steps(), second in prop::collection::vec(0..20_u32, 4..6), position in 0..30_000_u64,
        num_lanes in num_lanes(), seed: u64,
    ) {
        let before = Schedule::with_steps(&first, num_lanes, seed).unwrap();
        let weights: Vec<f64> = second.iter().map(|&weight| f64::from(weight) + 0.5).collect();
        let after = before.remix(position, &[Step::constant(0, &weights)]).unwrap();
        let mut walk = Walk::new(&after);
        for at in 0..position + 3_000 {
            let source = walk.step();
            if at < position {
                prop_assert_eq!(source, before.source_of(at));
            }
        }
        let mut counts = before.counts(position);
        counts.resize(weights.len(), 0);
        for (source, weight) in weights.iter().enumerate() {
            let due = 3_000.0 * weight / weights.iter().sum::<f64>();
            prop_assert!(((walk.counts[source] - counts[source]) as f64 - due).abs() < 1.0 + 1e-6);
        }
        let again = Schedule::with_history(after.history(), num_lanes, seed).unwrap();
        prop_assert_eq!(again.fingerprint(), after.fingerprint());
        prop_assert_eq!(again.counts(1 << 40), after.counts(1 << 40));
        prop_assert!(again.fingerprint() != before.fingerprint());
    }
}

/// Steps and ramps of one to four sources, close together and far apart.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let gap = prop_oneof![1..30_u64, 100..2_000_u64, 5_000..20_000_u64];
    let step = (gap, prop::collection::vec(0..10_u32, 4), any::<bool>());
    (1..=4_usize, prop::collection::vec(step, 1..5)).prop_map(|(num_sources, steps)| {
        let (mut start, last) = (0, steps.len() - 1);
        let step = |(index, (gap, tenths, is_ramp)): (usize, (u64, Vec<u32>, bool))| {
            let mut weights: Vec<f64> =
                tenths[..num_sources].iter().map(|&tenth| f64::from(tenth) / 10.0).collect();
            weights[index % num_sources] += 0.1;
            let step = Step { start, weights, is_ramp: is_ramp && index < last };
            start += gap;
            step
        };
        steps.into_iter().enumerate().map(step).collect()
    })
}

/// Goes through a schedule sample by sample and holds every count and inverse against what it saw.
struct Walk<'a> {
    schedule: &'a Schedule,
    position: u64,
    counts: Vec<u64>,
    lanes: Vec<Vec<u64>>,
}

impl<'a> Walk<'a> {
    fn new(schedule: &'a Schedule) -> Self {
        let counts = vec![0; schedule.num_sources()];
        Self { schedule, position: 0, lanes: vec![counts.clone(); schedule.num_lanes() as usize], counts }
    }

    fn step(&mut self) -> usize {
        let num_lanes = u64::from(self.schedule.num_lanes());
        let (lane, element) = ((self.position % num_lanes) as u32, self.position / num_lanes);
        let source = self.schedule.source_of(self.position);
        let in_lane = &mut self.lanes[lane as usize];
        assert_eq!(self.schedule.count_before(source, self.position), self.counts[source]);
        assert_eq!(self.schedule.position_of(source, self.counts[source]), Some(self.position));
        for (source, &count) in in_lane.iter().enumerate() {
            assert_eq!(self.schedule.lane_count_before(source, lane, element), count);
        }
        assert_eq!(self.schedule.lane_element_of(source, lane, in_lane[source]), Some(element));
        in_lane[source] += 1;
        self.counts[source] += 1;
        self.position += 1;
        source
    }
}

/// Far out as well as near the start: what a lane has does not drift away from its share.
#[test]
fn every_lane_keeps_to_the_shares() {
    let halves = vec![1.0, 1.0];
    let many: Vec<f64> = (1..=20).map(f64::from).collect();
    let cases = [
        (64, vec![0.8, 0.2], 3.0),
        (64, halves.clone(), 1.0),
        (64, vec![0.75, 0.25], 1.0),
        (12, vec![0.7, 0.2, 0.1], 3.0),
        (56, vec![26.0, 1.0], 2.0),
        (64, vec![0.9, 0.05, 0.05], 4.0),
        (64, vec![0.5, 0.3, 0.11, 0.05, 0.03, 0.01], 6.0),
        (64, vec![1.0; 64], 2.0),
        (64, many, 8.0),
        (64, vec![0.333, 0.333, 0.334], 4.0),
        (66, vec![0.7, 0.2, 0.1], 5.0),
        (768, halves, 1.0),
        (768, vec![0.55, 0.45], 5.0),
        (64, vec![123_456_789.0, 4_567_890.0], 8.0),
    ];
    for (num_lanes, weights, bound) in cases {
        let schedule = Schedule::try_new(&weights, num_lanes, 1).unwrap();
        let (_, shares) = &schedule.shares()[0];
        let share = |source: usize| f64::from(shares.parts()[source]) / f64::from(shares.whole());
        for element in (0..2_000).step_by(7).chain([1_000_000, 1_000_000_000]) {
            for (lane, source) in
                (0..num_lanes).flat_map(|lane| (0..weights.len()).map(move |source| (lane, source)))
            {
                let count = schedule.lane_count_before(source, lane, element);
                let off = count as f64 - element as f64 * share(source);
                assert!(
                    off.abs() <= bound,
                    "lane {lane} of {num_lanes} is {off} off at {element} with {weights:?}"
                );
            }
        }
    }
}

#[test]
fn seeds_have_little_to_do_with_one_another() {
    for weights in [&[0.8, 0.2][..], &[0.5, 0.5], &[0.7, 0.2, 0.1]] {
        let sources = |seed| {
            let schedule = Schedule::try_new(weights, 64, seed).unwrap();
            (0..4_000).map(|position| schedule.source_of(position)).collect::<Vec<_>>()
        };
        let (one, other) = (sources(1), sources(2));
        assert_eq!(one, sources(1));
        let same = one.iter().zip(&other).filter(|(one, other)| one == other).count();
        let by_chance: f64 = weights.iter().map(|weight| weight * weight).sum();
        assert!((same as f64 / 4_000.0 - by_chance).abs() < 0.15, "{same} of 4000 with {weights:?}");
    }
}

#[test]
fn what_makes_no_schedule_is_refused() {
    let weights = [1.0, 1.0];
    assert!(Schedule::try_new(&weights, 0, 0).is_err());
    let constant = |start| Step::constant(start, &weights);
    let ramp = |start| Step { is_ramp: true, ..constant(start) };
    for steps in [vec![], vec![constant(5)], vec![constant(0), constant(9), constant(9)], vec![ramp(0)]] {
        assert!(Schedule::with_steps(&steps, 4, 0).is_err(), "{steps:?}");
    }
    assert!(Schedule::with_steps(&[constant(0), Step::constant(9, &[1.0])], 4, 0).is_err());
    let schedule = Schedule::try_new(&weights, 4, 0).unwrap();
    let changed = schedule.remix(100, &[constant(0)]).unwrap();
    assert!(schedule.remix(100, &[Step::constant(0, &[1.0])]).unwrap_err().to_string().contains("weight 0"));
    assert!(changed.remix(99, &[constant(0)]).is_err() && changed.remix(100, &[constant(0)]).is_ok());
    assert!(Schedule::with_history(&[], 4, 0).is_err());
    assert!(Schedule::with_history(&[(5, vec![constant(0)])], 4, 0).is_err());
}
