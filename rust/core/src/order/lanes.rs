//! Lanes: equal contiguous cuts of a sequence, dealt round-robin to positions.

/// `[0, num_rows)` cut into pieces whose lengths differ by at most one, the longer ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    count: u64,
    /// Rows in each of the shorter lanes.
    base: u64,
    /// How many lanes have one row more.
    longer: u64,
}

impl Lanes {
    /// Cuts `num_rows` into `num_lanes` lanes (at least one).
    pub fn new(num_rows: u64, num_lanes: u32) -> Self {
        let num_lanes = u64::from(num_lanes.max(1));
        Self { count: num_lanes, base: num_rows / num_lanes, longer: num_rows % num_lanes }
    }

    /// How many lanes there are.
    pub fn num_lanes(&self) -> u32 {
        self.count as u32
    }

    /// Where in the sequence a lane starts.
    #[inline]
    pub fn start(&self, lane: u32) -> u64 {
        u64::from(lane) * self.base + u64::from(lane).min(self.longer)
    }

    /// How many rows a lane has; none where there is no such lane.
    #[inline]
    pub fn len(&self, lane: u32) -> u64 {
        let lane = u64::from(lane);
        if lane < self.count { self.base + u64::from(lane < self.longer) } else { 0 }
    }

    /// The lane of a position, and the element of that lane.
    ///
    /// A last round that is not full falls on the longer lanes alone, since these come first.
    #[inline]
    pub fn of_position(&self, position: u64) -> (u32, u64) {
        if self.count.is_power_of_two() {
            let lane = position & (self.count - 1);
            return (lane as u32, position >> self.count.trailing_zeros());
        }
        ((position % self.count) as u32, position / self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_cover_the_sequence_and_positions_cover_the_lanes() {
        for (num_rows, num_lanes) in [(0, 4), (3, 5), (10, 1), (10, 3), (64, 64), (1_000, 64), (1_001, 7)] {
            let lanes = Lanes::new(num_rows, num_lanes);
            let mut next = 0;
            for lane in 0..num_lanes {
                assert_eq!(lanes.start(lane), next);
                next += lanes.len(lane);
                assert!(lanes.len(0) - lanes.len(lane) <= 1, "longer lanes come first");
            }
            assert_eq!(next, num_rows);
            let mut seen = vec![false; num_rows as usize];
            for position in 0..num_rows {
                let (lane, element) = lanes.of_position(position);
                assert!(element < lanes.len(lane), "{position} of {num_rows} over {num_lanes}");
                assert!(!std::mem::replace(&mut seen[(lanes.start(lane) + element) as usize], true));
            }
        }
    }
}
