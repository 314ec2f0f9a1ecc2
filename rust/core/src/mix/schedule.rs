//! The schedule of a mix: which source gives which sample, how many it gave before, and where its next ones are.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::ALGORITHM_VERSION;
use super::curve::{self, Step};
use super::pattern::Pattern;
use super::shares::Shares;
use super::weave::weave;
use crate::error::{Error, Result};

/// Which source gives which sample of a mix over `num_lanes` lanes.
///
/// Sample `n` is element `n / num_lanes` of lane `n % num_lanes` of the mix, and the next one of the same lane
/// of the source that gives it. After any number of samples each source has given what is due to it by its
/// share, rounded down or up: no source is ever off by one, whatever the number of sources. In each lane the
/// sources keep to their shares as well, within a few samples; only where the shares have a whole that shares
/// factors with the number of lanes, and times it is above 2^20, may a lane drift by one in `2^20 / num_lanes`.
///
/// Weights may change by steps and ramps known from the start ([`Schedule::with_steps`]): what is due is then
/// what the shares add up to, and no source is off it by one anywhere, the borders included. And they may change
/// by a decision on the way ([`Schedule::remix`]): what is due counts from there.
///
/// ```
/// use rowmill_core::mix::Schedule;
///
/// let schedule = Schedule::try_new(&[0.8, 0.2], 64, 7)?;
/// assert_eq!(schedule.counts(1_000_000), [800_000, 200_000]);
/// let position = schedule.position_of(1, 199_999).unwrap();
/// assert_eq!((schedule.source_of(position), schedule.count_before(1, position)), (1, 199_999));
/// # Ok::<(), rowmill_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    num_sources: usize,
    num_lanes: u64,
    seed: u64,
    /// The sample from which on each entry's steps are counted, and these.
    history: Vec<(u64, Vec<Step>)>,
    /// The shares from one sample on, as they were taken.
    shares: Vec<(u64, Shares)>,
    /// One after the other; the last has no end.
    stretches: Vec<Stretch>,
}

/// A pattern from one sample on, and what was given before.
#[derive(Clone, Debug)]
struct Stretch {
    start: u64,
    counts: Vec<u64>,
    /// By lane and source; empty where nothing was given before.
    lane_counts: Vec<u64>,
    pattern: Arc<Pattern>,
}

impl Schedule {
    /// The schedule of constant weights: finite, not negative, not all zero; see [`Shares`] for what they are
    /// taken to be.
    pub fn try_new(weights: &[f64], num_lanes: u32, seed: u64) -> Result<Self> {
        Self::with_steps(&[Step::constant(0, weights)], num_lanes, seed)
    }

    /// The schedule of weights that change as these steps say.
    pub fn with_steps(steps: &[Step], num_lanes: u32, seed: u64) -> Result<Self> {
        if num_lanes == 0 {
            return Err(Error::InvalidArgument("a mix has at least one lane".to_owned()));
        }
        let num_lanes = u64::from(num_lanes);
        let mut schedule =
            Self { num_sources: 0, num_lanes, seed, history: vec![], shares: vec![], stretches: vec![] };
        schedule.append(0, steps)?;
        Ok(schedule)
    }

    /// The schedule of a history, as [`Schedule::history`] gives it.
    pub fn with_history(history: &[(u64, Vec<Step>)], num_lanes: u32, seed: u64) -> Result<Self> {
        let Some(((0, first), changes)) = history.split_first() else {
            return Err(Error::StateMismatch("a mix's history of weights begins at sample 0".to_owned()));
        };
        let mut schedule = Self::with_steps(first, num_lanes, seed)?;
        for (position, steps) in changes {
            schedule.append(*position, steps)?;
        }
        Ok(schedule)
    }

    /// The same up to a position, and other weights from there on, whose steps count from there: all counts go on.
    ///
    /// Sources keep their places: one that is taken out has the weight 0, and new ones come after the others.
    pub fn remix(&self, position: u64, steps: &[Step]) -> Result<Self> {
        let mut schedule = self.clone();
        schedule.append(position, steps)?;
        Ok(schedule)
    }

    fn append(&mut self, position: u64, steps: &[Step]) -> Result<()> {
        let pieces = curve::pieces(steps)?;
        let num_sources = pieces[0].shares.parts().len();
        if num_sources < self.num_sources {
            return Err(Error::InvalidArgument(format!(
                "the mix has {} sources and {num_sources} new weights; give one that is taken out the weight 0",
                self.num_sources
            )));
        }
        if self.history.last().is_some_and(|(last, _)| *last > position) {
            return Err(Error::InvalidArgument(format!(
                "the weights were changed after sample {position} already"
            )));
        }
        let (cloths, pieces) = weave(pieces, self.num_lanes, self.seed, self.history.len() as u64)?;
        self.num_sources = num_sources;
        // A stretch that would start here or later gives no sample any more; the first may, at 0.
        self.stretches.retain(|stretch| stretch.start < position);
        self.shares.retain(|(start, _)| *start < position);
        self.history.push((position, steps.to_vec()));
        self.shares.extend(pieces.into_iter().map(|piece| (position + piece.start, piece.shares)));
        for cloth in cloths {
            self.push(position + cloth.start, cloth.pattern);
        }
        Ok(())
    }

