//! Packed sources that are mixed sample by sample: whose sample a lane gives next, and when its epochs end.

use std::sync::Arc;

use super::documents::Documents;
use super::lane::PackSpec;
use crate::loader::counts::DocumentCounts;
use crate::mix::Schedule;

/// How far apart the epochs lie that a source has in two epochs of the mix.
pub const EPOCH_SHIFT: u32 = 32;

/// Documents, and how they become samples.
#[derive(Clone)]
pub struct PackedSource {
    /// Where documents come from.
    pub documents: Documents,
    /// What becomes of them.
    pub pack: PackSpec,
    /// The tokens of each, where groups are whole windows.
    pub counts: Option<DocumentCounts>,
}

/// A mix of packed sources: each lane takes the next sample of the same lane of the source whose turn it is.
///
/// An epoch of the mix begins with an epoch of each source that no other epoch of the mix has. In a mix without an end
/// a source's documents are packed on across its epochs; else each of its epochs by itself, as it would be alone.
#[derive(Debug, Clone)]
pub struct Sequences {
    /// Which source gives which sample.
    pub schedule: Arc<Schedule>,
    /// Samples of each epoch of the pass; of a mix without an end none.
    pub epoch_samples: Vec<u64>,
}

impl Sequences {
    /// Whether the mix has no end.
    pub fn is_endless(&self) -> bool {
        self.epoch_samples.is_empty()
    }

    /// The epoch of the pass, and the source, of a lane's sample with this number; `None` after the last one.
    pub fn at(&self, lane: u32, number: u64) -> Option<(u64, usize)> {
        if self.is_endless() {
            return Some((0, self.schedule.source_in_lane(lane, number)));
        }
        let mut element = number;
        for (epoch, &samples) in (0..).zip(&self.epoch_samples) {
            let len = samples.saturating_sub(u64::from(lane)).div_ceil(u64::from(self.schedule.num_lanes()));
            if element < len {
                return Some((epoch, self.schedule.source_in_lane(lane, element)));
            }
            element -= len;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_begin_the_schedule_anew_lane_by_lane() {
        let schedule = Arc::new(Schedule::try_new(&[0.5, 0.3, 0.2], 4, 3).unwrap());
        let endless = Sequences { schedule: Arc::clone(&schedule), epoch_samples: vec![] };
        let finite = Sequences { schedule: Arc::clone(&schedule), epoch_samples: vec![10, 0, 7] };
        for lane in 0..4 {
            let mut expected = Vec::new();
            for (epoch, samples) in [(0, 10), (1, 0), (2, 7)] {
                let positions = (0..samples).filter(|position| position % 4 == u64::from(lane));
                expected.extend(positions.map(|position| (epoch, schedule.source_of(position))));
            }
            let given: Vec<_> = (0..).map_while(|number| finite.at(lane, number)).collect();
            assert_eq!(given, expected);
            assert_eq!(endless.at(lane, 1_000), Some((0, schedule.source_of(4_000 + u64::from(lane)))));
        }
    }
}
