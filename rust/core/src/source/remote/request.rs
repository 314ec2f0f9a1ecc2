//! One range of one object: asked for, followed where a server sends us on, checked against what was asked.

use std::io::Read;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::{Agent, Body};
use url::Url;

use super::address::origin_of;
use super::agent::{trouble_of, trouble_of_io};
use super::backoff::{asked_wait, exhausted};
use super::settings::headers_of;
use super::stats::Counters;
use super::throttle::Throttle;
use super::trouble::Trouble;
use super::version::Seen;

/// A server may send us on this often.
const MAX_HOPS: usize = 10;

/// A server that answers with the whole object is put up with where that is no more than this.
const READ_THROUGH: u64 = 8 << 20;

/// What requests go through.
pub(super) struct Wire<'a> {
    pub agent: &'a Agent,
    pub counters: &'a Counters,
    pub throttle: &'a Throttle,
    pub per_second: f64,
    /// The longest that a server may keep us waiting.
    pub patience: Duration,
    /// The object's own URL, where it has one: what is said to its server is said of it, wherever there it lies.
    pub home: Option<&'a Url>,
    /// Whether the answer is still wanted: asked while we wait to be let through.
    pub is_wanted: &'a dyn Fn() -> bool,
}

/// An answer whose head has come.
pub(super) struct Answer {
    pub seen: Seen,
    /// Where it came from, in the end.
    pub url: Url,
    /// The part of the object that its body is.
    range: Range<u64>,
    body: Body,
}

/// How long a wait lasts before we look whether its end is still wanted.
pub(super) const SLICE: Duration = Duration::from_millis(100);

impl Wire<'_> {
    /// Asks `url` for a part of the object; the first bytes of it where there are fewer. Beside what went wrong stands
    /// whether it did where we were sent on to.
    pub fn get(&self, url: &Url, range: Range<u64>) -> Result<Answer, (Trouble, bool)> {
        let mut url = url.clone();
        let mut linked = Vec::new();
        for hop in 0..MAX_HOPS {
            let placed = |trouble| (trouble, hop > 0);
            let response = self.send(&url, &range).map_err(placed)?;
            if !response.status().is_redirection() {
                return answer(response, url, linked, range).map_err(placed);
            }
            Counters::add(&self.counters.redirects, 1);
            linked.extend(text_of(response.headers(), "x-linked-etag"));
            url = next_of(&url, response.headers()).map_err(|trouble| (trouble, false))?;
        }
        Err((Trouble::Unsupported(format!("its servers send us on more than {MAX_HOPS} times")), false))
    }

    fn send(&self, url: &Url, range: &Range<u64>) -> Result<Response<Body>, Trouble> {
        let origin = origin_of(url);
        self.wait_for_turn(&origin)?;
        let mut request = self.agent.get(url.as_str());
        request = request.header(header::RANGE, format!("bytes={}-{}", range.start, range.end.max(1) - 1));
        for (name, value) in self.headers_for(url, &origin) {
            request = request.header(name, value);
        }
        Counters::add(&self.counters.requests, 1);
        let response = request.call().map_err(|error| trouble_of(&error))?;
        if let Some(pause) = exhausted(response.headers()) {
            self.throttle.pause(&origin, Instant::now() + pause.min(self.patience));
        }
        if let Some(trouble) = refusal(response.status(), response.headers()) {
            if let Trouble::Passing { wait: Some(wait), .. } = &trouble {
                // Nobody waits for longer than that; the next request asks how things stand.
                self.throttle.pause(&origin, Instant::now() + (*wait).min(self.patience));
            }
            // A short text that says why; read so that the connection can be used again.
            let _ = response.into_body().with_config().limit(1 << 16).read_to_vec();
            return Err(trouble);
        }
        Ok(response)
    }

    /// What the server is told: what was said of the object, to its own origin alone; else what was said of the place
    /// that we were sent to.
    fn headers_for(&self, url: &Url, origin: &str) -> &'static [(String, String)] {
        let home = self.home.filter(|home| origin_of(home) == origin);
        home.and_then(headers_of).or_else(|| headers_of(url)).unwrap_or_default()
    }

    fn wait_for_turn(&self, origin: &str) -> Result<(), Trouble> {
        while let Some(wait) = self.throttle.admit(origin, self.per_second, Instant::now()) {
            if !(self.is_wanted)() {
                return Err(Trouble::Stopped);
            }
            std::thread::sleep(wait.min(SLICE));
        }
        Ok(())
    }
}

