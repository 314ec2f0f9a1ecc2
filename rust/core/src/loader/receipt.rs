//! Receipts: one small value for everything that was delivered, to compare two runs by.
//!
//! Each sample adds the xxh3-128 of the pass's first epoch, its own number in the job, and the row id, first token and
//! number of tokens of each document in it. A row that is not packed is a sample of one document, which has no tokens
//! unless they are made of it here. The sum (modulo 2^128) does not depend on who delivered what when: the
//! receipts of ranks, workers, and of a run and its resumed rest are added, and are that of one straight run of one rank.

use std::ops::AddAssign;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::text::pack::Segment;

/// Of what a receipt is made; stands in each of them.
pub const RECEIPT_VERSION: u32 = 1;

/// What was delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The sum of the samples' digests.
    pub digest: u128,
    /// Samples.
    pub samples: u64,
    /// Tokens in them.
    pub tokens: u64,
}

impl Receipt {
    /// That of one packed sample; `seed` is of the data.
    pub fn of_sample(seed: u64, first_epoch: u64, number: u64, segments: &[Segment]) -> Self {
        let mut bytes = Vec::with_capacity(24 * segments.len() + 16);
        bytes.extend(first_epoch.to_le_bytes());
        bytes.extend(number.to_le_bytes());
        let mut tokens = 0;
        for Segment { row_id, offset, len } in segments {
            bytes.extend(row_id.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            bytes.extend((*len as u64).to_le_bytes());
            tokens += *len as u64;
        }
        Self { digest: xxh3_128_with_seed(&bytes, seed), samples: 1, tokens }
    }

    /// That of a sample of one document: the same without a place on the heap, for rows by the million.
    #[inline]
    pub fn of_row(seed: u64, first_epoch: u64, number: u64, segment: Segment) -> Self {
        let Segment { row_id, offset, len } = segment;
        let tokens = len as u64;
        let mut bytes = [0; 40];
        for (part, value) in bytes.chunks_exact_mut(8).zip([first_epoch, number, row_id, offset, tokens]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        Self { digest: xxh3_128_with_seed(&bytes, seed), samples: 1, tokens }
    }
}

impl std::iter::Sum for Receipt {
    fn sum<I: Iterator<Item = Self>>(receipts: I) -> Self {
        receipts.fold(Self::default(), |mut sum, receipt| {
            sum += receipt;
            sum
        })
    }
}

impl AddAssign for Receipt {
    fn add_assign(&mut self, other: Self) {
        self.digest = self.digest.wrapping_add(other.digest);
        self.samples += other.samples;
        self.tokens += other.tokens;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_those_of_version_1() {
        let segments = [Segment { row_id: 7, offset: 0, len: 5 }, Segment { row_id: 9, offset: 3, len: 2 }];
        let mut receipt = Receipt::of_sample(1, 0, 3, &segments);
        assert_eq!((receipt.samples, receipt.tokens), (1, 7));
        assert_eq!(receipt.digest, GOLDEN);
        let other = Receipt::of_sample(1, 0, 4, &segments[..1]);
        assert_eq!(Receipt::of_row(1, 0, 4, segments[0]), other);
        assert_eq!([other, receipt].into_iter().sum::<Receipt>(), [receipt, other].into_iter().sum());
        let mut swapped = other;
        swapped += receipt;
        receipt += other;
        assert_eq!(receipt, swapped);
        for changed in [
            Receipt::of_sample(2, 0, 3, &segments),
            Receipt::of_sample(1, 1, 3, &segments),
            Receipt::of_sample(1, 0, 4, &segments),
            Receipt::of_sample(1, 0, 3, &segments[..1]),
            Receipt::of_sample(1, 0, 3, &[segments[0], Segment { len: 3, ..segments[1] }]),
        ] {
            assert_ne!(changed.digest, GOLDEN);
        }
    }

    const GOLDEN: u128 = 0xeea5_c297_7501_b163_0876_bc0b_8406_8028;
}
