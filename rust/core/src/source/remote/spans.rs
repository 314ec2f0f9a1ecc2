//! Ranges that are fetched at once: those that lie near each other as one, long ones in pieces.

use std::ops::Range;

/// A gap that is cheaper to read over than to ask for what is behind it.
const MAX_GAP: u64 = 1 << 20;

/// All gaps together take no more than one byte in this many of what is wanted.
const WASTE_SHARE: u64 = 20;

/// Bytes of a request: long enough that waiting for it to begin hardly counts, short enough that several share the way.
const PIECE: u64 = 8 << 20;

/// The ranges to ask for so that all of `wanted` come, in ascending order and without overlap.
pub(super) fn coalesce(wanted: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<_> = wanted.iter().filter(|range| range.start < range.end).cloned().collect();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut useful: u64 = 0;
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        if let Some(last) = merged.last_mut().filter(|last| range.start <= last.end) {
            useful += range.end.saturating_sub(last.end);
            last.end = last.end.max(range.end);
        } else {
            useful += range.end - range.start;
            merged.push(range);
        }
    }
    let mut left = useful / WASTE_SHARE;
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(merged.len());
    for range in merged {
        let gap = joined.last().map(|last| range.start - last.end);
        match (joined.last_mut(), gap) {
            (Some(last), Some(gap)) if gap <= MAX_GAP.min(left) => {
                left -= gap;
                last.end = range.end;
            }
            _ => joined.push(range),
        }
    }
    joined.into_iter().flat_map(pieces).collect()
}

/// A long range in pieces of about one length.
pub(super) fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let len = range.end - range.start;
    let count = len.div_ceil(PIECE).max(1);
    let at = move |piece: u64| range.start + (u128::from(len) * u128::from(piece) / u128::from(count)) as u64;
    (0..count).map(move |piece| at(piece)..at(piece + 1))
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_become_one_and_strangers_stay_apart() {
        assert_eq!(coalesce(&[0..100, 100..200]), [0..200]);
        assert_eq!(coalesce(&[300..400, 0..1000]), [0..1000]);
        assert_eq!(coalesce(&[0..1000, 1010..2000]), [0..2000]);
        assert_eq!(coalesce(&[0..10, 500..510]), [0..10, 500..510]);
        assert_eq!(coalesce(&[5..5]), []);
        assert_eq!(coalesce(&[0..(17 << 20)]).len(), 3);
    }

    proptest! {
        #[test]
        fn all_that_is_wanted_comes_once_with_little_beside(
            starts in proptest::collection::vec((0_u64..50_000_000, 0_u64..5_000_000), 0..40)
        ) {
            let wanted: Vec<_> = starts.iter().map(|(start, len)| *start..start + len).collect();
            let asked = coalesce(&wanted);
            prop_assert!(asked.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert!(asked.iter().all(|range| range.start < range.end && range.end - range.start <= PIECE));
            for range in &wanted {
                // Asked-for ranges that touch cover what lies across their border.
                let covered: u64 = asked
                    .iter()
                    .map(|part| part.end.min(range.end).saturating_sub(part.start.max(range.start)))
                    .sum();
                prop_assert_eq!(covered, range.end - range.start);
            }
            let mut ends: Vec<_> = wanted.clone();
            ends.sort_by_key(|range| range.start);
            let (mut useful, mut upto) = (0, 0);
            for range in ends {
                useful += range.end.saturating_sub(range.start.max(upto));
                upto = upto.max(range.end);
            }
            let fetched: u64 = asked.iter().map(|range| range.end - range.start).sum();
            prop_assert!(fetched <= useful + useful / WASTE_SHARE);
        }
    }
}
