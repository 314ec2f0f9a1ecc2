//! Weaves the weights of a mix into patterns, each either passed through once or repeated.

use super::curve::{Piece, common_whole};
use super::level::{LaneLeads, close};
use super::pattern::Pattern;
use super::shares::{Shares, gcd};
use super::timeline::Timeline;
use super::weaver::{Weaver, Woven};
use crate::error::{Error, Result};
use crate::order::{Key, Level};

/// A longer period costs more than a few tenths of a second to weave.
const MAX_PERIOD: u64 = 1 << 20;

/// A shorter period is repeated, so that seeds have room to differ.
const MIN_PERIOD: u64 = 1 << 12;

/// How often weaving is tried until each lane has its exact share of a period.
const MAX_ATTEMPTS: u64 = 2;

/// What all patterns of a curve may have together.
const MAX_CURVE: u64 = 1 << 21;

/// What the shares of a curve are rounded to, one after the other, where it would have more.
const COARSE_WHOLES: [u32; 2] = [10_000, 1_000];

/// A pattern from one sample on, until the next one's.
pub(super) struct Cloth {
    pub(super) start: u64,
    pub(super) pattern: Pattern,
}

/// The patterns of pieces whose first starts at 0, and the pieces as they were taken.
pub(super) fn weave(
    pieces: Vec<Piece>,
    num_lanes: u64,
    seed: u64,
    era: u64,
) -> Result<(Vec<Cloth>, Vec<Piece>)> {
    if let [only] = &*pieces {
        let pattern = weave_period(&only.shares, num_lanes, seed, era)?;
        return Ok((vec![Cloth { start: 0, pattern }], pieces));
    }
    let coarse = COARSE_WHOLES.iter().map(|&whole| (rounded(&pieces, whole), 1));
    let plans = [(pieces.clone(), num_lanes), (pieces.clone(), 1)].into_iter().chain(coarse);
    let mut plans = plans.filter_map(|(pieces, turns)| Plan::try_new(pieces, turns));
    let plan = plans.find(|plan| plan.horizon() <= MAX_CURVE).ok_or_else(|| {
        Error::InvalidArgument(format!(
            "the schedule of weights has {} different shares, too many to tabulate; use fewer steps, or weights \
             with fewer digits",
            pieces.len()
        ))
    })?;
    Ok((plan.weave(num_lanes, Key::new(seed, era, Level::Mix, 0))?, plan.pieces))
}

fn rounded(pieces: &[Piece], whole: u32) -> Vec<Piece> {
    let round = |shares: &Shares| {
        let parts: Vec<u128> = shares.parts().iter().map(|&part| u128::from(part)).collect();
        Shares::nearest_over(&parts, whole)
    };
    pieces.iter().map(|piece| Piece { start: piece.start, shares: round(&piece.shares) }).collect()
}

/// One period from counts that are all exact to the next such.
fn weave_period(shares: &Shares, num_lanes: u64, seed: u64, era: u64) -> Result<Pattern> {
    let whole = u64::from(shares.whole());
    let rates: Vec<u64> = shares.parts().iter().map(|&part| u64::from(part)).collect();
    let timeline = Timeline::new(whole, vec![0; rates.len()], rates.clone());
    let mut attempt = 0;
    loop {
        let len =
            if attempt < MAX_ATTEMPTS { period(whole, num_lanes) } else { foreign_period(whole, num_lanes) };
        let counts: Vec<u64> = rates.iter().map(|rate| rate * (len / whole)).collect();
        let key = Key::new(seed, era, Level::Mix, attempt);
        let mut lanes = LaneLeads::new(num_lanes, rates.len(), whole, key);
        let mut woven =
            Weaver::try_new(&timeline, vec![0; rates.len()], len, None)?.weave(len, 0, &mut lanes)?;
        attempt += 1;
        let may_try = attempt < MAX_ATTEMPTS || (attempt == MAX_ATTEMPTS && gcd(whole, num_lanes) == 1);
        if close_lanes(&mut woven, num_lanes, &counts, key) || !may_try {
            return Ok(Pattern::new(woven.sources, rates.len(), num_lanes));
        }
    }
}

/// Gives each lane its exact share of the period, where it can have one; whether there is nothing left to try.
fn close_lanes(woven: &mut Woven, num_lanes: u64, counts: &[u64], key: Key) -> bool {
    let num_classes = gcd(woven.sources.len() as u64, num_lanes);
    let may_close = counts.iter().all(|count| count % num_classes == 0);
    num_classes == 1 || !may_close || close(woven, num_classes as usize, counts, key)
}

/// How many samples are tabulated: a multiple of the whole of which each lane can have its exact share, if that
/// is not too long.
fn period(whole: u64, num_lanes: u64) -> u64 {
    let of_all_lanes = whole * num_lanes;
    if of_all_lanes <= MAX_PERIOD {
        return of_all_lanes * MIN_PERIOD.div_ceil(of_all_lanes);
    }
    let mut foreign = num_lanes;
    while gcd(foreign, whole) > 1 {
        foreign /= gcd(foreign, whole);
    }
    let shared = num_lanes / foreign;
    whole * if whole * shared <= MAX_PERIOD { shared } else { MAX_PERIOD / whole }
}

