//! Evens out the lanes: samples change places where the times allow it, so that each lane has its share too.

use std::ops::RangeInclusive;

use super::weaver::Woven;
use crate::order::{Key, Stream};

/// How far apart samples may lie that change places.
const REACH: usize = 64;

/// How often a round is gone through at most; nearly always nothing changes any more before.
const MAX_SWEEPS: usize = 4;

/// How often a period is gone through at most to give every lane its exact share.
const WALKS: RangeInclusive<usize> = 64..=2048;

/// And how many places that may be in all.
const MAX_STEPS: usize = 1 << 24;

/// One step in `2^FIRST_RARITY` may make things worse at first, and fewer and fewer later.
const FIRST_RARITY: usize = 4;

/// How far apart samples may lie that change places then.
const FAR_REACH: usize = 256;

/// What is due to each source in each lane and not given there, in the timeline's fractions.
#[derive(Clone)]
pub(super) struct LaneLeads {
    num_sources: usize,
    whole: i64,
    leads: Vec<i64>,
}

impl LaneLeads {
    /// Lanes that begin up to half a sample ahead or behind, as the key says: this is what a seed changes.
    pub(super) fn new(num_lanes: u64, num_sources: usize, whole: u64, key: Key) -> Self {
        let mut stream = key.stream();
        let mut lead = || stream.draw_below(whole) as i64 - whole as i64 / 2;
        let leads = (0..num_lanes as usize * num_sources).map(|_| lead()).collect();
        Self { num_sources, whole: whole as i64, leads }
    }

    pub(super) fn num_lanes(&self) -> u64 {
        (self.leads.len() / self.num_sources) as u64
    }

    pub(super) fn of(&self, lane: u64) -> &[i64] {
        &self.leads[lane as usize * self.num_sources..][..self.num_sources]
    }

    /// A sample of the lane makes these due.
    pub(super) fn add(&mut self, lane: u64, rates: &[u64]) {
        let leads = &mut self.leads[lane as usize * self.num_sources..][..self.num_sources];
        leads.iter_mut().zip(rates).for_each(|(lead, rate)| *lead += *rate as i64);
    }

    /// A sample of the lane is given by a source.
    pub(super) fn take(&mut self, lane: u64, source: usize) {
        self.leads[lane as usize * self.num_sources + source] -= self.whole;
    }

    /// Lets samples of one round change lanes while that brings these nearer to their dues. The round begins at
    /// `start` of what is woven, in lane `first_lane`; place 0 of it lies at `time`.
    pub(super) fn even_out(&mut self, woven: &mut Woven, start: usize, time: u64, first_lane: u64) {
        let end = woven.sources.len();
        let lane = |place: usize| first_lane as usize + place - start;
        for _ in 0..MAX_SWEEPS {
            let mut is_done = true;
            for first in start..end {
                let others = first + 1..end.min(first + REACH);
                let is_better =
                    |&second: &usize| self.gain(woven, [first, second], [first, second].map(lane)) > 0;
                let found = woven.partners(first, others, time).find(is_better);
                if let Some(second) = found {
                    self.swap(woven, [first, second], [first, second].map(lane));
                    is_done = false;
                }
            }
            if is_done {
                break;
            }
        }
    }

    /// By how much the sum of the squares falls when two samples change lanes, in `2 * whole`.
    fn gain(&self, woven: &Woven, places: [usize; 2], lanes: [usize; 2]) -> i64 {
        let [a, b, c, d] = self.slots(woven, places, lanes).map(|slot| self.leads[slot]);
        b + c - a - d - 2 * self.whole
    }

    fn swap(&mut self, woven: &mut Woven, places: [usize; 2], lanes: [usize; 2]) {
        for (slot, sign) in self.slots(woven, places, lanes).into_iter().zip([1, -1, -1, 1]) {
            self.leads[slot] += sign * self.whole;
        }
        woven.swap(places[0], places[1]);
    }

    /// Both sources in the first lane, then both in the second.
    fn slots(&self, woven: &Woven, places: [usize; 2], lanes: [usize; 2]) -> [usize; 4] {
        let [one, other] = places.map(|place| usize::from(woven.sources[place]));
        let [first, second] = lanes.map(|lane| lane * self.num_sources);
        [first + one, first + other, second + one, second + other]
    }
}

/// Lets samples of a whole period change places until each class of places that are the same modulo
/// `num_classes` has its exact share, so that lanes drift apart over no number of periods. Whether it got there.
pub(super) fn close(woven: &mut Woven, num_classes: usize, shares: &[u64], key: Key) -> bool {
    let mut classes = Classes::new(woven, num_classes, shares, key);
    let mut is_forward = false;
    let walks = (MAX_STEPS / woven.sources.len()).clamp(*WALKS.start(), *WALKS.end());
    for walk in 0..walks {
        if classes.are_even() {
            return true;
        }
        for step in 0..woven.sources.len() {
            let place = if is_forward { step } else { woven.sources.len() - 1 - step };
            classes.relieve(woven, place, FIRST_RARITY + 8 * walk / walks);
        }
        is_forward = !is_forward;
    }
    classes.are_even()
}

/// The classes of places, and the walk by which what one has too much of comes to one that lacks it.
struct Classes {
    count: usize,
    leads: LaneLeads,
    stream: Stream,
}

impl Classes {
    /// Leads are counted in `1 / num_classes` of a sample, so that a share is an integer.
    fn new(woven: &Woven, num_classes: usize, shares: &[u64], key: Key) -> Self {
        let leads = (0..num_classes).flat_map(|_| shares.iter().map(|&share| share as i64)).collect();
        let mut leads = LaneLeads { num_sources: shares.len(), whole: num_classes as i64, leads };
        for (place, &source) in woven.sources.iter().enumerate() {
            leads.take((place % num_classes) as u64, usize::from(source));
        }
        Self { count: num_classes, leads, stream: key.stream() }
    }

    fn are_even(&self) -> bool {
        self.leads.leads.iter().all(|&lead| lead == 0)
    }

    /// Moves a sample that its class has too much of to a class where that makes nothing worse: without the
    /// steps that make nothing better either, lanes far apart would never meet.
    fn relieve(&mut self, woven: &mut Woven, place: usize, rarity: usize) {
        let class = place % self.count;
        if self.leads.of(class as u64)[usize::from(woven.sources[place])] >= 0 {
            return;
        }
        let ahead = place + 1..woven.sources.len().min(place + FAR_REACH);
        let back = place.saturating_sub(FAR_REACH)..place;
        let classes = |other: usize| [place, other].map(|place| place % self.count);
        let gain = |other: usize| self.leads.gain(woven, [place, other], classes(other));
        let salt = self.stream.draw();
        // Which of several equally good ones is chance, so that a walk does not go to and fro.
        let key = |other: &usize| (gain(*other), (*other as u64 ^ salt).wrapping_mul(salt | 1));
        let found = if salt >> 63 == 0 {
            woven.partners(place, ahead, 0).max_by_key(key)
        } else {
            woven.partners(place, back.rev(), 0).max_by_key(key)
        };
        // Where three sources are in each other's way only a step back lets them pass.
        let least = if self.stream.draw() >> (64 - rarity) == 0 { -2 * self.leads.whole } else { 0 };
        if let Some(other) = found.filter(|&other| gain(other) >= least) {
            self.leads.swap(woven, [place, other], classes(other));
        }
    }
}
