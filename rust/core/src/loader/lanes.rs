//! Chunks of lanes on demand: what a pipeline needs whose next row only its filter knows.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::ahead::ReadAhead;
use super::epochs::{EpochReaders, Epochs};
use super::files::Files;
use super::pruned::Pruned;
use super::table::{RecentBlocks, Table};
use super::windows::OpenWindows;
use crate::assemble::RowSet;
use crate::error::{Error, Result};
use crate::prefetch::{Job, Limits, Polled, ProducerStats, Requests, Weigh, fork_generation};
use crate::text::encoder::Encoder;

/// Some consecutive rows of a lane; with lanes over files, of a file, whose number then stands for the lane's.
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
    /// Of lanes over files: what the file is, by which its rows are told from those of others.
    pub of_file: Option<OfFile>,
}

/// What a chunk of a file says beside its rows.
#[derive(Default)]
pub struct OfFile {
    /// Rows of the file.
    pub num_rows: u64,
    /// The id of each row that is there.
    pub row_ids: Vec<u64>,
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
    files: Option<Arc<Files>>,
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // Before the threads are joined: they may wait for a network.
        self.stop_files();
    }
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
        let windows = OpenWindows::new(Arc::clone(&table), Arc::clone(&epochs), 0);
        let ahead = ReadAhead::start(&table, &epochs, limits.num_threads > 0);
        let ahead = ahead.map(|ahead| ahead.without(Arc::clone(&pruned)));
        let track = Arc::new(Track { table, epochs, ahead, windows, pruned });
        Self::with_jobs(limits, None, move || {
            let (track, encoder) = (Arc::clone(&track), encoder.clone());
            let mut hands = Hands::default();
            Box::new(move |chunk: Chunk| {
                let elements = chunk.start..chunk.start + chunk.len;
                let read = track.read(chunk.epoch, chunk.lane, elements, &mut hands)?;
                read.encoded(encoder.as_deref())
            })
        })
    }

    /// The same over files, each of which has an order of its own.
    pub fn over_files(files: Arc<Files>, encoder: Option<Arc<Encoder>>, limits: Limits) -> Self {
        let read = Arc::clone(&files);
        Self::with_jobs(limits, Some(read), move || {
            let (files, encoder) = (Arc::clone(&files), encoder.clone());
            Box::new(move |chunk: Chunk| files.read(chunk)?.encoded(encoder.as_deref()))
        })
    }

    fn with_jobs(
        limits: Limits,
        files: Option<Arc<Files>>,
        make_job: impl Fn() -> Job<Chunk, ChunkRows> + Send + Sync + 'static,
    ) -> Self {
        let requests = Requests::start(limits, Arc::new(make_job));
        Self { requests, asked: Mutex::default(), fork_generation: fork_generation(), files }
    }

    fn stop_files(&self) {
        if let Some(files) = &self.files {
            files.stop();
        }
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
        self.stop_files();
        self.requests.close();
    }
}

impl ChunkRows {
    /// The rows as what `encoder` makes of them.
    fn encoded(mut self, encoder: Option<&Encoder>) -> Result<Self> {
        if let Some(encoder) = encoder {
            self.rows = encoder.apply(&self.rows)?;
        }
        Ok(self)
    }
}

/// Where the rows of lanes are read.
pub(super) struct Track {
    pub table: Arc<Table>,
    pub epochs: Arc<Epochs>,
    pub ahead: Option<ReadAhead>,
    pub windows: OpenWindows,
    pub pruned: Arc<Pruned>,
}

/// What one thread at a time reads with.
#[derive(Default)]
pub(super) struct Hands {
    readers: EpochReaders,
    recent: RecentBlocks,
}

impl Hands {
    /// The ids of the rows of some elements of a track's one lane.
    pub fn row_ids(&mut self, track: &Track, epoch: u64, elements: Range<u64>) -> impl Iterator<Item = u64> {
        elements.map(move |element| self.readers.row_id(&track.epochs, &track.epochs.spot(epoch, 0, element)))
    }
}

impl Track {
    /// The rows of some elements of a lane.
    pub fn read(&self, epoch: u64, lane: u32, elements: Range<u64>, hands: &mut Hands) -> Result<ChunkRows> {
        if let Some(ahead) = &self.ahead {
            ahead.reached(&self.epochs.spot(epoch, lane, elements.start));
        }
        let mut read = ChunkRows::default();
        for element in elements.clone() {
            let spot = self.epochs.spot(epoch, lane, element);
            let place = hands.readers.locate(&self.epochs, &spot);
            self.windows.reached(&spot);
            if self.pruned.contains(&self.table, place.block) {
                read.num_pruned += 1;
            } else if self.table.push_row(place, &mut read.rows, &mut hands.recent)? {
                read.offsets.push((element - elements.start) as u32);
            }
        }
        read.rows.ensure()?;
        Ok(read)
    }
}
