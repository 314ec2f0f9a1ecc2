//! Mixing by tokens: whose next sample a lane takes depends on how many tokens each source gave there so far.

use super::curve::{self, Piece, Step};
use crate::error::{Error, Result};
use crate::order::{Key, Level};

/// What each lane has taken of each source, and who is next: always the source furthest behind its share.
///
/// Lanes do not know of each other, so the state of a rank is that of its lanes. Steps of the weights start at
/// the tokens of all lanes together, each lane being taken to have an equal part of them.
///
/// ```
/// use rowmill_core::mix::{Step, TokenBalance};
///
/// let mut balance = TokenBalance::try_new(&[Step::constant(0, &[3.0, 1.0])], 2, 7)?;
/// for _ in 0..1000 {
///     let source = balance.next_source(0);
///     balance.add(0, source, if source == 0 { 10 } else { 100 });
/// }
/// let tokens = balance.tokens(0);
/// assert!(tokens[0].abs_diff(3 * tokens[1]) <= 400);
/// # Ok::<(), rowmill_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenBalance {
    num_sources: usize,
    segments: Vec<Segment>,
    /// Where a lane's ties begin, so that lanes do not all start with the same source.
    first: Vec<u8>,
    /// Tokens by lane and source.
    tokens: Vec<u64>,
}

/// Constant shares from so many tokens of a lane on, and what was due before.
#[derive(Clone, Debug)]
struct Segment {
    start: u64,
    due: Vec<u64>,
    piece: Piece,
}

impl TokenBalance {
    /// Nothing taken yet, with the weights of these steps (see [`Step`]; starts count tokens).
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
        let tokens = vec![0; num_lanes as usize * num_sources];
        Ok(Self { num_sources, segments, first: (0..num_lanes).map(first).collect(), tokens })
    }

    /// The source that gives a lane its next sample.
    pub fn next_source(&self, lane: u32) -> usize {
        let tokens = self.tokens(lane);
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

    /// Counts a sample's tokens. An empty sample counts as one, so that a source of empty samples ends.
    pub fn add(&mut self, lane: u32, source: usize, num_tokens: u64) {
        let slot = &mut self.tokens[lane as usize * self.num_sources + source];
        *slot = slot.saturating_add(num_tokens.max(1));
    }

    /// What a lane has taken of each source.
    pub fn tokens(&self, lane: u32) -> &[u64] {
        &self.tokens[lane as usize * self.num_sources..][..self.num_sources]
    }

    /// The state of some lanes as small numbers: for each lane all its tokens, and by how much each source but
    /// the last is ahead of its share.
    pub fn state(&self, lanes: impl IntoIterator<Item = u32>) -> Vec<i64> {
        let mut state = Vec::new();
        for lane in lanes {
            let tokens = self.tokens(lane);
            let total = tokens.iter().sum();
            let due = self.segment(total).due_at(total);
            state.push(total as i64);
            let ahead = tokens.iter().zip(due).map(|(&tokens, due)| tokens.wrapping_sub(due) as i64);
            state.extend(ahead.take(self.num_sources - 1));
        }
        state
    }

    /// Goes on from a state of the same lanes.
    pub fn restore(&mut self, lanes: impl IntoIterator<Item = u32>, state: &[i64]) -> Result<()> {
        let mut entries = state.chunks_exact(self.num_sources);
        for lane in lanes {
            let entry = entries.next().filter(|_| (lane as usize) < self.first.len());
            let tokens = entry.and_then(|entry| self.tokens_of(entry));
            let tokens = tokens.ok_or_else(|| {
                Error::StateMismatch(format!(
                    "the cursor's token counts of lane {lane} are not those of this mix"
                ))
            })?;
            self.tokens[lane as usize * self.num_sources..][..self.num_sources].copy_from_slice(&tokens);
        }
        if entries.next().is_some() || !entries.remainder().is_empty() {
            return Err(Error::StateMismatch(
                "the cursor has token counts of more lanes than asked for".to_owned(),
            ));
        }
        Ok(())
    }

    fn tokens_of(&self, entry: &[i64]) -> Option<Vec<u64>> {
        let total = u64::try_from(entry[0]).ok()?;
        let due = self.segment(total).due_at(total);
        let mut tokens: Vec<u64> = entry[1..]
            .iter()
            .zip(due)
            .map(|(&ahead, due)| due.checked_add_signed(ahead))
            .collect::<Option<_>>()?;
        let rest = tokens.iter().try_fold(total, |rest, &tokens| rest.checked_sub(tokens))?;
        tokens.push(rest);
        Some(tokens)
    }

    fn segment(&self, total: u64) -> &Segment {
        &self.segments[self.segments.partition_point(|segment| segment.start <= total).max(1) - 1]
    }
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

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn tokens_keep_to_the_shares_and_a_state_goes_on_exactly(
            weights in prop::collection::vec(0.01..1.0_f64, 1..6), seed: u64, longest in 1..3_000_u64, stop in 0..900_usize,
        ) {
            let steps = [Step::constant(0, &weights)];
            let new = || TokenBalance::try_new(&steps, 3, seed).unwrap();
            let (mut straight, mut draws) = (new(), Key::new(seed, 9, Level::Mix, 0).stream());
            let mut resumed = new();
            for turn in 0..1_000 {
                let lane = turn % 3;
                let source = straight.next_source(lane);
                if turn as usize >= stop {
                    prop_assert_eq!(resumed.next_source(lane), source);
                }
                let num_tokens = 1 + draws.draw_below(longest);
                straight.add(lane, source, num_tokens);
                resumed.add(lane, source, num_tokens);
                if turn as usize == stop {
                    let state = straight.state(0..3);
                    resumed = new();
                    resumed.restore(0..3, &state).unwrap();
                }
                let (tokens, sum) = (straight.tokens(lane), weights.iter().sum::<f64>());
                let total: u64 = tokens.iter().sum();
                for (&tokens, weight) in tokens.iter().zip(&weights) {
                    let off = (tokens as f64 - total as f64 * weight / sum).abs();
                    prop_assert!(off <= 2.0 * longest as f64 + 2.0, "{off} of {longest}");
                }
            }
        }
    }

    #[test]
    fn weights_change_after_so_many_tokens_of_all_lanes() {
        let steps = [Step::constant(0, &[1.0, 0.0]), Step::constant(4_000, &[1.0, 3.0])];
        let mut balance = TokenBalance::try_new(&steps, 4, 0).unwrap();
        for _ in 0..500 {
            let source = balance.next_source(2);
            balance.add(2, source, 10);
        }
        assert_eq!(balance.tokens(2), [2_000, 3_000]);
        assert_eq!(balance.tokens(1), [0, 0]);
        assert!(balance.state(0..4).iter().all(|&number| number.abs() <= 5_000));
    }

    #[test]
    fn a_state_of_something_else_is_refused() {
        let mut balance = TokenBalance::try_new(&[Step::constant(0, &[1.0, 1.0])], 2, 0).unwrap();
        for state in
            [&[1][..], &[1, 0, 2], &[-1, 0, 0, 0], &[4, 9, 0, 0], &[1, 0, 1, 0, 1, 0], &[4, -3, 0, 0]]
        {
            assert!(matches!(balance.restore(0..2, state), Err(Error::StateMismatch(_))), "{state:?}");
        }
        assert!(balance.restore([7], &[0, 0]).is_err());
        balance.restore(0..2, &[10, -5, 3, 1]).unwrap();
        assert_eq!((balance.tokens(0), balance.tokens(1)), (&[0, 10][..], &[2, 1][..]));
    }
}
