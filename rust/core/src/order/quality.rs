//! Quality: how well an order mixes, measured over a range of its positions.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::epoch::EpochOrder;

/// What one epoch's order is worth over a range of positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Quality {
    /// Entropy of the differences of consecutive row ids.
    pub entropy: Entropy,
    /// How far rows are from where storage order would have them.
    pub displacement: Displacement,
    /// Different blocks in a batch.
    pub blocks_per_batch: Spread,
    /// Different shards in a batch.
    pub shards_per_batch: Spread,
}

/// An entropy and its share of the most it could be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entropy {
    /// In bits.
    pub bits: f64,
    /// 0 where all differences are the same (storage order), 1 where no two are.
    pub normalised: f64,
}

/// Distances between a position and the row id that stands there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Displacement {
    /// On average; a third of the rows where every order is equally likely.
    pub mean: f64,
    /// The largest.
    pub max: u64,
}

/// Mean and maximum of a count over batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// On average over the batches.
    pub mean: f64,
    /// In the batch that has most.
    pub max: u64,
}

/// How much of an epoch comes again in the next one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlap {
    /// Of all pairs of rows that share a batch in the first epoch, those that share one in the second;
    /// `(B - 1) / (N - 1)` where epochs have nothing to do with one another.
    pub batch_pairs: f64,
    /// Of all rows, those in the same lane in both epochs; one in `num_lanes` by chance.
    pub same_lane: f64,
}

/// Measures an order over a range of positions, cut into global batches of `batch_size`.
pub fn measure(order: &Arc<EpochOrder>, positions: Range<u64>, batch_size: u64) -> Quality {
    let row_ids = row_ids(order, positions.clone());
    let first_row = order.layout().row_ids().start;
    Quality {
        entropy: entropy_of_differences(&row_ids),
        displacement: displacement(positions.start + first_row, &row_ids),
        blocks_per_batch: spread(&row_ids, batch_size, |row_id| order.layout().locate(row_id).block),
        shards_per_batch: spread(&row_ids, batch_size, |row_id| {
            order.layout().shard_of(order.layout().locate(row_id).block)
        }),
    }
}

/// Compares two epochs of the same data, cut into global batches of `batch_size`; needs memory for all rows.
pub fn overlap(first: &Arc<EpochOrder>, second: &Arc<EpochOrder>, batch_size: u64) -> Overlap {
    let batch_size = batch_size.max(1);
    let (before, after) = (row_ids(first, 0..first.num_rows()), row_ids(second, 0..second.num_rows()));
    let position_after: HashMap<u64, u64> = after.into_iter().zip(0..).collect();
    let (mut same_pairs, mut pairs, mut same_lane) = (0_u64, 0_u64, 0_u64);
    for (batch, rows) in (0..).zip(before.chunks(batch_size as usize)) {
        let mut rows_by_batch: HashMap<u64, u64> = HashMap::new();
        for (offset, row_id) in (0..).zip(rows) {
            let Some(&position) = position_after.get(row_id) else { continue };
            *rows_by_batch.entry(position / batch_size).or_default() += 1;
            let lane = first.lanes().of_position(batch * batch_size + offset).0;
            same_lane += u64::from(lane == second.lanes().of_position(position).0);
        }
        same_pairs += rows_by_batch.values().map(|&count| pairs_of(count)).sum::<u64>();
        pairs += pairs_of(rows.len() as u64);
    }
    Overlap { batch_pairs: ratio(same_pairs, pairs), same_lane: ratio(same_lane, before.len() as u64) }
}

/// Shannon entropy of the absolute differences of consecutive ids, the measure of the shuffle simulator
/// in `MosaicML`'s `streaming` (`simulation/core/shuffle_quality.py`), here over rows.
pub fn entropy_of_differences(row_ids: &[u64]) -> Entropy {
    let mut counts: HashMap<u64, u64> = HashMap::new();
    for pair in row_ids.windows(2) {
        *counts.entry(pair[0].abs_diff(pair[1])).or_default() += 1;
    }
    let total = row_ids.len().saturating_sub(1) as f64;
    // In a fixed order, so that the last digit of the sum is the same each time.
    let mut counts: Vec<u64> = counts.into_values().collect();
    counts.sort_unstable();
    let shares = counts.iter().map(|&count| count as f64 / total);
    let bits = shares.fold(0.0, |bits, share| bits - share * share.log2());
    Entropy { bits, normalised: if total > 1.0 { bits / total.log2() } else { 0.0 } }
}

