//! Weaves a schedule sample by sample: every source's count is what is due to it, rounded down or up.
//!
//! The `j`-th sample of a source may be given from the moment more than `j` are due to it until `j + 1` are:
//! exactly within these times no source is ever off by one. A schedule that keeps them all exists, since giving
//! each source its rate at every moment is one in fractions. Any choice keeps it possible that leaves `slack`
//! not negative: for each later time, the samples until then less those that must be given by then. So the
//! choice among the sources allowed is free, and goes to the one furthest behind, in its lane and in all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::level::LaneLeads;
use super::shares::MAX_SOURCES;
use super::timeline::Timeline;
use crate::error::{Error, Result};

/// When a sample may be given: at times `release..deadline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) release: u32,
    pub(super) deadline: u32,
}

/// The weaving of one timeline, at one moment of it.
pub(super) struct Weaver<'a> {
    timeline: &'a Timeline,
    time: u64,
    horizon: u64,
    /// Samples given by each source.
    counts: Vec<u64>,
    /// As many as each source may give up to the horizon.
    limits: Option<Vec<u64>>,
    /// When each source may give its next sample.
    next: Vec<Times>,
    /// What is due to each source and not given, in the timeline's fractions.
    leads: Vec<i64>,
    slack: Vec<u8>,
    /// Times without slack: whatever is given until the first of them must be due by then.
    tight: BinaryHeap<Reverse<u64>>,
}

impl<'a> Weaver<'a> {
    /// Begins at time 0, where the sources have given `counts` (each its due, rounded down or up), and looks
    /// ahead up to the horizon; with `limits` they give exactly so many until then.
    pub(super) fn try_new(
        timeline: &'a Timeline,
        counts: Vec<u64>,
        horizon: u64,
        limits: Option<Vec<u64>>,
    ) -> Result<Self> {
        let leads = (0..)
            .zip(&counts)
            .map(|(source, count)| timeline.due(source, 0) as i64 - (count * timeline.whole) as i64);
        let leads = leads.collect();
        let mut weaver = Self {
            timeline,
            time: 0,
            horizon,
            next: Vec::with_capacity(counts.len()),
            counts,
            limits,
            leads,
            slack: Vec::new(),
            tight: BinaryHeap::new(),
        };
        weaver.slack = weaver.slack_from_here()?;
        let tight = (1..=horizon).filter(|&time| weaver.slack[time as usize] == 0).map(Reverse).collect();
        weaver.tight = tight;
        weaver.next =
            (0..weaver.counts.len()).map(|source| weaver.times(source, weaver.counts[source])).collect();
        Ok(weaver)
    }

    /// How many samples are woven.
    pub(super) fn time(&self) -> u64 {
        self.time
    }

    /// What each source has given.
    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Weaves `len` samples, of which the first lies in `first_lane`, and evens out the lanes round by round.
    pub(super) fn weave(&mut self, len: u64, first_lane: u64, lanes: &mut LaneLeads) -> Result<Woven> {
        let mut woven = Woven::default();
        let mut round_start = 0;
        for index in 0..len {
            let lane = (first_lane + index) % lanes.num_lanes();
            let rates = self.timeline.rates(self.time);
            lanes.add(lane, rates);
            self.leads.iter_mut().zip(rates).for_each(|(lead, rate)| *lead += *rate as i64);
            let source = self.choose(lanes.of(lane))?;
            lanes.take(lane, source);
            woven.sources.push(source as u8);
            woven.times.push(self.next[source]);
            self.give(source);
            if lane + 1 == lanes.num_lanes() || index + 1 == len {
                let time = self.time - (index + 1);
                let first = (first_lane + round_start) % lanes.num_lanes();
                lanes.even_out(&mut woven, round_start as usize, time, first);
                round_start = index + 1;
            }
        }
        Ok(woven)
    }

    /// The source furthest behind, in its lane and in all, of those that may give the sample now.
    fn choose(&mut self, lane_leads: &[i64]) -> Result<usize> {
        while self.tight.peek().is_some_and(|first| first.0 <= self.time) {
            self.tight.pop();
        }
        let first_tight = self.tight.peek().map_or(u64::MAX, |first| first.0);
        let may_give = |source: &usize| {
            let Times { release, deadline } = self.next[*source];
            u64::from(release) <= self.time && u64::from(deadline) <= first_tight
        };
        let behind = |source: &usize| (lane_leads[*source] + self.leads[*source], Reverse(*source));
        (0..self.next.len())
            .filter(may_give)
            .max_by_key(behind)
            .ok_or_else(|| Error::Internal(format!("no source may give sample {} of a mix", self.time)))
    }

