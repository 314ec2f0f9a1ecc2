//! A woven stretch repeated for ever: whose sample it is, how many there were, and where the next ones are.

use super::shares::gcd;

/// The sources of `len` samples, over and over, and of each lane's samples among them.
///
/// A lane's places in the period are `start, start + num_lanes, ...` modulo its length. Places that are the same
/// modulo the greatest common divisor of both lie on one such orbit, which a lane enters at its own place.
#[derive(Debug)]
pub(super) struct Pattern {
    num_sources: usize,
    sources: Vec<u8>,
    /// The places of each source, ascending, one source after the other.
    places: Vec<u32>,
    /// Where each source's places begin, and the end.
    place_starts: Vec<u32>,
    orbits: Orbits,
}

/// Places by orbit.
#[derive(Debug)]
struct Orbits {
    count: u64,
    len: u64,
    /// The inverse of `num_lanes / count` modulo `len`: from a place to where it stands on its orbit.
    inverse: u64,
    /// Where on its orbit each source stands, ascending, by orbit and source.
    stands: Vec<u32>,
    starts: Vec<u32>,
}

impl Pattern {
    /// `sources` has 1 to 2^32 - 1 elements.
    pub(super) fn new(sources: Vec<u8>, num_sources: usize, num_lanes: u64) -> Self {
        let (places, place_starts) =
            group(num_sources, (0..).zip(&sources).map(|(place, &source)| (usize::from(source), place)));
        let orbits = Orbits::new(&sources, num_sources, num_lanes);
        Self { num_sources, sources, places, place_starts, orbits }
    }

    pub(super) fn len(&self) -> u64 {
        self.sources.len() as u64
    }

    /// Whose sample it is at a time.
    #[inline]
    pub(super) fn source_at(&self, time: u64) -> usize {
        usize::from(self.sources[(time % self.len()) as usize])
    }

    /// A source's samples before a time.
    pub(super) fn count_before(&self, source: usize, time: u64) -> u64 {
        let places = self.places(source);
        let (turns, place) = (time / self.len(), time % self.len());
        turns * places.len() as u64 + below(places, place)
    }

    /// The time of a source's sample with this index; `None` where the source has none at all.
    pub(super) fn time_of(&self, source: usize, index: u64) -> Option<u64> {
        let places = self.places(source);
        let each = places.len() as u64;
        (each > 0).then(|| index / each * self.len() + u64::from(places[(index % each) as usize]))
    }

    /// A source's samples among the first `count` of the lane that starts at time `start` (`start < num_lanes`).
    pub(super) fn lane_count_before(&self, source: usize, start: u64, count: u64) -> u64 {
        let (stands, enters) = self.lane(source, start);
        // Whole orbits do not change the rest.
        let (turns, rest) = (count / self.orbits.len, count % self.orbits.len);
        let last = enters + rest;
        let wrapped = if last > self.orbits.len { below(stands, last - self.orbits.len) } else { 0 };
        turns * stands.len() as u64 + below(stands, last.min(self.orbits.len)) + wrapped
            - below(stands, enters)
    }

    /// Which element of the lane that starts at `start` is a source's sample with this index.
    pub(super) fn lane_element_of(&self, source: usize, start: u64, index: u64) -> Option<u64> {
        let (stands, enters) = self.lane(source, start);
        let each = stands.len() as u64;
        let rank = index + below(stands, enters);
        (each > 0).then(|| rank / each * self.orbits.len + u64::from(stands[(rank % each) as usize]) - enters)
    }

    /// The places of a source: none where it was added to the mix later.
    fn places(&self, source: usize) -> &[u32] {
        if source < self.num_sources { slice(&self.places, &self.place_starts, source) } else { &[] }
    }