/// Distances of row ids from the ids that storage order would have there, the first being `first`.
pub fn displacement(first: u64, row_ids: &[u64]) -> Displacement {
    let distances = (first..).zip(row_ids).map(|(stored, &row_id)| stored.abs_diff(row_id));
    let (sum, max) = distances.fold((0_u128, 0), |(sum, max), far| (sum + u128::from(far), far.max(max)));
    Displacement { mean: if row_ids.is_empty() { 0.0 } else { sum as f64 / row_ids.len() as f64 }, max }
}

fn spread(row_ids: &[u64], batch_size: u64, group_of: impl Fn(u64) -> u32) -> Spread {
    let batches = row_ids.chunks(batch_size.max(1) as usize);
    let num_batches = batches.len() as u64;
    let counts =
        batches.map(|rows| rows.iter().map(|&row_id| group_of(row_id)).collect::<HashSet<_>>().len());
    let (sum, max) = counts.fold((0, 0), |(sum, max), count| (sum + count as u64, max.max(count as u64)));
    Spread { mean: ratio(sum, num_batches), max }
}

fn row_ids(order: &Arc<EpochOrder>, positions: Range<u64>) -> Vec<u64> {
    let mut reader = order.reader();
    positions.map(|position| reader.row_id(position)).collect()
}

fn pairs_of(count: u64) -> u64 {
    count * count.saturating_sub(1) / 2
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Layout, Mode, OrderSettings};

    const ROWS: u64 = 16_000;

    fn order(mode: Mode, epoch: u64) -> Arc<EpochOrder> {
        let layout =
            Layout::try_new(vec![100; 160], vec![100; 160], (0..16).map(|shard| shard * 10).collect());
        let settings = OrderSettings { window_bytes: 800, num_lanes: 8, ..OrderSettings::with_mode(mode, 1) };
        Arc::new(EpochOrder::new(Arc::new(layout.unwrap()), &settings, epoch))
    }

    fn near(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() < tolerance, "{value} is not {expected}");
    }

    #[test]
    fn the_entropy_of_differences_is_what_the_definition_says() {
        assert_eq!(entropy_of_differences(&[3, 4, 5, 6]), Entropy { bits: 0.0, normalised: 0.0 });
        // Differences 1, 1, 2, 4: half, a quarter, a quarter.
        let entropy = entropy_of_differences(&[0, 1, 2, 4, 0]);
        near(entropy.bits, 1.5, 1e-12);
        near(entropy.normalised, 0.75, 1e-12);
        assert_eq!(entropy_of_differences(&[]).bits.to_bits(), 0.0_f64.to_bits());
        assert_eq!(displacement(0, &[2, 1, 0]), Displacement { mean: 4.0 / 3.0, max: 2 });
    }

    #[test]
    fn modes_mix_in_the_order_of_their_names_promise() {
        let of = |mode| measure(&order(mode, 0), 0..ROWS, 64);
        let [shard, window, row] = [Mode::Shard, Mode::Window, Mode::Row].map(of);
        assert!(shard.entropy.bits < window.entropy.bits && window.entropy.bits < row.entropy.bits + 0.5);
        assert!(row.entropy.normalised > 0.85, "{row:?}");
        near(row.displacement.mean / ROWS as f64, 1.0 / 3.0, 0.02);
        near(window.displacement.mean / ROWS as f64, 1.0 / 3.0, 0.1);
        assert!(row.displacement.max < ROWS);
        assert!(shard.blocks_per_batch.max <= 16 && window.blocks_per_batch.mean > 30.0, "{window:?}");
        assert!(row.blocks_per_batch.mean > window.blocks_per_batch.mean);
        assert!(row.shards_per_batch.max <= 16);
    }

    #[test]
    fn epochs_overlap_by_chance_or_wholly() {
        let again = overlap(&order(Mode::Row, 3), &order(Mode::Row, 3), 64);
        assert_eq!(again, Overlap { batch_pairs: 1.0, same_lane: 1.0 });
        let next = overlap(&order(Mode::Row, 0), &order(Mode::Row, 1), 64);
        near(next.batch_pairs, 63.0 / (ROWS - 1) as f64, 0.001);
        near(next.same_lane, 1.0 / 8.0, 0.02);
    }
}
