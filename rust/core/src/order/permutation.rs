//! Exact bijections of `[0, n)` for every `n`: a table where it is small, arithmetic where it is not.

use super::key::Key;

/// From this size on a permutation is computed, not stored (16-bit tables end here).
const TABLE_LIMIT: u64 = 1 << 16;

/// Uniformity by test needs 8 rounds at 64 elements and 4 from 1000 on; we start at 65536.
const ROUNDS: usize = 8;

/// A keyed bijection of `[0, n)`.
///
/// ```
/// use rowmill_core::order::{Key, Level, Permutation};
///
/// let permutation = Permutation::new(5, Key::new(42, 0, Level::Rows, 0));
/// let mut values: Vec<u64> = (0..5).map(|index| permutation.at(index)).collect();
/// values.sort_unstable();
/// assert_eq!(values, [0, 1, 2, 3, 4]);
/// ```
#[derive(Clone, Debug)]
pub struct Permutation(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Table(Vec<u16>),
    Computed(Feistel<ROUNDS>),
}

impl Permutation {
    /// The permutation of `[0, size)` under a key; `size` is below 2^63.
    pub fn new(size: u64, key: Key) -> Self {
        let mut permutation = Self::default();
        permutation.rebuild(size, key);
        permutation
    }

    /// Becomes the permutation of another size and key, keeping the table's memory.
    pub(crate) fn rebuild(&mut self, size: u64, key: Key) {
        if size >= TABLE_LIMIT {
            self.0 = Kind::Computed(Feistel::new(size, key));
            return;
        }
        let mut table = match std::mem::replace(&mut self.0, Kind::Table(Vec::new())) {
            Kind::Table(table) => table,
            Kind::Computed(_) => Vec::new(),
        };
        table.clear();
        table.extend((0..size).map(|index| index as u16));
        key.stream().shuffle(&mut table);
        self.0 = Kind::Table(table);
    }

    /// Where `index` goes; `index` is below the size.
    #[inline]
    pub fn at(&self, index: u64) -> u64 {
        match &self.0 {
            Kind::Table(table) => u64::from(table[index as usize]),
            Kind::Computed(feistel) => feistel.at(index),
        }
    }
}

impl Default for Permutation {
    /// The permutation of nothing.
    fn default() -> Self {
        Self(Kind::Table(Vec::new()))
    }
}

/// A Feistel network over two unequal halves, `left * right` being `size` or a little more.
///
/// Halves of any size instead of powers of two: what exceeds `size` is less than `left`, so
/// cycle-walking takes `1 + 1 / sqrt(size)` steps on average, for every size.
#[derive(Clone, Debug)]
struct Feistel<const N: usize> {
    size: u64,
    left: u64,
    right: u64,
    keys: [(u64, u64); N],
}

impl<const N: usize> Feistel<N> {
    fn new(size: u64, key: Key) -> Self {
        assert!((1..1 << 63).contains(&size), "a permutation of {size} elements has no halves");
        let root = size.isqrt();
        let left = if root * root == size { root } else { root + 1 };
        let mut stream = key.stream();
        Self {
            size,
            left,
            right: size.div_ceil(left),
            keys: [(); N].map(|()| (stream.draw(), stream.draw() | 1)),
        }
    }

    #[inline]
    fn at(&self, index: u64) -> u64 {
        assert!(index < self.size, "index {index} lies outside a permutation of {}", self.size);
        let mut value = self.step(index);
        // The walk stays on the cycle of an index inside, so it comes back inside.
        while value >= self.size {
            value = self.step(value);
        }
        value
    }

    #[inline]
    fn step(&self, value: u64) -> u64 {
        let (mut left, mut right) = (value / self.right, value % self.right);
        for (round, &key) in self.keys.iter().enumerate() {
            if round % 2 == 0 {
                left = add_below(left, scatter(right, key, self.left), self.left);
            } else {
                right = add_below(right, scatter(left, key, self.right), self.right);
            }
        }
        left * self.right + right
    }
}

/// A hash of `value` in `[0, bound)`.
#[inline]
fn scatter(value: u64, (mask, factor): (u64, u64), bound: u64) -> u64 {
    // One product alone is nearly linear in its high bits: fold them down and multiply again.
    let mixed = (value ^ mask).wrapping_mul(factor);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
}

