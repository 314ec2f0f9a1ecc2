//! A small HTTP server on loopback that answers as a test wants, and counts.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use rowmill_core::source::remote::settings::{CacheSettings, Limits, set_cache, set_limits};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub range: Option<(u64, u64)>,
}

/// How it is answered.
pub enum Reply {
    /// As asked, with this tag.
    Part(&'static str),
    /// As asked, with a body that ends after so many bytes.
    Cut(usize),
    /// The whole object with status 200.
    Whole,
    /// The bytes of another range than was asked for.
    Shifted,
    /// A status and headers.
    Status(u16, Vec<(&'static str, String)>),
}

type Respond = dyn Fn(&Request, usize) -> Reply + Send + Sync;

pub struct Server {
    pub origin: String,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves `content` under every path; `respond` is asked with the request and how many came before it.
    pub fn start(
        content: Vec<u8>,
        respond: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        impatient();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (content, respond): (Arc<Vec<u8>>, Arc<Respond>) = (Arc::new(content), Arc::new(respond));
        let own = Arc::clone(&log);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (content, respond, log) = (Arc::clone(&content), Arc::clone(&respond), Arc::clone(&own));
                std::thread::spawn(move || serve(stream, &content, respond.as_ref(), &log));
            }
        });
        Self { origin, log }
    }

    pub fn url(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}/{name}", self.origin))
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// Bytes that were asked for.
    pub fn asked_bytes(&self) -> u64 {
        self.requests().iter().filter_map(|request| request.range).map(|(first, last)| last + 1 - first).sum()
    }
}

/// Short waits, and nothing kept on disk.
pub fn impatient() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_limits(Limits {
            max_attempts: 4,
            patience: Duration::from_secs(20),
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(50),
            timeout: Duration::from_secs(5),
            ..Limits::default()
        });
        set_cache(CacheSettings { is_on: false, ..CacheSettings::default() });
    });
}

fn serve(stream: TcpStream, content: &[u8], respond: &Respond, log: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader) {
        let before = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        if !answer(&mut writer, content, &request, &respond(&request, before)) {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let range = headers.get("range").and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    });
    Some(Request { path, headers, range })
}

/// Whether the connection lives on.
fn answer(writer: &mut TcpStream, content: &[u8], request: &Request, reply: &Reply) -> bool {
    let size = content.len() as u64;
    let (first, last) = request.range.unwrap_or((0, size - 1));
    let last = last.min(size - 1);
    let shift = u64::from(matches!(reply, Reply::Shifted));
    let range = format!("content-range: bytes {}-{}/{size}\r\n", first + shift, last + shift);
    let body = content.get(first as usize..=last as usize).unwrap_or_default();
    let (head, body) = match reply {
        Reply::Part(tag) => {
            (format!("206 Partial\r\netag: {tag}\r\n{range}content-length: {}\r\n", body.len()), body)
        }
        Reply::Cut(len) => {
            let head = format!("206 Partial\r\netag: \"a\"\r\n{range}content-length: {}\r\n", body.len());
            (head, &body[..*len])
        }
        Reply::Shifted => {
            (format!("206 Partial\r\netag: \"a\"\r\n{range}content-length: {}\r\n", body.len()), body)
        }
        Reply::Whole => (format!("200 OK\r\netag: \"a\"\r\ncontent-length: {size}\r\n"), content),
        Reply::Status(status, headers) => {
            let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            (format!("{status} Status\r\n{}content-length: 0\r\n", lines.concat()), &[][..])
        }
    };
    let is_sent =
        writer.write_all(format!("HTTP/1.1 {head}\r\n").as_bytes()).and_then(|()| writer.write_all(body));
    is_sent.is_ok() && !matches!(reply, Reply::Cut(_))
}

/// Bytes in which every place is told from every other one.
pub fn content(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}
