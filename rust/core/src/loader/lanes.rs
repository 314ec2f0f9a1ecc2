//! Chunks of lanes on demand: what a pipeline needs whose next row only its filter knows.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::ahead::ReadAhead;
use super::epochs::{EpochReaders, Epochs};
use super::table::{RecentBlocks, Table};
use crate::assemble::RowSet;
use crate::error::{Error, Result};
use crate::prefetch::{Job, Limits, Polled, ProducerStats, Requests, Weigh, fork_generation};

/// Some consecutive rows of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chunk {
    /// Epoch of the order.
    pub epoch: u64,
    /// Which lane.
    pub lane: u32,
    /// First element of the lane.
    pub start: u64,
    /// Number of elements.
    pub len: u64,
}

/// The rows of a chunk; those left out for damage are missing.
pub struct ChunkRows {
    /// The rows that are there.
    pub rows: RowSet,
    /// Where each stands in the chunk.
    pub offsets: Vec<u32>,
}

impl Weigh for ChunkRows {
    fn weight(&self) -> usize {
        self.rows.len() * 64
    }
}

/// Reads chunks of lanes in the engine's threads, in the order in which they were asked for.
pub struct Lanes {
    requests: Requests<Chunk, ChunkRows>,
    /// Asked for and not yet taken; a resumed lane asks for chunks that nobody announced.
    asked: Mutex<HashSet<Chunk>>,
    fork_generation: u64,
}

impl Lanes {
    /// Starts the threads.
    pub fn start(table: Arc<Table>, epochs: Arc<Epochs>, limits: Limits) -> Self {
        let ahead = ReadAhead::start(&table, &epochs, limits.num_threads > 0).map(Arc::new);
        let make_job = move || {
            let (table, epochs, ahead) = (Arc::clone(&table), Arc::clone(&epochs), ahead.clone());
            let (mut readers, mut recent) = (EpochReaders::default(), RecentBlocks::default());
            Box::new(move |chunk: Chunk| {
                if let Some(ahead) = &ahead {
                    let num_lanes = u64::from(epochs.settings().num_lanes);
                    ahead.reached(chunk.epoch, chunk.start * num_lanes + u64::from(chunk.lane));
                }
                read_chunk(&table, &epochs, &mut readers, &mut recent, chunk)
            }) as Job<Chunk, ChunkRows>
        };
        let requests = Requests::start(limits, Arc::new(make_job));
        Self { requests, asked: Mutex::default(), fork_generation: fork_generation() }
    }

    /// Asks for a chunk that will be taken soon.
    pub fn submit(&self, chunk: Chunk) -> Result<()> {
        // Before the lock: in a forked child it may be held for ever.
        if self.fork_generation != fork_generation() {
            return Err(Error::Closed);
        }
        if self.asked.lock().insert(chunk) { self.requests.submit(chunk) } else { Ok(()) }
    }

    /// The rows of a chunk, waiting at most `timeout`; one that was not asked for is asked for now.
    pub fn take(&self, chunk: Chunk, timeout: Duration) -> Polled<ChunkRows> {
        if let Err(error) = self.submit(chunk) {
            return Polled::Ready(Err(error));
        }
        let taken = self.requests.take(&chunk, timeout);
        if !matches!(taken, Polled::Pending) {
            self.asked.lock().remove(&chunk);
        }
        taken
    }

    /// What the engine did so far.
    pub fn stats(&self) -> ProducerStats {
        self.requests.stats()
    }

    /// Stops the threads.
    pub fn close(&self) {
        self.requests.close();
    }
}

fn read_chunk(
    table: &Table,
    epochs: &Epochs,
    readers: &mut EpochReaders,
    recent: &mut RecentBlocks,
    chunk: Chunk,
) -> Result<ChunkRows> {
    let (mut rows, mut offsets) = (RowSet::default(), Vec::new());
    for offset in 0..chunk.len {
        let place = readers.reader(epochs, chunk.epoch).locate_in_lane(chunk.lane, chunk.start + offset);
        if table.push_row(place, &mut rows, recent)? {
            offsets.push(offset as u32);
        }
    }
    rows.ensure()?;
    Ok(ChunkRows { rows, offsets })
}
