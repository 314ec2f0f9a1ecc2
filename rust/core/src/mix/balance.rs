//! Mixing by tokens: whose next document a lane takes depends on how many tokens each source gave there so far.

use super::curve::{self, Piece, Step};
use crate::error::{Error, Result};
use crate::order::{Key, Level};

/// Who gives a lane its next document: always the source furthest behind its share of the lane's tokens.
///
/// So no source is ever ahead of its share in a lane by more than the last document that it gave there, and none is
/// behind by more than the others are ahead together. Lanes do not know of each other. Steps of the weights start at
/// the tokens of all lanes together, each lane being taken to have an equal part of them.
///
/// ```
/// use rowmill_core::mix::{Step, TokenShares};
///
/// let shares = TokenShares::try_new(&[Step::constant(0, &[3.0, 1.0])], 2, 7)?;
/// let mut tokens = [0, 0];
/// for _ in 0..1000 {
///     let source = shares.next_source(0, &tokens);
///     tokens[source] += if source == 0 { 10 } else { 100 };
/// }
/// assert!(tokens[0].abs_diff(3 * tokens[1]) <= 400);
/// # Ok::<(), rowmill_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenShares {
    num_sources: usize,
    segments: Vec<Segment>,
    /// Where a lane's ties begin, so that lanes do not all start with the same source.
    first: Vec<u8>,
}

/// Constant shares from so many tokens of a lane on, and what was due before.
#[derive(Clone, Debug)]
struct Segment {
    start: u64,
    due: Vec<u64>,
    piece: Piece,
}

impl TokenShares {
    /// The weights of these steps (see [`Step`]; starts count tokens).
    pub fn try_new(steps: &[Step], num_lanes: u32, seed: u64) -> Result<Self> {
        if num_lanes == 0 {
            return Err(Error::InvalidArgument("a mix has at least one lane".to_owned()));
        }
        let pieces = curve::pieces(steps)?;
        let num_sources = pieces[0].shares.parts().len();
        let mut segments: Vec<Segment> = Vec::new();
        for piece in pieces {
            let start = piece.start / u64::from(num_lanes);
            let due = segments.last().map_or(vec![0; num_sources], |last| last.due_at(start));
            segments.push(Segment { start, due, piece });
        }
        let first = |lane: u32| {
            let key = Key::new(seed, 1, Level::Mix, u64::from(lane));
            key.stream().draw_below(num_sources as u64) as u8
        };
        Ok(Self { num_sources, segments, first: (0..num_lanes).map(first).collect() })
    }

    /// How many sources there are.
    pub fn num_sources(&self) -> usize {
        self.num_sources
    }

    /// How many lanes there are.
    pub fn num_lanes(&self) -> u32 {
        self.first.len() as u32
    }

    /// The source that gives a lane its next document, by what the lane has taken of each (see [`counted_tokens`]).
    pub fn next_source(&self, lane: u32, tokens: &[u64]) -> usize {
        let total = tokens.iter().sum();
        let segment = self.segment(total);
        let first = usize::from(self.first[lane as usize]);
        let parts = segment.piece.shares.parts();
        let sources = (0..self.num_sources).map(|offset| (first + offset) % self.num_sources);
        let wanted = sources.filter(|&source| parts[source] > 0);
        let lead = |&source: &usize| segment.lead(source, total, tokens[source]);
        // The first of equals: `max_by_key` would take the last.
        wanted.rev().max_by_key(lead).unwrap_or(first)
    }

    fn segment(&self, total: u64) -> &Segment {
        &self.segments[self.segments.partition_point(|segment| segment.start <= total).max(1) - 1]
    }
}

/// What a document of so many tokens counts: an empty one as one, so that a source of empty documents is left again.
pub fn counted_tokens(num_tokens: u64) -> u64 {
    num_tokens.max(1)
}

impl Segment {
    /// How far a source is behind, in fractions of a token.
    fn lead(&self, source: usize, total: u64, tokens: u64) -> i128 {
        let shares = &self.piece.shares;
        let since = i128::from(total - self.start) * i128::from(shares.parts()[source]);
        since + (i128::from(self.due[source]) - i128::from(tokens)) * i128::from(shares.whole())
    }

    /// What is due to each source, rounded down: within a token a step of what is due exactly.
    fn due_at(&self, total: u64) -> Vec<u64> {
        let shares = &self.piece.shares;
        let since = |part: u32| {
            (u128::from(total - self.start) * u128::from(part) / u128::from(shares.whole())) as u64
        };
        self.due.iter().zip(shares.parts()).map(|(due, &part)| due + since(part)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mix::Shares;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_source_is_ahead_of_its_share_by_more_than_its_last_document(
            weights in prop::collection::vec(0.01..1.0_f64, 1..6), seed: u64, longest in 1..3_000_u64,
        ) {
            let shares = TokenShares::try_new(&[Step::constant(0, &weights)], 3, seed).unwrap();
            let exact = Shares::try_new(&weights).unwrap();
            let (whole, parts) = (i128::from(exact.whole()), exact.parts());
            let mut draws = Key::new(seed, 9, Level::Mix, 0).stream();
            for lane in 0..3 {
                let (mut tokens, mut last) = (vec![0; weights.len()], vec![0; weights.len()]);
                for _ in 0..400 {
                    let source = shares.next_source(lane, &tokens);
                    last[source] = counted_tokens(draws.draw_below(longest + 1));
                    tokens[source] += last[source];
                    let total = i128::from(tokens.iter().sum::<u64>());
                    let ahead = |at: usize| whole * i128::from(tokens[at]) - i128::from(parts[at]) * total;
                    let most = |at: usize| (whole - i128::from(parts[at])) * i128::from(last[at]);
                    for at in 0..weights.len() {
                        prop_assert!(ahead(at) <= most(at), "{at} of {tokens:?}");
                        let others = (0..weights.len()).filter(|other| *other != at).map(most).sum::<i128>();
                        prop_assert!(-ahead(at) <= others, "{at} of {tokens:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn weights_change_after_so_many_tokens_of_all_lanes() {
        let steps = [Step::constant(0, &[1.0, 0.0]), Step::constant(4_000, &[1.0, 3.0])];
        let shares = TokenShares::try_new(&steps, 4, 0).unwrap();
        let mut tokens = [0, 0];
        for _ in 0..500 {
            tokens[shares.next_source(2, &tokens)] += 10;
        }
        assert_eq!(tokens, [2_000, 3_000]);
        assert!(TokenShares::try_new(&steps, 0, 0).is_err());
    }
}
