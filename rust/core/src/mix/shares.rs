//! Weights as exact fractions of one whole.

use crate::error::{Error, Result};

/// More sources than any mix has; a sample's source fits into a byte with room to spare.
pub const MAX_SOURCES: usize = 64;

/// A period longer than this is not tabulated.
const MAX_WHOLE: u32 = 1 << 20;

/// The whole where no smaller one fits: a prime, so that it shares no factor with a number of lanes.
const FINE_WHOLE: u32 = 1_048_573;

/// How far a share may be from the fraction that is taken for it: what is left of a double after some sums.
const TOLERANCE: f64 = 1.0 / (1_u64 << 40) as f64;

/// What each source has of the whole: `parts[s] / whole`, in lowest terms; the parts add up to the whole.
///
/// In this order, the first that applies:
/// 1. exactly the ratio of the weights as they are written in decimal, where the whole is at most 2^20;
/// 2. the fractions with the smallest common whole up to 2^20 that are all within 2^-40 of the weights'
///    shares (so `1/3` and `0.1 + 0.2` are what they mean);
/// 3. the nearest integers over 1,048,573: each share within one of these (1e-6) of its weight's, and no
///    positive weight becomes nothing.
///
/// ```
/// use rowmill_core::mix::Shares;
///
/// let shares = Shares::try_new(&[0.8, 0.2])?;
/// assert_eq!((shares.parts(), shares.whole()), (&[4, 1][..], 5));
/// # Ok::<(), rowmill_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    parts: Vec<u32>,
    whole: u32,
}

impl Shares {
    /// The shares of weights that are finite, not negative and not all zero.
    pub fn try_new(weights: &[f64]) -> Result<Self> {
        check(weights)?;
        let shares = of_decimals(weights).or_else(|| of_small_whole(weights));
        Ok(shares.unwrap_or_else(|| nearest(weights, FINE_WHOLE)))
    }

    /// Integers in lowest terms; `None` where their sum is too large.
    pub(super) fn of_parts(parts: &[u128]) -> Option<Self> {
        let divisor = parts.iter().copied().fold(0, gcd_u128);
        let parts: Vec<u128> = parts.iter().map(|part| part / divisor.max(1)).collect();
        let whole = parts.iter().try_fold(0_u128, |sum, &part| sum.checked_add(part))?;
        (whole <= u128::from(MAX_WHOLE))
            .then(|| Self { parts: parts.into_iter().map(|part| part as u32).collect(), whole: whole as u32 })
    }

    /// The nearest integers that add up to `whole`, and at least 1 for what is not 0; in lowest terms.
    pub(super) fn nearest_over(parts: &[u128], whole: u32) -> Self {
        let weights: Vec<f64> = parts.iter().map(|&part| part as f64).collect();
        let Self { parts, whole } = nearest(&weights, whole);
        let divisor =
            parts.iter().fold(whole, |divisor, &part| gcd(u64::from(divisor), u64::from(part)) as u32);
        Self { parts: parts.iter().map(|part| part / divisor).collect(), whole: whole / divisor }
    }

    /// Each source's part.
    pub fn parts(&self) -> &[u32] {
        &self.parts
    }

    /// What the parts add up to.
    pub fn whole(&self) -> u32 {
        self.whole
    }
}

fn check(weights: &[f64]) -> Result<()> {
    let invalid = |problem: String| Err(Error::InvalidArgument(problem));
    if weights.is_empty() || weights.len() > MAX_SOURCES {
        return invalid(format!("a mix has 1 to {MAX_SOURCES} sources, not {}", weights.len()));
    }
    if let Some(weight) = weights.iter().find(|weight| !weight.is_finite() || **weight < 0.0) {
        return invalid(format!("a weight is {weight}; weights are finite and not negative"));
    }
    if weights.iter().all(|&weight| weight == 0.0) {
        return invalid("all weights are 0; at least one source needs a positive one".to_owned());
    }
    Ok(())
}

/// Weights as they are written: the shortest decimal text that reads back as the same double.
fn of_decimals(weights: &[f64]) -> Option<Shares> {
    let decimals: Vec<(u128, i32)> = weights.iter().map(|&weight| decimal(weight)).collect::<Option<_>>()?;
    let lowest = decimals.iter().filter(|(digits, _)| *digits > 0).map(|(_, exponent)| *exponent).min()?;
    let scaled = decimals.into_iter().map(|(digits, exponent)| match digits {
        0 => Some(0),
        _ => 10_u128.checked_pow((exponent - lowest) as u32)?.checked_mul(digits),
    });
    Shares::of_parts(&scaled.collect::<Option<Vec<_>>>()?)
}

/// `digits * 10^exponent`.
fn decimal(weight: f64) -> Option<(u128, i32)> {
    let text = format!("{weight:e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{before}{after}").parse().ok()?;
    Some((digits, exponent.parse::<i32>().ok()? - after.len() as i32))
}

