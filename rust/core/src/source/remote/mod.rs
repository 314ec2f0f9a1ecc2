//! Objects on a network, read by ranges: `https://`, `s3://`, `gs://` and `az://`.
//!
//! - [`mod@address`]: URLs, and what of them may be written down; `version`: which version of an object is read
//! - `file`: an object as a [`super::Source`]; `parts`: which of its ranges are wanted, and by whom; `spans`: ranges that
//!   are fetched at once
//! - `engine`: the threads of a process that fetch; `fetch`: a range, as often asked for as it takes; `backoff`,
//!   `throttle`: when to ask; `request`: one answer, followed and checked; `place`: where an object was found;
//!   `agent`: the HTTP client; `piece`: one answer into a file, for those that ask in their own way
//! - `stores`: signed URLs and listings of object stores
//! - `cache`: fetched ranges on disk
//! - [`mod@settings`]: limits and credentials of the process; `grown`, `lock`: what a fork leaves usable; `stats`: what it all cost;
//!   `trouble`: what goes wrong
//!
//! Nothing runs before something is asked for, and nothing of a parent is used in its child. Credentials are looked up
//! by origin when a request is sent: no object, manifest or error holds one.

pub mod address;
mod agent;
mod backoff;
mod cache;
mod engine;
mod fetch;
mod file;
mod grown;
mod lock;
mod parts;
mod piece;
mod place;
mod request;
pub mod settings;
mod spans;
mod stats;
mod stores;
mod throttle;
mod trouble;
mod version;

pub use address::{bare, is_remote};
pub use file::{RemoteFile, download, probe};
pub use piece::fetch_piece;
pub use stats::Stats;
pub use stores::list;
pub use version::Known;

/// What reading over networks has cost this process so far.
pub fn stats() -> Stats {
    engine::engine().counters.read()
}
