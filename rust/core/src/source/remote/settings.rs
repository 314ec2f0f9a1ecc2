//! What this process was told about networks: limits, and what to say to which server.
//!
//! Read without a lock, by threads that a fork may stop anywhere: settings are only ever added, the newest counts.
//! Secrets live here and nowhere else; nothing that holds one can be printed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::grown::Grown;

/// Limits of all reading over networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Requests at a time. With 20 ms to an answer, 32 of 1 MiB fill ten gigabits a second.
    pub connections: usize,
    /// Bytes that are fetched ahead of their use; `None` for an eighth of the memory, at most 1 GiB.
    pub ahead_bytes: Option<u64>,
    /// Requests a second of this process, after a burst of as many.
    pub requests_per_second: f64,
    /// How often a request is tried where no server says how long to wait.
    pub max_attempts: u32,
    /// How long a request may take, all its tries together.
    pub patience: Duration,
    /// The first wait between two tries; each next one is twice as long.
    pub first_wait: Duration,
    /// The longest wait between two tries.
    pub longest_wait: Duration,
    /// How long a connection, an answer, and each part of it may take to come.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32,
            ahead_bytes: None,
            requests_per_second: 500.0,
            max_attempts: 8,
            patience: Duration::from_secs(5 * 60),
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
        }
    }
}

/// Where fetched bytes are kept, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// The folder; `None` for `blocks` in rowmill's cache folder.
    pub folder: Option<PathBuf>,
    /// Bytes that it may hold; `None` for a fifth of the free disk, at most 64 GiB.
    pub budget: Option<u64>,
    /// Whether blocks are kept: `None` where a data set fits into the budget as a whole. Footers always are.
    pub keeps_blocks: Option<bool>,
    /// Whether anything is kept.
    pub is_on: bool,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { folder: None, budget: None, keeps_blocks: None, is_on: true }
    }
}

static LIMITS: Grown<Limits> = Grown::new();
static CACHE: Grown<CacheSettings> = Grown::new();
static HEADERS: Grown<(String, Vec<(String, String)>)> = Grown::new();
static WHOLE_URLS: Grown<HashMap<PathBuf, String>> = Grown::new();

/// The limits that hold now.
pub fn limits() -> Limits {
    LIMITS.iter().last().cloned().unwrap_or_default()
}

/// Changes the limits; threads and connections that exist stay.
pub fn set_limits(limits: Limits) {
    LIMITS.push(limits);
}

/// Where fetched bytes are kept.
pub fn cache_settings() -> CacheSettings {
    CACHE.iter().last().cloned().unwrap_or_default()
}

/// Changes where fetched bytes are kept, for data sets that are opened from now on.
pub fn set_cache(settings: CacheSettings) {
    CACHE.push(settings);
}

/// Sends these headers to servers of `origin` (`https://host`, with a port where it is not the usual one), and to no
/// other; none takes back what was set.
pub fn set_headers(origin: String, headers: Vec<(String, String)>) {
    let is_known =
        HEADERS.iter().filter(|(known, _)| *known == origin).last().is_some_and(|(_, set)| *set == headers);
    if !is_known {
        HEADERS.push((origin, headers));
    }
}

/// What is said to servers of an origin.
pub(super) fn headers_of(origin: &str) -> &'static [(String, String)] {
    HEADERS.iter().filter(|(known, _)| known == origin).last().map_or(&[], |(_, headers)| headers)
}

/// Keeps URLs with what is secret in them, by their bare forms.
pub fn keep_whole(urls: impl IntoIterator<Item = (PathBuf, String)>) {
    let urls: HashMap<_, _> = urls.into_iter().collect();
    if !urls.is_empty() {
        WHOLE_URLS.push(urls);
    }
}

/// The whole of a URL whose bare form stands in a manifest.
pub(super) fn whole_of(path: &std::path::Path) -> Option<&'static str> {
    WHOLE_URLS.iter().filter_map(|urls| urls.get(path)).last().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_belong_to_one_origin() {
        set_headers("https://one.test".to_owned(), vec![("authorization".to_owned(), "Bearer x".to_owned())]);
        assert_eq!(headers_of("https://one.test").len(), 1);
        assert!(headers_of("https://two.test").is_empty() && headers_of("http://one.test").is_empty());
        set_headers("https://one.test".to_owned(), Vec::new());
        assert!(headers_of("https://one.test").is_empty());
    }
}
