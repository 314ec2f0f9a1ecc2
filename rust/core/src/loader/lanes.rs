//! Chunks of lanes on demand: what a pipeline needs whose next row only its filter knows.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::ahead::ReadAhead;
use super::epochs::{EpochReaders, Epochs};
use super::pruned::Pruned;
use super::table::{RecentBlocks, Table};
use super::windows::OpenWindows;
use crate::assemble::RowSet;
use crate::error::{Error, Result};
use crate::prefetch::{Job, Limits, Polled, ProducerStats, Requests, Weigh, fork_generation};
use crate::text::encoder::Encoder;
use crate::text::tokenizer::Scratch;

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

/// The rows of a chunk; those left out for damage, or in blocks that a filter needs not see, are missing.
#[derive(Default)]
pub struct ChunkRows {
    /// The rows that are there.
    pub rows: RowSet,
    /// Where each stands in the chunk.
    pub offsets: Vec<u32>,
    /// How many were not read because their blocks hold nothing that the filter keeps.
    pub num_pruned: u64,
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
    ///
    /// Rows that are tokenized come as what `encoder` makes of them.
    pub fn start(
        table: Arc<Table>,
        epochs: Arc<Epochs>,
        pruned: Arc<Pruned>,
        encoder: Option<Arc<Encoder>>,
        limits: Limits,
    ) -> Self {
        let windows = Arc::new(OpenWindows::new(Arc::clone(&table), Arc::clone(&epochs), 0));
        let ahead = ReadAhead::start(&table, &epochs, limits.num_threads > 0);
        let ahead = ahead.map(|ahead| Arc::new(ahead.without(Arc::clone(&pruned))));
        let make_job = move || {
            let (table, epochs, ahead) = (Arc::clone(&table), Arc::clone(&epochs), ahead.clone());
            let (windows, pruned, encoder) = (Arc::clone(&windows), Arc::clone(&pruned), encoder.clone());
            let (readers, recent) = (EpochReaders::default(), RecentBlocks::default());
            let scratch = Scratch::default();
            let mut worker =
                Worker { table, epochs, ahead, windows, pruned, encoder, scratch, readers, recent };
            Box::new(move |chunk: Chunk| worker.read(chunk)) as Job<Chunk, ChunkRows>
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

/// One thread's part.
struct Worker {
    table: Arc<Table>,
    epochs: Arc<Epochs>,
    ahead: Option<Arc<ReadAhead>>,
    windows: Arc<OpenWindows>,
    pruned: Arc<Pruned>,
    encoder: Option<Arc<Encoder>>,
    scratch: Scratch,
    readers: EpochReaders,
    recent: RecentBlocks,
}

impl Worker {
    fn read(&mut self, chunk: Chunk) -> Result<ChunkRows> {
        if let Some(ahead) = &self.ahead {
            ahead.reached(&self.epochs.spot(chunk.epoch, chunk.lane, chunk.start));
        }
        let mut read = ChunkRows::default();
        for offset in 0..chunk.len {
            let spot = self.epochs.spot(chunk.epoch, chunk.lane, chunk.start + offset);
            let place = self.readers.locate(&self.epochs, &spot);
            self.windows.reached(&spot);
            if self.pruned.contains(&self.table, place.block) {
                read.num_pruned += 1;
            } else if self.table.push_row(place, &mut read.rows, &mut self.recent)? {
                read.offsets.push(offset as u32);
            }
        }
        read.rows.ensure()?;
        if let Some(encoder) = &self.encoder {
            read.rows = encoder.apply(&read.rows, &mut self.scratch)?;
        }
        Ok(read)
    }
}
