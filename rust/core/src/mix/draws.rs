//! Where each sample of a mix comes from: an element of its source's own lane, in one of the source's epochs.

use std::ops::Range;
use std::sync::Arc;

use super::schedule::Schedule;
use super::stopping::Stopping;
use crate::error::Result;

/// How far apart the epochs lie that a source has in two epochs of a mix without an end.
const EPOCH_SHIFT: u32 = 32;

/// What is read of a source's lanes in each of its epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRows {
    /// The first element of each lane.
    first: Vec<u64>,
    /// How many of them.
    len: Vec<u64>,
}

impl LaneRows {
    /// What these positions of an epoch are of each lane.
    pub fn new(num_lanes: u32, positions: Range<u64>) -> Self {
        let num_lanes = u64::from(num_lanes);
        let index = |position: u64, lane: u64| position.saturating_sub(lane).div_ceil(num_lanes);
        let first: Vec<_> = (0..num_lanes).map(|lane| index(positions.start, lane)).collect();
        let last = (0..num_lanes).map(|lane| index(positions.end.max(positions.start), lane));
        Self { len: last.zip(&first).map(|(last, first)| last - first).collect(), first }
    }

    /// So much of each lane, from its beginning on.
    pub fn of_lens(len: Vec<u64>) -> Self {
        Self { first: vec![0; len.len()], len }
    }

    /// How many lanes there are.
    pub fn num_lanes(&self) -> u32 {
        self.len.len() as u32
    }

    /// How many elements of a lane are read in an epoch.
    pub fn len(&self, lane: u32) -> u64 {
        self.len[lane as usize]
    }

    /// Whether there is a lane of which nothing is read.
    pub fn has_empty_lane(&self) -> bool {
        self.len.contains(&0)
    }

    /// All of them.
    pub fn num_rows(&self) -> u64 {
        self.len.iter().sum()
    }
}

/// A sample of a mix, as its source knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Which source.
    pub source: u32,
    /// The epoch of the source.
    pub epoch: u64,
    /// The element of the source's lane, which has the number of the mix's.
    pub element: u64,
}

/// The samples of a mix: which source gives each, and which of its own it is.
///
/// A lane of the mix takes from the same lane of each source, in that one's order; where it is used up, the source's
/// next epoch begins there. The schedule begins anew with each epoch of the mix, the sources go on.
#[derive(Debug)]
pub struct Draws {
    schedule: Arc<Schedule>,
    sources: Vec<LaneRows>,
    num_samples: Option<u64>,
    /// What each lane takes of each source in an epoch of the mix, by source and lane; empty where it has no end.
    per_epoch: Vec<u64>,
}

impl Draws {
    /// A mix of sources of which so much is read, until `stopping` says that it ends.
    ///
    /// # Errors
    /// `Topology` where lanes do not agree, or a source that is drawn from has an empty lane.
    pub fn try_new(schedule: Arc<Schedule>, sources: Vec<LaneRows>, stopping: Stopping) -> Result<Self> {
        let num_samples = schedule.end(&sources, stopping)?;
        let num_lanes = schedule.num_lanes();
        let mut per_epoch = Vec::new();
        if let Some(end) = num_samples {
            let whole = LaneRows::new(num_lanes, 0..end);
            for source in 0..sources.len() {
                let count = |lane| schedule.lane_count_before(source, lane, whole.len(lane));
                per_epoch.extend((0..num_lanes).map(count));
            }
        }
        Ok(Self { schedule, sources, num_samples, per_epoch })
    }

    /// The schedule.
    pub fn schedule(&self) -> &Arc<Schedule> {
        &self.schedule
    }

    /// What is read of each source's lanes.
    pub fn sources(&self) -> &[LaneRows] {
        &self.sources
    }

    /// Samples of an epoch of the mix; `None` where it has no end.
    pub fn num_samples(&self) -> Option<u64> {
        self.num_samples
    }

    /// Where the element of a lane comes from, in an epoch of the mix.
    #[inline]
    pub fn at(&self, epoch: u64, lane: u32, element: u64) -> Drawn {
        let source = self.schedule.source_in_lane(lane, element);
        self.own(source, epoch, lane, self.schedule.lane_count_before(source, lane, element))
    }