    /// Where a source stands on a lane's orbit, and where the lane enters it.
    fn lane(&self, source: usize, start: u64) -> (&[u32], u64) {
        let place = start % self.len();
        let Orbits { count, len, inverse, stands, starts } = &self.orbits;
        let (orbit, step) = (place % count, place / count);
        let enters = (u128::from(step) * u128::from(*inverse) % u128::from(*len)) as u64;
        if source >= self.num_sources {
            return (&[], enters);
        }
        (slice(stands, starts, orbit as usize * self.num_sources + source), enters)
    }
}

impl Orbits {
    fn new(sources: &[u8], num_sources: usize, num_lanes: u64) -> Self {
        let period = sources.len() as u64;
        let count = gcd(period, num_lanes);
        let len = period / count;
        let elements = (0..count).flat_map(|orbit| {
            (0..len).map(move |stand| (orbit, stand, (orbit + stand * (num_lanes % period)) % period))
        });
        let grouped = elements.map(|(orbit, stand, place)| {
            (orbit as usize * num_sources + usize::from(sources[place as usize]), stand as u32)
        });
        let (stands, starts) = group(count as usize * num_sources, grouped);
        Self { count, len, inverse: inverse(num_lanes / count % len, len), stands, starts }
    }
}

/// Values by group, each group's in the order in which they come; and where each group begins.
fn group(num_groups: usize, items: impl Iterator<Item = (usize, u32)> + Clone) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0_u32; num_groups + 1];
    for (group, _) in items.clone() {
        starts[group + 1] += 1;
    }
    for index in 1..starts.len() {
        starts[index] += starts[index - 1];
    }
    let mut next = starts.clone();
    let mut values = vec![0; starts[num_groups] as usize];
    for (group, value) in items {
        values[next[group] as usize] = value;
        next[group] += 1;
    }
    (values, starts)
}

fn slice<'a>(values: &'a [u32], starts: &[u32], group: usize) -> &'a [u32] {
    &values[starts[group] as usize..starts[group + 1] as usize]
}

/// How many of these ascending values are below a bound.
fn below(values: &[u32], bound: u64) -> u64 {
    values.partition_point(|&value| u64::from(value) < bound) as u64
}

/// The inverse of `value` modulo `modulus`, to which it is prime; 0 for the modulus 1.
fn inverse(value: u64, modulus: u64) -> u64 {
    let modulus = i128::from(modulus);
    let (mut old, mut new) = ((modulus, 0_i128), (i128::from(value), 1_i128));
    while new.0 != 0 {
        let quotient = old.0 / new.0;
        (old, new) = (new, (old.0 - quotient * new.0, old.1 - quotient * new.1));
    }
    old.1.rem_euclid(modulus) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_places_are_those_of_a_walk() {
        for (len, num_lanes) in [(1, 1), (5, 64), (64, 5), (64, 64), (12, 8), (7, 7), (9, 6), (6, 9), (10, 1)]
        {
            let sources: Vec<u8> = (0..len).map(|place| (place * place % 7 % 3) as u8).collect();
            let pattern = Pattern::new(sources, 4, num_lanes);
            let mut counts = [0; 4];
            let mut lanes = vec![([0; 4], 0); num_lanes as usize];
            for time in 0..4 * len * num_lanes {
                let source = pattern.source_at(time);
                let (lane_counts, elements) = &mut lanes[(time % num_lanes) as usize];
                let start = time % num_lanes;
                for any in 0..4 {
                    assert_eq!(pattern.count_before(any, time), counts[any]);
                    assert_eq!(pattern.lane_count_before(any, start, *elements), lane_counts[any]);
                }
                assert_eq!(pattern.time_of(source, counts[source]), Some(time));
                assert_eq!(pattern.lane_element_of(source, start, lane_counts[source]), Some(*elements));
                counts[source] += 1;
                lane_counts[source] += 1;
                *elements += 1;
            }
            assert_eq!((pattern.time_of(3, 0), pattern.lane_element_of(3, 0, 0)), (None, None));
        }
    }
}