/// What a status says that is neither success nor a redirect.
fn refusal(status: StatusCode, headers: &HeaderMap) -> Option<Trouble> {
    let code = status.as_u16();
    match code {
        200..=399 => None,
        401 | 403 => Some(Trouble::Denied(format!(
            "the server answers {code}: the token or the signature it was shown is missing, wrong or expired; \
             HF_TOKEN (for the Hub), rowmill.remote.set_token or the store's own variables give another"
        ))),
        404 | 410 => Some(Trouble::Missing(format!("the server answers {code}; it was moved or deleted"))),
        416 => Some(Trouble::Changed("shorter than when it was indexed (the server answers 416)".to_owned())),
        408 | 425 | 429 | 500 | 502..=504 | 509 | 520..=530 => Some(Trouble::Passing {
            what: format!("the server answers {code}"),
            wait: asked_wait(headers, SystemTime::now()).filter(|_| matches!(code, 429 | 503)),
        }),
        _ => Some(Trouble::Unsupported(format!("the server answers {code}"))),
    }
}

fn next_of(url: &Url, headers: &HeaderMap) -> Result<Url, Trouble> {
    let next = text_of(headers, header::LOCATION.as_str()).and_then(|place| url.join(&place).ok());
    let next = next.filter(|next| matches!(next.scheme(), "http" | "https"));
    let Some(next) = next else {
        return Err(Trouble::Unsupported("its server sends us on without saying where to".to_owned()));
    };
    if url.scheme() == "https" && next.scheme() == "http" {
        return Err(Trouble::Unsupported(
            "its server sends us from https to http, where anybody reads along".to_owned(),
        ));
    }
    Ok(next)
}

fn answer(
    response: Response<Body>,
    url: Url,
    linked: Vec<String>,
    asked: Range<u64>,
) -> Result<Answer, Trouble> {
    let (head, body) = response.into_parts();
    let headers = &head.headers;
    if text_of(headers, "content-encoding").is_some_and(|encoding| encoding != "identity") {
        return Err(Trouble::Unsupported(
            "its server packs what it sends, though it was asked not to".to_owned(),
        ));
    }
    let (range, size) = if head.status == StatusCode::PARTIAL_CONTENT {
        part_of(headers, &asked)?
    } else {
        whole_of(headers, body.content_length(), &asked)?
    };
    let linked = linked.into_iter().chain(text_of(headers, "x-linked-etag")).collect();
    let (etag, modified) = (text_of(headers, "etag"), text_of(headers, "last-modified"));
    Ok(Answer { seen: Seen { size, etag, linked, modified }, url, range, body })
}

/// The part that a 206 is, and the size of the whole.
fn part_of(headers: &HeaderMap, asked: &Range<u64>) -> Result<(Range<u64>, u64), Trouble> {
    let said = text_of(headers, "content-range").unwrap_or_default();
    let parsed = said.strip_prefix("bytes ").and_then(|said| {
        let (range, size) = said.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        Some((first..last.checked_add(1)?, size.trim().parse::<u64>().ok()?))
    });
    let is_asked = |(range, size): &(Range<u64>, u64)| {
        range.start == asked.start && range.end == asked.end.min(*size) && range.end <= *size
    };
    parsed.filter(is_asked).ok_or_else(|| {
        Trouble::Unsupported(format!(
            "its server was asked for bytes {}-{} and answers with {said:?}",
            asked.start,
            asked.end.max(1) - 1
        ))
    })
}

/// The same of a server that takes no notice of ranges.
fn whole_of(
    headers: &HeaderMap,
    length: Option<u64>,
    asked: &Range<u64>,
) -> Result<(Range<u64>, u64), Trouble> {
    let said = text_of(headers, "content-length").and_then(|text| text.parse().ok());
    let size: Option<u64> = length.or(said);
    match size {
        Some(size) if size <= READ_THROUGH || (asked.start == 0 && asked.end >= size) => Ok((0..size, size)),
        Some(_) | None => Err(Trouble::Unsupported(
            "its server does not answer requests for a part of it (Range); download it and open the file"
                .to_owned(),
        )),
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(|text| text.trim().to_owned())
}

impl Answer {
    /// The bytes of `asked`, of which there may be fewer where the object ends.
    pub fn read(self, asked: &Range<u64>, counters: &Counters) -> Result<Vec<u8>, Trouble> {
        let skipped = asked.start.saturating_sub(self.range.start);
        let wanted = asked.end.min(self.range.end).saturating_sub(asked.start);
        let mut bytes = Vec::new();
        let no_room = |_| Trouble::Unsupported(format!("{wanted} bytes do not fit into memory"));
        bytes.try_reserve_exact(wanted as usize).map_err(no_room)?;
        let mut reader = self.body.into_reader();
        let passed = |error: std::io::Error| trouble_of_io(&error);
        let over = std::io::copy(&mut reader.by_ref().take(skipped), &mut std::io::sink()).map_err(passed)?;
        let read = reader.by_ref().take(wanted).read_to_end(&mut bytes);
        Counters::add(&counters.bytes, over + bytes.len() as u64);
        read.map_err(passed)?;
        if over < skipped || (bytes.len() as u64) < wanted {
            return Err(Trouble::passing(format!("the answer ends after {} of {wanted} bytes", bytes.len())));
        }
        // Read to its end, so that the connection can be used again; what is more than that was never asked for.
        if self.range.end <= asked.end {
            let _ = reader.read(&mut [0]);
        }
        Ok(bytes)
    }
}
