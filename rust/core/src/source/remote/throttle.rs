//! How often this process asks: one bucket of tokens for all, and pauses that a server asked for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::lock::Lock;

/// What may be asked when.
#[derive(Debug)]
pub(super) struct Throttle {
    state: Lock<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    filled: Instant,
    /// Of each origin that asked for a pause, when it ends.
    paused: HashMap<String, Instant>,
}

impl Throttle {
    pub fn new(burst: f64) -> Self {
        Self { state: Lock::new(State { tokens: burst, filled: Instant::now(), paused: HashMap::new() }) }
    }

    /// Takes a token for a request to `origin`, or says how long to wait before asking for one again.
    pub fn admit(&self, origin: &str, per_second: f64, now: Instant) -> Option<Duration> {
        let mut state = self.state.lock();
        if let Some(until) = state.paused.get(origin).copied() {
            if now < until {
                return Some(until - now);
            }
            state.paused.remove(origin);
        }
        let since = now.saturating_duration_since(state.filled).as_secs_f64();
        state.tokens = (state.tokens + since * per_second).min(per_second.max(1.0));
        state.filled = state.filled.max(now);
        if state.tokens >= 1.0 {
            state.tokens -= 1.0;
            return None;
        }
        Some(Duration::from_secs_f64((1.0 - state.tokens) / per_second))
    }

    /// Asks nothing of `origin` until then.
    pub fn pause(&self, origin: &str, until: Instant) {
        let mut state = self.state.lock();
        let known = state.paused.entry(origin.to_owned()).or_insert(until);
        *known = (*known).max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_burst_requests_come_at_the_rate() {
        let begin = Instant::now();
        let throttle = Throttle::new(2.0);
        assert_eq!([throttle.admit("a", 2.0, begin), throttle.admit("a", 2.0, begin)], [None, None]);
        let wait = throttle.admit("b", 2.0, begin).unwrap();
        assert!(wait > Duration::from_millis(400) && wait <= Duration::from_millis(500), "{wait:?}");
        // A nanosecond may be lost to rounding, and the bucket has filled while this test began.
        assert_eq!(throttle.admit("b", 2.0, begin + wait + Duration::from_millis(1)), None);
    }

    #[test]
    fn a_pause_holds_for_its_origin_only_and_the_longest_counts() {
        let begin = Instant::now();
        let throttle = Throttle::new(100.0);
        throttle.pause("a", begin + Duration::from_secs(9));
        throttle.pause("a", begin + Duration::from_secs(3));
        assert_eq!(throttle.admit("a", 100.0, begin), Some(Duration::from_secs(9)));
        assert_eq!(throttle.admit("b", 100.0, begin), None);
        assert_eq!(throttle.admit("a", 100.0, begin + Duration::from_secs(9)), None);
    }
}