fn of_small_whole(weights: &[f64]) -> Option<Shares> {
    let shares = normalised(weights);
    let fits = |whole: &u32| {
        let whole = f64::from(*whole);
        shares.iter().all(|&share| {
            let part = (share * whole).round();
            (share * whole - part).abs() <= TOLERANCE * whole && (part > 0.0 || share == 0.0)
        })
    };
    let whole = (1..=MAX_WHOLE).find(fits)?;
    let parts: Vec<u128> = shares.iter().map(|share| (share * f64::from(whole)).round() as u128).collect();
    (parts.iter().sum::<u128>() == u128::from(whole)).then(|| Shares::of_parts(&parts))?
}

/// Largest remainders over a whole, and at least 1 for each positive weight.
fn nearest(weights: &[f64], whole: u32) -> Shares {
    let shares = normalised(weights);
    let exact: Vec<f64> = shares.iter().map(|share| share * f64::from(whole)).collect();
    let mut parts: Vec<u32> =
        exact.iter().map(|&part| if part > 0.0 { (part.floor() as u32).max(1) } else { 0 }).collect();
    let rest = |parts: &[u32], source: usize| exact[source] - f64::from(parts[source]);
    let by_rest = |parts: &[u32], one: &usize, other: &usize| {
        rest(parts, *one).total_cmp(&rest(parts, *other)).then(other.cmp(one))
    };
    let mut sum: u32 = parts.iter().sum();
    while sum != whole {
        let positive = (0..parts.len()).filter(|&source| exact[source] > 0.0);
        let chosen = if sum < whole {
            positive.max_by(|one, other| by_rest(&parts, one, other))
        } else {
            positive.filter(|&source| parts[source] > 1).min_by(|one, other| by_rest(&parts, one, other))
        };
        let Some(source) = chosen else { break };
        if sum < whole {
            (parts[source], sum) = (parts[source] + 1, sum + 1);
        } else {
            (parts[source], sum) = (parts[source] - 1, sum - 1);
        }
    }
    Shares { parts, whole: sum }
}

/// Shares of 1; scaled first, so that no sum overflows.
fn normalised(weights: &[f64]) -> Vec<f64> {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let scaled: Vec<f64> = weights.iter().map(|weight| weight / largest).collect();
    let sum: f64 = scaled.iter().sum();
    // What is positive stays so, even where it is too little beside the largest for a double.
    let share = |(scaled, &weight): (f64, &f64)| {
        if weight > 0.0 { (scaled / sum).max(f64::MIN_POSITIVE) } else { 0.0 }
    };
    scaled.into_iter().zip(weights).map(share).collect()
}

fn gcd_u128(mut a: u128, mut b: u128) -> u128 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The greatest common divisor.
pub(super) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[f64]) -> (Vec<u32>, u32) {
        let shares = Shares::try_new(weights).unwrap();
        assert_eq!(shares.parts.iter().sum::<u32>(), shares.whole);
        (shares.parts, shares.whole)
    }

    #[test]
    fn weights_are_taken_as_they_are_written() {
        assert_eq!(shares(&[0.8, 0.2]), (vec![4, 1], 5));
        assert_eq!(shares(&[3.0, 1.0, 0.0]), (vec![3, 1, 0], 4));
        assert_eq!(shares(&[0.55, 0.25, 0.15, 0.05]), (vec![11, 5, 3, 1], 20));
        assert_eq!(shares(&[1e-6, 0.999_999]), (vec![1, 999_999], 1_000_000));
        assert_eq!(shares(&[1e300, 1e300]), (vec![1, 1], 2));
        assert_eq!(shares(&[5e-324]), (vec![1], 1));
        assert_eq!(shares(&[2e6, 6e6]), (vec![1, 3], 4));
    }

    #[test]
    fn fractions_that_no_decimal_writes_are_found() {
        assert_eq!(shares(&[1.0 / 3.0, 2.0 / 3.0]), (vec![1, 2], 3));
        assert_eq!(shares(&[0.1 + 0.2, 0.7]), (vec![3, 7], 10));
        assert_eq!(shares(&[1.0 / 7.0; 7]), (vec![1; 7], 7));
    }

    #[test]
    fn other_weights_are_rounded_and_none_is_lost() {
        let weights = [123_456_789.0, 4_567_890.0, 1.0, 0.0];
        let (parts, whole) = shares(&weights);
        assert_eq!((whole, parts[2], parts[3]), (FINE_WHOLE, 1, 0));
        let sum: f64 = weights.iter().sum();
        for (part, weight) in parts.iter().zip(weights) {
            assert!((f64::from(*part) / f64::from(whole) - weight / sum).abs() < 1.0 / f64::from(whole));
        }
        let tiny: Vec<f64> = (0..64).map(|source| if source == 0 { 1.0 } else { 1e-12 }).collect();
        assert_eq!(shares(&tiny), ([vec![FINE_WHOLE - 63], vec![1; 63]].concat(), FINE_WHOLE));
        assert_eq!(shares(&[f64::MAX, f64::MIN_POSITIVE]), (vec![FINE_WHOLE - 1, 1], FINE_WHOLE));
    }

    #[test]
    fn what_is_no_weight_is_refused() {
        for weights in [&[][..], &[0.0, 0.0], &[1.0, -0.5], &[f64::NAN], &[f64::INFINITY], &[1.0; 65]] {
            assert!(matches!(Shares::try_new(weights), Err(Error::InvalidArgument(_))), "{weights:?}");
        }
    }
}