/// `(a + b) mod bound` for both below `bound`.
#[inline]
fn add_below(a: u64, b: u64, bound: u64) -> u64 {
    let sum = a + b;
    if sum >= bound { sum - bound } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Level;

    fn key(seed: u64) -> Key {
        Key::new(seed, 0, Level::Rows, 0)
    }

    fn assert_bijection(size: u64, at: impl Fn(u64) -> u64) {
        let mut seen = vec![false; size as usize];
        for index in 0..size {
            let value = at(index);
            assert!(value < size, "{index} of {size} goes to {value}");
            assert!(!std::mem::replace(&mut seen[value as usize], true), "{value} of {size} comes twice");
        }
    }

    /// Around every power of two, and Grain's failures at 4^k + 1.
    fn sizes(largest: u32) -> impl Iterator<Item = u64> {
        (0..=largest).flat_map(|bits| [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + 1])
    }

    #[test]
    fn every_size_is_permuted_exactly() {
        for size in sizes(20).chain([65_537, 262_145, 1_048_577, 99_991, 640_000, 1_000_000]) {
            let permutation = Permutation::new(size, key(size));
            assert_bijection(size, |index| permutation.at(index));
        }
    }

    #[test]
    fn the_network_is_exact_at_sizes_the_table_would_take() {
        for size in (1..400).chain(sizes(15).filter(|&size| size > 0)) {
            let feistel = Feistel::<ROUNDS>::new(size, key(7));
            assert_bijection(size, |index| feistel.at(index));
        }
    }

    #[test]
    fn the_walk_takes_under_two_steps_at_every_size() {
        for size in sizes(62).filter(|&size| size >= TABLE_LIMIT) {
            let feistel = Feistel::<ROUNDS>::new(size, key(1));
            let domain = u128::from(feistel.left) * u128::from(feistel.right);
            assert!(domain >= u128::from(size) && domain < u128::from(size) + u128::from(feistel.left));
            let step = (size / 1_000).max(1);
            assert!((0..1_000).all(|index| feistel.at((index * step).min(size - 1)) < size));
        }
    }

    /// Pearson's statistic of how often each of `cells` equally likely things was seen.
    fn chi_square(counts: &[u32]) -> f64 {
        let total: u32 = counts.iter().sum();
        let expected = f64::from(total) / counts.len() as f64;
        counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum()
    }

    /// Five standard deviations above what a uniform draw gives: one false alarm in a million.
    fn limit(cells: usize) -> f64 {
        let freedom = cells as f64 - 1.0;
        freedom + 5.0 * (2.0 * freedom).sqrt() + 10.0
    }

    /// The rank of an order among all orders of its size.
    fn rank_of(order: &[u64]) -> usize {
        (0..order.len()).fold(0, |rank, place| {
            let smaller = order[place + 1..].iter().filter(|&&later| later < order[place]).count();
            rank * (order.len() - place) + smaller
        })
    }

    fn order_chi_square(size: u64, order_of: impl Fn(u64) -> Vec<u64>) -> (f64, usize) {
        let cells: usize = (1..=size as usize).product();
        let mut counts = vec![0; cells];
        for seed in 0..cells as u64 * 200 {
            counts[rank_of(&order_of(seed))] += 1;
        }
        (chi_square(&counts), cells)
    }

    /// How often each value stands at each place, over many keys.
    fn place_chi_square(size: u64, keys: u64, at: impl Fn(u64) -> Vec<u64>) -> f64 {
        let mut counts = vec![0; (size * size) as usize];
        for seed in 0..keys {
            for (place, value) in at(seed).into_iter().enumerate() {
                counts[place * size as usize + value as usize] += 1;
            }
        }
        chi_square(&counts)
    }

    fn table_order(size: u64, seed: u64) -> Vec<u64> {
        let permutation = Permutation::new(size, key(seed));
        (0..size).map(|index| permutation.at(index)).collect()
    }

    fn network_order<const N: usize>(size: u64, seed: u64) -> Vec<u64> {
        let feistel = Feistel::<N>::new(size, key(seed));
        (0..size).map(|index| feistel.at(index)).collect()
    }

    #[test]
    fn all_orders_of_up_to_five_are_equally_likely() {
        for size in 2..=5 {
            let (statistic, cells) = order_chi_square(size, |seed| table_order(size, seed));
            assert!(statistic < limit(cells), "{size}: {statistic} over {cells} orders");
        }
    }

    #[test]
    fn the_uniformity_test_would_fail_a_short_network() {
        let (statistic, cells) = order_chi_square(5, |seed| network_order::<4>(5, seed));
        assert!(statistic > limit(cells), "4 rounds pass at 5: {statistic}");
        // At 8 each place looks uniform by itself: pairs of places tell.
        let pairs = |order: Vec<u64>| order[0] * 8 + order[1];
        let statistic_of = |order_of: &dyn Fn(u64) -> Vec<u64>| {
            let mut counts = vec![0; 64];
            (0..56_000).for_each(|seed| counts[pairs(order_of(seed)) as usize] += 1);
            counts.retain(|&count| count > 0);
            (chi_square(&counts), counts.len())
        };
        let (short, cells) = statistic_of(&|seed| network_order::<4>(8, seed));
        assert!(short > limit(cells), "4 rounds pass at 8: {short} over {cells} pairs");
        let (table, cells) = statistic_of(&|seed| table_order(8, seed));
        assert_eq!(cells, 56);
        assert!(table < limit(cells), "the table fails at 8: {table}");
    }

    #[test]
    fn every_value_is_as_likely_at_every_place() {
        let statistic = place_chi_square(64, 20_000, |seed| table_order(64, seed));
        assert!(statistic < limit(64 * 64), "{statistic}");
        let statistic = place_chi_square(64, 20_000, |seed| network_order::<ROUNDS>(64, seed));
        assert!(statistic < limit(64 * 64), "network: {statistic}");
    }

    /// Neighbours' differences and coarse place-to-value cells at a size that the network serves.
    #[test]
    fn the_network_is_uniform_where_it_is_used() {
        for size in [65_537_u64, 99_991, 262_145, 1_048_577] {
            let permutation = Permutation::new(size, key(size));
            let (mut cells, mut steps) = (vec![0_u32; 64 * 64], vec![0_u32; 256]);
            for index in 0..size {
                let (value, next) = (permutation.at(index), permutation.at((index + 1) % size));
                cells[(index * 64 / size * 64 + value * 64 / size) as usize] += 1;
                steps[((next + size - value) % size * 256 / size) as usize] += 1;
            }
            assert!(chi_square(&cells) < limit(64 * 64), "{size}: {}", chi_square(&cells));
            assert!(chi_square(&steps) < limit(256), "{size}: {}", chi_square(&steps));
        }
    }
}