    /// The sample of a source that a lane takes as its `index`-th in an epoch of the mix.
    #[inline]
    pub fn own(&self, source: usize, epoch: u64, lane: u32, index: u64) -> Drawn {
        let LaneRows { first, len } = &self.sources[source];
        // A source that is never drawn from may have none.
        let len = len[lane as usize].max(1);
        let (shift, before) = match self.per_epoch.get(source * first.len() + lane as usize) {
            Some(count) => (0, count * epoch),
            None => (epoch << EPOCH_SHIFT, 0),
        };
        let index = before + index;
        Drawn {
            source: source as u32,
            epoch: shift + index / len,
            element: first[lane as usize] + index % len,
        }
    }
    /// What a lane takes at these elements of an epoch of the mix, source by source: where it begins, and the elements
    /// of the source's lane from there on that lie in one of its epochs.
    pub fn stretches(&self, epoch: u64, lane: u32, elements: Range<u64>) -> Vec<(Drawn, Range<u64>)> {
        let mut found = Vec::new();
        for (source, LaneRows { first, len }) in self.sources.iter().enumerate() {
            let count = |element| self.schedule.lane_count_before(source, lane, element);
            let (mut next, end) = (count(elements.start), count(elements.end));
            while next < end {
                let drawn = self.own(source, epoch, lane, next);
                let last = first[lane as usize] + len[lane as usize].max(1);
                let taken = (last - drawn.element).min(end - next);
                found.push((drawn, drawn.element..drawn.element + taken));
                next += taken;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn draws(weights: &[f64], rows: &[u64], num_lanes: u32, stopping: Stopping) -> Draws {
        let schedule = Arc::new(Schedule::try_new(weights, num_lanes, 5).unwrap());
        let sources = rows.iter().map(|rows| LaneRows::new(num_lanes, 0..*rows)).collect();
        Draws::try_new(schedule, sources, stopping).unwrap()
    }

    #[test]
    fn a_source_gives_each_row_once_before_any_comes_again() {
        for stopping in [Stopping::FirstExhausted, Stopping::AllExhausted, Stopping::Repeat] {
            let draws = draws(&[0.7, 0.2, 0.1], &[40, 13, 30], 4, stopping);
            let num_samples = draws.num_samples().unwrap_or(500);
            let epochs = if stopping == Stopping::Repeat { 1 } else { 5 };
            let mut next: HashMap<(u32, u32), u64> = HashMap::new();
            for epoch in 0..epochs {
                for position in 0..num_samples {
                    let lane = (position % 4) as u32;
                    let drawn = draws.at(epoch, lane, position / 4);
                    let len = draws.sources()[drawn.source as usize].len(lane);
                    let index = next.entry((drawn.source, lane)).or_default();
                    assert_eq!(drawn.epoch * len + drawn.element, *index, "{stopping} {epoch} {position}");
                    *index += 1;
                }
            }
        }
    }

    #[test]
    fn stretches_are_what_is_drawn_one_by_one() {
        for stopping in [Stopping::FirstExhausted, Stopping::AllExhausted, Stopping::Repeat] {
            let draws = draws(&[0.6, 0.3, 0.1], &[50, 9, 31], 4, stopping);
            for (epoch, lane, elements) in [(0, 0, 0..40), (2, 3, 5..33), (1, 1, 7..7), (0, 2, 3..4)] {
                let mut one_by_one: Vec<_> = elements.clone().map(|at| draws.at(epoch, lane, at)).collect();
                let stretches = draws.stretches(epoch, lane, elements);
                let mut together: Vec<_> = stretches
                    .into_iter()
                    .flat_map(|(drawn, elements)| elements.map(move |element| Drawn { element, ..drawn }))
                    .collect();
                let key = |drawn: &Drawn| (drawn.source, drawn.epoch, drawn.element);
                one_by_one.sort_by_key(key);
                together.sort_by_key(key);
                assert_eq!(one_by_one, together, "{stopping} {epoch} {lane}");
            }
        }
    }

    #[test]
    fn parts_of_epochs_and_epochs_without_an_end() {
        let rows = LaneRows::new(4, 3..9);
        assert_eq!((rows.first.as_slice(), rows.len.as_slice()), (&[1, 1, 1, 0][..], &[2, 1, 1, 2][..]));
        assert_eq!((rows.num_rows(), rows.has_empty_lane()), (6, false));
        assert!(LaneRows::new(4, 3..5).has_empty_lane());
        let draws = draws(&[1.0], &[8], 4, Stopping::Repeat);
        assert_eq!(draws.at(0, 1, 5), Drawn { source: 0, epoch: 2, element: 1 });
        assert_eq!(draws.at(3, 1, 5), Drawn { source: 0, epoch: (3 << 32) + 2, element: 1 });
    }
}
