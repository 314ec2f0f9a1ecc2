//! One range, as often asked for as it takes.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use url::Url;

use super::backoff::backoff;
use super::engine::Engine;
use super::place::Place;
use super::request::{Answer, SLICE, Wire};
use super::settings::Limits;
use super::stats::Counters;
use super::trouble::Trouble;
use super::version::Seen;
use crate::source::FileIdentity;

/// What is asked for.
pub(super) struct Asked<'a> {
    pub path: &'a Path,
    pub place: &'a Place,
    /// The version that it must be; `None` where that is the question.
    pub expected: Option<FileIdentity>,
    pub range: Range<u64>,
    /// Whether anybody still wants it.
    pub is_wanted: &'a dyn Fn() -> bool,
}

/// The bytes of a range, and the object that they are of.
pub(super) fn fetch(engine: &Engine, asked: &Asked<'_>) -> Result<(Vec<u8>, Seen), Trouble> {
    let limits = super::settings::limits();
    let begun = Instant::now();
    let (mut tries, mut renewals) = (0, 0);
    loop {
        let trouble = match try_once(engine, &limits, asked) {
            Ok(found) => return Ok(found),
            Err(Refused { trouble, is_borrowed: true }) if renewals < 3 && is_expiry(&trouble) => {
                // A place that was lent to us and is no longer: the first server lends another.
                asked.place.forget();
                renewals += 1;
                Counters::add(&engine.counters.retries, 1);
                continue;
            }
            Err(refused) => refused.trouble,
        };
        let Trouble::Passing { what, wait } = trouble else { return Err(trouble) };
        // A server that says when to come back is alive: only patience counts then.
        tries += u32::from(wait.is_none());
        let pause = wait
            .unwrap_or_else(|| backoff(tries - 1, limits.first_wait, limits.longest_wait, engine.random()));
        let spent = begun.elapsed();
        if tries >= limits.max_attempts || spent + pause > limits.patience {
            return Err(Trouble::Unreachable(format!(
                "{what}; given up after {} tries in {:.0} s, go on from the last cursor when the network is back",
                tries.max(1),
                spent.as_secs_f64()
            )));
        }
        Counters::add(&engine.counters.retries, 1);
        asked.place.forget();
        rest(pause, asked.is_wanted)?;
    }
}

struct Refused {
    trouble: Trouble,
    is_borrowed: bool,
}

/// Statuses by which servers say that a signature has expired.
fn is_expiry(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Denied(_) | Trouble::Missing(_) | Trouble::Unsupported(_))
}

fn try_once(engine: &Engine, limits: &Limits, asked: &Asked<'_>) -> Result<(Vec<u8>, Seen), Refused> {
    let plain = |trouble| Refused { trouble, is_borrowed: false };
    let found = asked.place.find(asked.path).map_err(plain)?;
    let refused = |trouble| Refused { trouble, is_borrowed: found.is_borrowed };
    let home = Url::parse(asked.path.to_str().unwrap_or_default()).ok().filter(Url::has_authority);
    let wire = Wire {
        agent: engine.agent(),
        counters: &engine.counters,
        throttle: &engine.throttle,
        per_second: limits.requests_per_second,
        patience: limits.patience,
        home: home.as_ref(),
        is_wanted: asked.is_wanted,
    };
    let answer: Answer = wire.get(&found.url, asked.range.clone()).map_err(|(trouble, is_elsewhere)| {
        Refused { trouble, is_borrowed: found.is_borrowed || is_elsewhere }
    })?;
    if let Some(expected) = asked.expected {
        answer.seen.check(expected, found.twin.as_deref()).map_err(refused)?;
    }
    let (seen, url) = (answer.seen.clone(), answer.url.clone());
    let bytes = answer.read(&asked.range, &engine.counters).map_err(refused)?;
    if !found.is_borrowed {
        asked.place.came_from(&found.url, &url, seen.etag.clone());
    }
    Ok((bytes, seen))
}

fn rest(pause: Duration, is_wanted: &dyn Fn() -> bool) -> Result<(), Trouble> {
    let until = Instant::now() + pause;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        if !is_wanted() {
            return Err(Trouble::Stopped);
        }
        std::thread::sleep(left.min(SLICE));
    }
}