    fn give(&mut self, source: usize) {
        let deadline = u64::from(self.next[source].deadline).min(self.horizon + 1);
        let start = self.time + 1;
        if start < deadline {
            let early = &mut self.slack[start as usize..deadline as usize];
            // Nothing here is 0: the sample was due before the first time without slack.
            for slack in early.iter_mut() {
                *slack = slack.wrapping_sub(1);
            }
            let tight = (start..).zip(early).filter(|(_, slack)| **slack == 0);
            self.tight.extend(tight.map(|(time, _)| Reverse(time)));
        }
        self.counts[source] += 1;
        self.leads[source] -= self.timeline.whole as i64;
        self.next[source] = self.times(source, self.counts[source]);
        self.time += 1;
    }

    /// For each time up to the horizon, the samples until then less those that must be given by then.
    fn slack_from_here(&self) -> Result<Vec<u8>> {
        let mut due = vec![0_u32; self.horizon as usize + 1];
        for source in 0..self.counts.len() {
            for index in self.counts[source].. {
                let deadline = u64::from(self.times(source, index).deadline);
                if deadline > self.horizon {
                    break;
                }
                due[deadline as usize] += 1;
            }
        }
        let mut sum = 0;
        let slack = (0_u64..).zip(due).map(|(time, due)| {
            sum += u64::from(due);
            time.checked_sub(sum).and_then(|slack| u8::try_from(slack).ok())
        });
        slack.collect::<Option<_>>().ok_or_else(|| {
            Error::Internal("a mix cannot go on from these counts with these weights".to_owned())
        })
    }

    /// When a source may give the sample with this index.
    fn times(&self, source: usize, index: u64) -> Times {
        const NEVER: u32 = u32::MAX;
        let limit = self.limits.as_ref().map(|limits| limits[source]);
        if limit.is_some_and(|limit| index >= limit) {
            return Times { release: NEVER, deadline: NEVER };
        }
        let whole = self.timeline.whole;
        // The sample at a time counts at the next: one that is due only then may be given already.
        let release = self.timeline.reaches(source, index * whole + 1);
        let deadline = self.timeline.reaches(source, (index + 1) * whole);
        let deadline = if limit.is_some() {
            Some(deadline.map_or(self.horizon, |time| time.min(self.horizon)))
        } else {
            deadline
        };
        let clip = |time: Option<u64>| time.map_or(NEVER, |time| time.min(u64::from(NEVER)) as u32);
        Times {
            release: release.map_or(NEVER, |time| clip(Some(time.saturating_sub(1)))),
            deadline: clip(deadline),
        }
    }
}

/// A piece of a schedule: the source of each sample, and when it might have come instead.
#[derive(Debug, Default)]
pub(super) struct Woven {
    pub(super) sources: Vec<u8>,
    pub(super) times: Vec<Times>,
}

impl Woven {
    /// The places that a sample may change with, going away from its own through `others`; place 0 lies at `time`.
    ///
    /// The samples of both sources in between move up by one, so each of these needs to fit as well.
    pub(super) fn partners(
        &self,
        place: usize,
        others: impl Iterator<Item = usize>,
        time: u64,
    ) -> impl Iterator<Item = usize> {
        let fits = move |from: usize, to: usize| {
            let Times { release, deadline } = self.times[from];
            (u64::from(release)..u64::from(deadline)).contains(&(time + to as u64))
        };
        let source = usize::from(self.sources[place]);
        // Where the last sample of each source was, and none where one did not fit.
        let mut last = [Some(place); MAX_SOURCES];
        others
            .map_while(move |other| {
                last[source].filter(|&own| fits(own, other))?;
                let found = usize::from(self.sources[other]);
                let is_partner = found != source && last[found].is_some_and(|last| fits(other, last));
                last[found] = (found == source || is_partner).then_some(other);
                Some(is_partner.then_some(other))
            })
            .flatten()
    }

    /// Changes two places of which one is a partner of the other.
    pub(super) fn swap(&mut self, one: usize, other: usize) {
        let (first, second) = (one.min(other), one.max(other));
        self.pass_on(first, first + 1..second);
        self.pass_on(second, (first + 1..second).rev());
        self.times.swap(first, second);
        self.sources.swap(first, second);
    }

    /// Moves the times of a sample's source up by one, so that those that come first stay with the first.
    fn pass_on(&mut self, from: usize, between: impl Iterator<Item = usize>) {
        let mut carried = self.times[from];
        for place in between {
            if self.sources[place] == self.sources[from] {
                std::mem::swap(&mut carried, &mut self.times[place]);
            }
        }
        self.times[from] = carried;
    }
}
