//! Weights that change on the way: steps and ramps over samples, as pieces of constant shares.

use super::shares::{Shares, gcd};
use crate::error::{Error, Result};

/// A ramp has at most so many steps.
const MAX_STAIRS: u64 = 256;

/// Steps of a ramp longer than this are rounded, so that each repeats itself soon.
const LONG_RAMP: u64 = 1 << 16;

/// What the shares on a long ramp are multiples of: one in so many.
const RAMP_WHOLE: u32 = 1_000;

/// All shares of a curve have a common whole up to this, so that what is due stays exact.
const MAX_WHOLE: u64 = 1 << 40;

/// Weights from one sample on.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The first sample with these weights; 0 for the first step, and ascending.
    pub start: u64,
    /// One for each source: finite, not negative, not all zero.
    pub weights: Vec<f64>,
    /// Whether the weights go from these to the next step's in a straight line, instead of staying.
    ///
    /// A ramp is a staircase of up to 256 equal steps, each with the shares in its middle; on a ramp over more
    /// than 65,536 samples these are rounded to thousandths.
    pub is_ramp: bool,
}

impl Step {
    /// Weights that stay.
    pub fn constant(start: u64, weights: &[f64]) -> Self {
        Self { start, weights: weights.to_vec(), is_ramp: false }
    }
}

/// Constant shares from one sample on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) shares: Shares,
}

/// The pieces of a curve, no two neighbours alike.
pub(super) fn pieces(steps: &[Step]) -> Result<Vec<Piece>> {
    check(steps)?;
    let shares: Vec<Shares> =
        steps.iter().map(|step| Shares::try_new(&step.weights)).collect::<Result<_>>()?;
    let mut pieces = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        match steps.get(index + 1) {
            Some(next) if step.is_ramp => {
                ramp(&mut pieces, step.start..next.start, &shares[index], &shares[index + 1]);
            }
            _ => pieces.push(Piece { start: step.start, shares: shares[index].clone() }),
        }
    }
    pieces.dedup_by(|later, earlier| later.shares == earlier.shares);
    Ok(pieces)
}

/// The least common multiple of the wholes; `None` where it is too large.
pub(super) fn common_whole(pieces: &[Piece]) -> Option<u64> {
    pieces.iter().try_fold(1_u64, |common, piece| {
        let whole = u64::from(piece.shares.whole());
        Some(common / gcd(common, whole) * whole).filter(|&common| common <= MAX_WHOLE)
    })
}

fn check(steps: &[Step]) -> Result<()> {
    let invalid = |problem: &str| Err(Error::InvalidArgument(problem.to_owned()));
    let Some(first) = steps.first() else { return invalid("a schedule of weights has at least one step") };
    if first.start != 0 {
        return invalid("the first step of a schedule of weights starts at sample 0");
    }
    if steps.windows(2).any(|pair| pair[0].start >= pair[1].start) {
        return invalid("the steps of a schedule of weights start at ascending samples");
    }
    if steps.iter().any(|step| step.weights.len() != first.weights.len()) {
        return invalid("every step of a schedule of weights has one weight for each source");
    }
    if steps.last().is_some_and(|step| step.is_ramp) {
        return invalid("the last step of a schedule of weights has nothing to go to; it cannot be a ramp");
    }
    Ok(())
}

fn ramp(pieces: &mut Vec<Piece>, span: std::ops::Range<u64>, from: &Shares, to: &Shares) {
    let len = span.end - span.start;
    let stairs = len.min(MAX_STAIRS);
    for stair in 0..stairs {
        let start = span.start + (u128::from(len) * u128::from(stair) / u128::from(stairs)) as u64;
        let shares = between(from, to, 2 * stair + 1, 2 * stairs, len > LONG_RAMP);
        pieces.push(Piece { start, shares });
    }
}

/// `part / of` of the way from one to the other.
fn between(from: &Shares, to: &Shares, part: u64, of: u64, is_rounded: bool) -> Shares {
    let (one, other) = (u128::from(from.whole()), u128::from(to.whole()));
    let mixed = |(&start, &end): (&u32, &u32)| {
        u128::from(start) * other * u128::from(of - part) + u128::from(end) * one * u128::from(part)
    };
    let parts: Vec<u128> = from.parts().iter().zip(to.parts()).map(mixed).collect();
    match Shares::of_parts(&parts) {
        Some(shares) if !is_rounded || shares.whole() <= RAMP_WHOLE => shares,
        _ => Shares::nearest_over(&parts, RAMP_WHOLE),
    }
}
