//! Bounded, ordered production of any `T` by threads; knows no rows, no files and no Arrow.
//!
//! - [`producer`]: jobs numbered 0, 1, 2, ... handed over in that order.
//! - [`requests`]: jobs named by keys that only the consumer knows, handed over by key.
//! - [`ring`]: the ordered slots under a producer; [`gate`]: how a thread sleeps and is woken.
//! - [`engine`]: what both share. [`crew`]: the threads and their clocks; [`guard`]: a job that may panic; [`spin`]: how long to
//!   wait awake.
//! - [`process`]: what the operating system must be asked for: forks, signals, CPU clocks.
//! - [`sync`]: the primitives that `ring` and `gate` are built of, so that loom can run them.
//!
//! `ring` and `gate` are model-checked: every interleaving of small cases is run by
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p rowmill-core --release --lib prefetch::model
//! ```
//!
//! (use a target folder of its own: the flag rebuilds every dependency).

mod crew;
mod engine;
mod gate;
mod guard;
#[cfg(all(test, loom))]
mod model;
mod process;
mod producer;
mod requests;
mod ring;
mod spin;
mod sync;

pub use guard::{Job, MakeJob};
pub use process::fork_generation;
pub(crate) use process::{watch_forks, without_signals};
pub use producer::{Producer, ProducerStats};
pub use requests::Requests;

use crate::Result;

/// What an item costs while it waits to be taken.
pub trait Weigh {
    /// Bytes held by the item.
    fn weight(&self) -> usize;
}

/// How far production may run ahead of its consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Threads to start; 0 runs each job in the caller, when it is asked for.
    pub num_threads: usize,
    /// Items begun and not yet taken, at most; 0 counts as 1.
    pub slots: usize,
    /// Bytes of such items, about: a job's weight is known only when it is done, so until then
    /// it counts as much as the last one. The next item to be taken is exempt.
    pub bytes: usize,
    /// Whether a waiting consumer runs the next job itself when no thread has begun it.
    pub help: bool,
}

/// The answer to "is there a next item?".
#[derive(Debug)]
pub enum Polled<T> {
    /// The next item, or the error that stands in its place.
    Ready(Result<T>),
    /// Not yet: ask again.
    Pending,
    /// All items were taken.
    Finished,
}
