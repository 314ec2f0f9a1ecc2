//! Keyed randomness: each thing that is permuted draws from a domain of its own.

use xxhash_rust::xxh3::xxh3_64;

/// Separates our keys from every other use of the same hash; holds the algorithm's version.
const DOMAIN: &[u8; 16] = b"rowmill-order-01";

/// What is permuted. The numbers stand in the keys: never change or reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The shards of a dataset.
    Shards = 1,
    /// Its blocks.
    Blocks = 2,
    /// The rows of one window.
    Window = 3,
    /// All rows at once.
    Rows = 4,
    /// The schedule of a mix's sources.
    Mix = 5,
    /// The steps of a run in which rows are grouped by length.
    LengthGroups = 8,
    /// Each file of lanes over files, which has an order of its own.
    Files = 9,
}

/// The key of one permutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// The key of a level, and of the `index`-th thing on it (0 where there is one only).
    pub fn new(seed: u64, epoch: u64, level: Level, index: u64) -> Self {
        let mut bytes = [0_u8; 48];
        bytes[..16].copy_from_slice(DOMAIN);
        for (place, word) in bytes[16..].chunks_exact_mut(8).zip([seed, epoch, level as u64, index]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Self(xxh3_64(&bytes))
    }

    /// The key as a seed of further orders.
    pub fn seed(self) -> u64 {
        self.0
    }

    /// The random stream of this key.
    pub(crate) fn stream(self) -> Stream {
        Stream(self.0)
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014): a counter and a mixer, so draws do not wait for one another.
pub(crate) struct Stream(u64);

impl Stream {
    #[inline]
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// An unbiased draw from `[0, bound)` (Lemire 2019); `bound` is at least 1.
    #[inline]
    pub(crate) fn draw_below(&mut self, bound: u64) -> u64 {
        loop {
            let wide = u128::from(self.draw()) * u128::from(bound);
            let low = wide as u64;
            // The remainder costs a division, and only one draw in 2^64 / bound needs it.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Fisher-Yates over a slice.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.draw_below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_key_changes_it() {
        let base = Key::new(1, 2, Level::Blocks, 3);
        for other in [
            Key::new(2, 2, Level::Blocks, 3),
            Key::new(1, 3, Level::Blocks, 3),
            Key::new(1, 2, Level::Window, 3),
            Key::new(1, 2, Level::Blocks, 4),
            Key::new(2, 1, Level::Blocks, 3),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn bounded_draws_stay_below_and_reach_every_value() {
        let mut stream = Key::new(0, 0, Level::Rows, 0).stream();
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[stream.draw_below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (9_500..10_500).contains(&count)), "{counts:?}");
        assert!((0..100).all(|_| stream.draw_below(1) == 0));
        assert!((0..100).all(|_| stream.draw_below((1 << 63) + 1) <= 1 << 63));
    }
}
