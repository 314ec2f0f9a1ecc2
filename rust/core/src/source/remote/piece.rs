//! A piece of a download: one request, from the network into its place in a file.
//!
//! Nothing is followed, awaited or tried again here: whoever downloads knows what an answer means, and asks in its own
//! way for what did not come.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use ureq::Body;
use ureq::http::{Response, StatusCode, header};

use super::engine::engine;
use super::stats::Counters;
use crate::error::{Error, Result};

/// Read, and written, at a time.
const BUFFER: usize = 256 << 10;

/// Asks `url` for a part of what is there and writes it to the same place of the file; says how many bytes came.
///
/// Fewer than were asked for, or none, where the server answers with anything else, or stops. `headers` are shown to
/// that server alone; `timeout` is that of each step.
///
/// # Errors
/// `Io` where the file cannot be written.
pub fn fetch_piece(
    url: &str,
    headers: &[(String, String)],
    range: Range<u64>,
    file: &Path,
    timeout: Duration,
) -> Result<u64> {
    let Some(response) = ask(url, headers, &range, timeout) else { return Ok(0) };
    let failed = |error| Error::io("write", file, error);
    let mut out = File::options().write(true).open(file).map_err(failed)?;
    out.seek(SeekFrom::Start(range.start)).map_err(failed)?;
    let (mut body, mut buffer) = (response.into_body().into_reader(), vec![0; BUFFER]);
    let mut left = range.end - range.start;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match body.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(read) => {
                out.write_all(&buffer[..read]).map_err(failed)?;
                left -= read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    if left == 0 {
        // Read to its end, so that the connection can be used again.
        let _ = body.read(&mut buffer[..1]);
    }
    let came = range.end - range.start - left;
    Counters::add(&engine().counters.bytes, came);
    Ok(came)
}

/// The answer, if it is just the part that was asked for.
fn ask(
    url: &str,
    headers: &[(String, String)],
    range: &Range<u64>,
    timeout: Duration,
) -> Option<Response<Body>> {
    let last = range.end.checked_sub(1).filter(|last| *last >= range.start)?;
    let config = engine().agent().get(url).config();
    let config = config.timeout_connect(Some(timeout)).timeout_recv_response(Some(timeout));
    let mut request = config.timeout_per_read(Some(timeout)).build();
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request = request.header(header::RANGE, format!("bytes={}-{last}", range.start));
    Counters::add(&engine().counters.requests, 1);
    let response = request.call().ok()?;
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_part = text(header::CONTENT_RANGE).starts_with(&format!("bytes {}-{last}/", range.start));
    let is_plain = matches!(text(header::CONTENT_ENCODING), "" | "identity");
    (response.status() == StatusCode::PARTIAL_CONTENT && is_part && is_plain).then_some(response)
}