    /// How many sources there are.
    pub fn num_sources(&self) -> usize {
        self.num_sources
    }

    /// How many lanes the mix and each of its sources have.
    pub fn num_lanes(&self) -> u32 {
        self.num_lanes as u32
    }

    /// What keys the schedule.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// All weights so far, each list of steps with the position from which on it counts: what a cursor keeps.
    pub fn history(&self) -> &[(u64, Vec<Step>)] {
        &self.history
    }

    /// The shares from one position on, as exactly as the schedule keeps them, one after the other.
    pub fn shares(&self) -> &[(u64, Shares)] {
        &self.shares
    }

    /// Tells schedules apart: by version, seed, lanes and all shares.
    pub fn fingerprint(&self) -> u64 {
        let mut words = vec![u64::from(ALGORITHM_VERSION), self.seed, self.num_lanes];
        words.extend(self.history.iter().map(|(position, _)| *position));
        for (start, shares) in &self.shares {
            words.extend([*start, u64::from(shares.whole())]);
            words.extend(shares.parts().iter().map(|&part| u64::from(part)));
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        xxh3_64(&bytes)
    }

    /// The source that gives a sample.
    #[inline]
    pub fn source_of(&self, position: u64) -> usize {
        let stretch = self.stretch_at(position);
        stretch.pattern.source_at(position - stretch.start)
    }

    /// How many of the samples before a position a source gives.
    pub fn count_before(&self, source: usize, position: u64) -> u64 {
        let stretch = self.stretch_at(position);
        stretch.count(source) + stretch.pattern.count_before(source, position - stretch.start)
    }

    /// What all sources give before a position.
    pub fn counts(&self, position: u64) -> Vec<u64> {
        (0..self.num_sources).map(|source| self.count_before(source, position)).collect()
    }

    /// The position of a source's sample with this index; `None` where it never comes.
    pub fn position_of(&self, source: usize, index: u64) -> Option<u64> {
        let stretch = self.last_stretch(|stretch| stretch.count(source) <= index);
        let time = stretch.pattern.time_of(source, index - stretch.count(source))?;
        stretch.start.checked_add(time)
    }

    /// The source that gives an element of a lane.
    #[inline]
    pub fn source_in_lane(&self, lane: u32, element: u64) -> usize {
        self.source_of(element * self.num_lanes + u64::from(lane))
    }

    /// How many of the first `element` samples of a lane a source gives: the element of the source's own lane
    /// that comes next.
    pub fn lane_count_before(&self, source: usize, lane: u32, element: u64) -> u64 {
        let lane = u64::from(lane);
        let stretch = self.stretch_at(element * self.num_lanes + lane);
        let inside = element - lane_elements(stretch.start, lane, self.num_lanes);
        stretch.lane_count(source, lane)
            + stretch.pattern.lane_count_before(source, stretch.lane_start(lane, self.num_lanes), inside)
    }

    /// Which element of a lane is a source's sample with this index in its own lane; `None` where it never comes.
    pub fn lane_element_of(&self, source: usize, lane: u32, index: u64) -> Option<u64> {
        let lane = u64::from(lane);
        let stretch = self.last_stretch(|stretch| stretch.lane_count(source, lane) <= index);
        let start = stretch.lane_start(lane, self.num_lanes);
        let inside = index - stretch.lane_count(source, lane);
        let element = stretch.pattern.lane_element_of(source, start, inside)?;
        lane_elements(stretch.start, lane, self.num_lanes).checked_add(element)
    }

    fn push(&mut self, start: u64, pattern: Pattern) {
        let (mut counts, mut lane_counts) = (vec![0; self.num_sources], Vec::new());
        if !self.stretches.is_empty() {
            counts = self.counts(start);
            for lane in 0..self.num_lanes {
                let elements = lane_elements(start, lane, self.num_lanes);
                let count = |source| self.lane_count_before(source, lane as u32, elements);
                lane_counts.extend((0..self.num_sources).map(count));
            }
        }
        self.stretches.push(Stretch { start, counts, lane_counts, pattern: Arc::new(pattern) });
    }

    fn stretch_at(&self, position: u64) -> &Stretch {
        if let [only] = &*self.stretches {
            return only;
        }
        self.last_stretch(|stretch| stretch.start <= position)
    }

    /// The last stretch that is still `before` something; the first always is.
    fn last_stretch(&self, before: impl Fn(&Stretch) -> bool) -> &Stretch {
        &self.stretches[self.stretches.partition_point(before).max(1) - 1]
    }
}

impl Stretch {
    /// When in the stretch the lane has its first element.
    fn lane_start(&self, lane: u64, num_lanes: u64) -> u64 {
        (lane + num_lanes - self.start % num_lanes) % num_lanes
    }

    fn count(&self, source: usize) -> u64 {
        self.counts.get(source).copied().unwrap_or(0)
    }

    fn lane_count(&self, source: usize, lane: u64) -> u64 {
        if source >= self.counts.len() || self.lane_counts.is_empty() {
            return 0;
        }
        self.lane_counts[lane as usize * self.counts.len() + source]
    }
}

/// Elements of a lane before a position.
fn lane_elements(position: u64, lane: u64, num_lanes: u64) -> u64 {
    position.saturating_sub(lane).div_ceil(num_lanes)
}
