//! How long to wait before asking again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ureq::http::HeaderMap;

/// Twice as long each time, by half at random, so that a crowd does not come back as one.
pub(super) fn backoff(attempt: u32, first: Duration, longest: Duration, random: u64) -> Duration {
    let full = first.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX)).min(longest);
    full.mul_f64(0.5 + 0.5 * (random >> 11) as f64 / (1_u64 << 53) as f64)
}

/// How long a server that refused for now asks us to wait: by `Retry-After`, or by the headers of its rate limit.
pub(super) fn asked_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(said) = text("retry-after") {
        let until = |date| date_of(date).and_then(|at| at.duration_since(now).ok());
        return seconds(said).or_else(|| until(said));
    }
    reset_of(headers)
}

/// When a server that has nothing left for us gives again, as far as it says so in an answer that went well.
pub(super) fn exhausted(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let of_pairs = text("ratelimit").and_then(|value| pair(value, "r"));
    let remaining = of_pairs.or_else(|| {
        ["ratelimit-remaining", "x-ratelimit-remaining"]
            .into_iter()
            .find_map(|name| text(name)?.trim().parse().ok())
    });
    (remaining? == 0).then(|| reset_of(headers)).flatten()
}

fn reset_of(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let of_pairs = text("ratelimit").and_then(|value| pair(value, "t").or_else(|| pair(value, "reset")));
    let reset = of_pairs.or_else(|| {
        ["ratelimit-reset", "x-ratelimit-reset"].into_iter().find_map(|name| text(name)?.trim().parse().ok())
    })?;
    // Some servers name a time instead of a duration.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Some(Duration::from_secs(if reset > 1_000_000_000 { reset.saturating_sub(now) } else { reset }))
}

/// The number behind `name=` in `"default";r=0;t=30` or `limit=10, remaining=0, reset=30`.
fn pair(value: &str, name: &str) -> Option<u64> {
    let parts = value.split([';', ',']).map(str::trim);
    parts.filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// The time in a header: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date_of(text: &str) -> Option<SystemTime> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_once(',')?.1.split_whitespace();
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = (MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? / 3 + 1) as u64;
    let year: u64 = words.next()?.parse().ok().filter(|year| (1970..10_000).contains(year))?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    // Days since 1970 by years that begin in March, where the leap day is the last of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    let since = days.checked_mul(86_400)?.checked_add(hours * 3600 + minutes * 60 + seconds)?;
    Some(UNIX_EPOCH + Duration::from_secs(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<ureq::http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn waits_double_up_to_a_bound_and_differ_at_random() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(2));
        for attempt in 0..40 {
            let low = backoff(attempt, first, longest, 0);
            let high = backoff(attempt, first, longest, u64::MAX);
            assert!(low >= first / 2 && high <= longest && low < high, "{attempt}: {low:?} {high:?}");
        }
        assert_eq!(backoff(1, first, longest, 0), first);
    }

    #[test]
    fn what_servers_ask_for_is_understood() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        for (given, wanted) in [
            (vec![("retry-after", "7")], Some(7)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], Some(30)),
            (vec![("ratelimit", "\"resolvers\";r=0;t=12")], Some(12)),
            (vec![("ratelimit-reset", "5")], Some(5)),
            (vec![("x-ratelimit-reset", "9")], Some(9)),
            (vec![("retry-after", "soon")], None),
            (vec![("retry-after", "Sun, 99 Xxx 1994 08:49:37 GMT")], None),
            (vec![], None),
        ] {
            assert_eq!(asked_wait(&headers(&given), now), wanted.map(Duration::from_secs), "{given:?}");
        }
    }

    #[test]
    fn a_limit_that_is_used_up_is_seen_before_it_is_run_into() {
        for (given, wanted) in [
            (vec![("ratelimit", "\"api\";r=0;t=12")], Some(12)),
            (vec![("ratelimit", "\"api\";r=3;t=12")], None),
            (vec![("ratelimit-remaining", "0"), ("ratelimit-reset", "4")], Some(4)),
            (vec![("ratelimit-reset", "4")], None),
        ] {
            assert_eq!(exhausted(&headers(&given)), wanted.map(Duration::from_secs), "{given:?}");
        }
    }
}