/// A period that shares no factor with the number of lanes, of which every lane therefore meets every place; for
/// a whole that shares none.
fn foreign_period(whole: u64, num_lanes: u64) -> u64 {
    let mut turns = MIN_PERIOD.div_ceil(whole);
    while gcd(turns, num_lanes) > 1 {
        turns += 1;
    }
    whole * turns
}

/// How a curve is woven: each piece as its first period, that period repeated, and what is left.
///
/// A period that is left out changes every count by an integer, so the first periods and the rests, one after
/// the other, are a timeline with the same rounding, short enough to be woven with all that is to come in view.
/// The counts after the first period are such as may come in a repetition, and may go on as what follows
/// demands: a schedule that goes round between them exists.
struct Plan {
    pieces: Vec<Piece>,
    whole: u64,
    /// The period of each piece.
    periods: Vec<u64>,
    /// How often each piece's period is repeated after the first; the last one's for ever.
    repeats: Vec<u64>,
    /// What is left of each piece without these.
    lens: Vec<u64>,
}

impl Plan {
    fn try_new(pieces: Vec<Piece>, turns: u64) -> Option<Self> {
        let whole = common_whole(&pieces)?;
        let periods: Vec<u64> = pieces.iter().map(|piece| u64::from(piece.shares.whole()) * turns).collect();
        let (mut repeats, mut lens) = (Vec::new(), Vec::new());
        for (index, period) in periods.iter().enumerate() {
            let len = pieces.get(index + 1).map(|next| next.start - pieces[index].start);
            let repeat = len.map_or(0, |len| (len / period).saturating_sub(2));
            repeats.push(repeat);
            lens.push(len.map_or(2 * period, |len| len - repeat * period));
        }
        Some(Self { pieces, whole, periods, repeats, lens })
    }

    fn horizon(&self) -> u64 {
        self.lens.iter().sum()
    }

    fn rates(&self, index: usize) -> Vec<u64> {
        let shares = &self.pieces[index].shares;
        let each = self.whole / u64::from(shares.whole());
        shares.parts().iter().map(|&part| u64::from(part) * each).collect()
    }

    fn timeline(&self) -> Timeline {
        let mut timeline = Timeline::new(self.whole, vec![0; self.rates(0).len()], self.rates(0));
        let mut start = 0;
        for index in 1..self.pieces.len() {
            start += self.lens[index - 1];
            timeline.change(start, self.rates(index));
        }
        timeline
    }

    fn weave(&self, num_lanes: u64, key: Key) -> Result<Vec<Cloth>> {
        let timeline = self.timeline();
        let num_sources = self.rates(0).len();
        let mut weaver = Weaver::try_new(&timeline, vec![0; num_sources], self.horizon(), None)?;
        let mut lanes = LaneLeads::new(num_lanes, num_sources, self.whole, key);
        let mut cloths = Vec::new();
        // The sample that comes next, and what was woven before it since the last repetition.
        let (mut sample, mut once) = (0, Vec::new());
        let cut = |cloths: &mut Vec<Cloth>, once: &mut Vec<u8>, end: u64| {
            if !once.is_empty() {
                let start = end - once.len() as u64;
                let pattern = Pattern::new(std::mem::take(once), num_sources, num_lanes);
                cloths.push(Cloth { start, pattern });
            }
        };
        for index in 0..self.pieces.len() {
            let is_last = index + 1 == self.pieces.len();
            let mut left = self.lens[index];
            if is_last || self.repeats[index] > 0 {
                let period = self.periods[index];
                once.extend(weaver.weave(period, sample % num_lanes, &mut lanes)?.sources);
                sample += period;
                cut(&mut cloths, &mut once, sample);
                let pattern =
                    self.repetition(index, &timeline, &weaver, &mut lanes.clone(), sample % num_lanes, key)?;
                cloths.push(Cloth { start: sample, pattern });
                sample += period * self.repeats[index];
                left -= period;
            }
            if !is_last {
                once.extend(weaver.weave(left, sample % num_lanes, &mut lanes)?.sources);
                sample += left;
            }
        }
        Ok(cloths)
    }

    /// A period that ends as it begins: with the counts that the weaver has now.
    fn repetition(
        &self,
        index: usize,
        timeline: &Timeline,
        weaver: &Weaver,
        lanes: &mut LaneLeads,
        first_lane: u64,
        key: Key,
    ) -> Result<Pattern> {
        let (rates, period) = (self.rates(index), self.periods[index]);
        let due: Vec<u64> = (0..rates.len()).map(|source| timeline.due(source, weaver.time())).collect();
        let before: Vec<u64> = due.iter().map(|due| due / self.whole).collect();
        let counts: Vec<u64> =
            weaver.counts().iter().zip(&before).map(|(count, before)| count - before).collect();
        let turns = period / u64::from(self.pieces[index].shares.whole());
        let parts = self.pieces[index].shares.parts();
        let turn: Vec<u64> = parts.iter().map(|&part| u64::from(part) * turns).collect();
        let limits = counts.iter().zip(&turn).map(|(count, turn)| count + turn).collect();
        let due = due.iter().map(|due| due % self.whole).collect();
        let round = Timeline::new(self.whole, due, rates);
        let mut woven =
            Weaver::try_new(&round, counts, period, Some(limits))?.weave(period, first_lane, lanes)?;
        close_lanes(&mut woven, lanes.num_lanes(), &turn, key);
        Ok(Pattern::new(woven.sources, turn.len(), lanes.num_lanes()))
    }
}
