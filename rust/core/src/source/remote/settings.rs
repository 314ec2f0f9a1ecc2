//! What this process was told about networks: limits, and what to say to which server.
//!
//! Read without a lock, by threads that a fork may stop anywhere: settings are only ever added, the newest counts.
//! Secrets live here and nowhere else; nothing that holds one can be printed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::address::origin_of;
use super::grown::Grown;
use crate::error::{Error, Result};

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
static HEADERS: Grown<Said> = Grown::new();
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

type Headers = Vec<(String, String)>;

/// What is said of the objects below a URL.
struct Said {
    origin: String,
    /// Without a slash at its end; all objects of the origin where it is empty.
    path: String,
    /// `None` where nothing is known any more, and what was said of a shorter path counts.
    headers: Option<Headers>,
}

impl Said {
    fn is_of(&self, url: &Url, origin: &str) -> bool {
        let below = url.path().strip_prefix(&*self.path);
        self.origin == origin && below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

/// Sends these headers with requests for objects below `prefix`: an origin (`https://host`), or a URL there, which
/// counts before a shorter one. An empty list says nothing to the server, `None` takes back what was set.
///
/// # Errors
/// `InvalidArgument` for what is no URL.
pub fn set_headers(prefix: &str, headers: Option<Headers>) -> Result<()> {
    let url = Url::parse(prefix).map_err(|error| {
        Error::InvalidArgument(format!("headers are sent to a URL, and this is none ({error})"))
    })?;
    let (origin, path) = (origin_of(&url), url.path().trim_end_matches('/').to_owned());
    let newest = HEADERS.iter().filter(|said| said.origin == origin && said.path == path).last();
    if newest.is_none_or(|said| said.headers != headers) {
        HEADERS.push(Said { origin, path, headers });
    }
    Ok(())
}

/// What is said to its server when the object at `url` is asked for.
pub(super) fn headers_of(url: &Url) -> Option<&'static [(String, String)]> {
    let origin = origin_of(url);
    let mut newest: Vec<&'static Said> = Vec::new();
    for said in HEADERS.iter().filter(|said| said.is_of(url, &origin)) {
        newest.retain(|before| before.path != said.path);
        newest.push(said);
    }
    let known = newest.into_iter().filter_map(|said| Some((said.path.len(), said.headers.as_deref()?)));
    known.max_by_key(|(len, _)| *len).map(|(_, headers)| headers)
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
    fn headers_belong_to_one_origin_and_the_longest_prefix() {
        let said = |url: &str| headers_of(&Url::parse(url).unwrap()).map(<[_]>::to_vec);
        let token = |token: &str| Some(vec![("authorization".to_owned(), token.to_owned())]);
        set_headers("https://one.test", token("x")).unwrap();
        assert_eq!(said("https://one.test/a/b"), token("x"));
        assert_eq!(said("https://one.test:8443/a/b"), None);
        assert!(said("https://two.test/").is_none() && said("http://one.test/").is_none());
        set_headers("https://one.test/a/b/", token("y")).unwrap();
        set_headers("https://one.test/a/c", Some(Vec::new())).unwrap();
        for (path, expected) in [
            ("a/b", token("y")),
            ("a/b/c?d=e", token("y")),
            ("a/bc", token("x")),
            ("a/b/../x", token("x")),
            ("a/c/d", Some(Vec::new())),
            ("a", token("x")),
        ] {
            assert_eq!(said(&format!("https://one.test/{path}")), expected, "{path}");
        }
        set_headers("https://one.test/a/b", None).unwrap();
        assert_eq!(said("https://one.test/a/b/c"), token("x"));
        set_headers("https://one.test", None).unwrap();
        assert_eq!(said("https://one.test/a/b/c"), None);
        assert!(set_headers("one.test", None).is_err());
    }
}
