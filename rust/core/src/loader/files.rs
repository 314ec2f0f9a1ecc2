//! Lanes over files: a file is opened when its lane comes to it, and read in an order of its own.
//!
//! Nothing of a file but its name and size is known before, so that the first step of a stream over a million files
//! waits for the footers of some dozens.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_schema::SchemaRef;
use parking_lot::Mutex;

use super::ahead::ReadAhead;
use super::epochs::Epochs;
use super::lanes::{Chunk, ChunkRows, Hands, OfFile, Track};
use super::pruned::Pruned;
use super::shards::Shards;
use super::table::{OnError, Projection, Table, layout_of};
use super::windows::OpenWindows;
use crate::error::{Error, Result};
use crate::interrupt::adopt;
use crate::manifest::{Manifest, ManifestOptions};
use crate::order::{Key, Level, OrderSettings};
use crate::source::remote::is_remote;
use crate::source::{FileIdentity, IoMode};

/// Bits of a row's place in its file; those above are the file's number.
const ROW_BITS: u32 = 40;

/// Files that were read to their end and are kept for threads that lag behind.
const LINGERING: usize = 4;

/// Files to be read, and how.
#[derive(Debug, Clone)]
pub struct FileSpec {
    /// The files; a file's number is its place here.
    pub paths: Vec<PathBuf>,
    /// Bytes of each, where they are known: the stream is named by them.
    pub sizes: Vec<Option<u64>>,
    /// What is known of those on a network.
    pub known: HashMap<PathBuf, FileIdentity>,
    /// (stored name, name) of the columns that are read.
    pub columns: Vec<(String, String)>,
    /// The order of the rows inside a file; its seed is that of the whole.
    pub settings: OrderSettings,
    /// How files are read.
    pub io: IoMode,
    /// Bytes of all files, as far as they are known.
    pub total_bytes: u64,
    /// Lanes that are read side by side.
    pub num_lanes: u64,
}

/// The files that lanes are in.
pub struct Files {
    spec: FileSpec,
    /// What each file's columns must be.
    schema: SchemaRef,
    /// The least recently used first.
    open: Mutex<Vec<Arc<Slot>>>,
    /// Set when nobody reads on: threads that wait for a network give up.
    is_stopped: Arc<AtomicBool>,
}

struct Slot {
    file: u32,
    is_done: AtomicBool,
    /// Locked while the file is opened, so that threads that meet here open it once.
    opened: Mutex<Option<Arc<OpenFile>>>,
}

struct OpenFile {
    track: Track,
    num_rows: u64,
    /// Of threads that have read here and read elsewhere now.
    hands: Mutex<Vec<Hands>>,
}

impl Files {
    /// Opens none yet. Columns must have the types of `schema`.
    pub fn new(spec: FileSpec, schema: SchemaRef) -> Self {
        Self { spec, schema, open: Mutex::default(), is_stopped: Arc::default() }
    }

    /// Ends all waits for a network; nothing is read any more.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// The rows of a chunk of a file; fewer where the file ends.
    pub(super) fn read(&self, chunk: Chunk) -> Result<ChunkRows> {
        adopt(&self.is_stopped, || self.read_chunk(chunk))
    }

    fn read_chunk(&self, chunk: Chunk) -> Result<ChunkRows> {
        let slot = self.slot(chunk.lane);
        let file = slot.file(&self.spec, &self.schema)?;
        let end = chunk.start.saturating_add(chunk.len).min(file.num_rows);
        let elements = chunk.start.min(end)..end;
        let mut hands = file.hands.lock().pop().unwrap_or_default();
        let mut read = file.track.read(chunk.epoch, 0, elements.clone(), &mut hands)?;
        let first_id = u64::from(chunk.lane) << ROW_BITS;
        let row_ids = hands.row_ids(&file.track, chunk.epoch, elements).map(|id| first_id + id).collect();
        read.of_file = Some(OfFile { num_rows: file.num_rows, row_ids });
        file.hands.lock().push(hands);
        if end == file.num_rows {
            slot.is_done.store(true, Ordering::Relaxed);
        }
        Ok(read)
    }

    /// The place of a file among those that are open; files behind whose end the lanes are have to go.
    fn slot(&self, file: u32) -> Arc<Slot> {
        let mut open = self.open.lock();
        let at = open.iter().position(|slot| slot.file == file);
        let slot = at.map_or_else(|| Arc::new(Slot::new(file)), |at| open.remove(at));
        open.push(Arc::clone(&slot));
        let is_done = |slot: &Arc<Slot>| slot.is_done.load(Ordering::Relaxed);
        let num_done = open.iter().filter(|slot| is_done(slot)).count();
        let mut leaving = Vec::new();
        if num_done > LINGERING
            && let Some(oldest) = open.iter().position(is_done)
        {
            leaving.push(open.remove(oldest));
        }
        // Two of each lane: the one that it is in, and the next.
        if open.len() as u64 > 2 * self.spec.num_lanes + LINGERING as u64 {
            leaving.push(open.remove(0));
        }
        drop(open);
        // Closing may take a while; the others need not wait for it.
        drop(leaving);
        slot
    }
}

impl Slot {
    fn new(file: u32) -> Self {
        Self { file, is_done: AtomicBool::new(false), opened: Mutex::default() }
    }

    fn file(&self, spec: &FileSpec, schema: &SchemaRef) -> Result<Arc<OpenFile>> {
        let mut opened = self.opened.lock();
        if let Some(file) = &*opened {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(spec.open(self.file, schema)?);
        *opened = Some(Arc::clone(&file));
        Ok(file)
    }
}

impl FileSpec {
    /// Whether any of the files lies on a network.
    pub fn is_remote(&self) -> bool {
        self.paths.iter().any(|path| is_remote(path))
    }

    fn open(&self, file: u32, schema: &SchemaRef) -> Result<OpenFile> {
        let path = self
            .paths
            .get(file as usize)
            .ok_or_else(|| Error::InvalidArgument(format!("there is no file {file}")))?;
        if !is_remote(path) {
            self.check_size(file, path)?;
        }
        let known = self.known.get(path).map(|identity| (path.clone(), *identity));
        // An index is of all files of a folder: writing it anew for each of them would take the square of their number.
        let options = ManifestOptions {
            use_index: false,
            num_threads: Some(1),
            known: known.into_iter().collect(),
            ..ManifestOptions::default()
        };
        let manifest = Manifest::open(std::slice::from_ref(path), &options)?;
        let layout = Arc::new(layout_of(&manifest)?);
        let num_rows = layout.num_rows();
        if num_rows >> ROW_BITS != 0 {
            let message = format!("{num_rows} rows are more than lanes over files count in one file");
            return Err(Error::Unsupported { path: path.clone(), message });
        }
        // What no row stands in may have any columns: an empty tar has none.
        let has_rows = num_rows > 0;
        let projection = if has_rows { self.projection(&manifest, path)? } else { Projection::default() };
        let shards =
            Shards::new(manifest, Arc::clone(&layout), projection, self.io).of_dataset(self.total_bytes);
        if has_rows {
            check_columns(path, shards.schema(), schema)?;
        }
        let table = Arc::new(Table::of_shards(shards, OnError::Raise).one_of(self.num_lanes));
        let seed = Key::new(self.settings.seed, 0, Level::Files, u64::from(file)).seed();
        let settings = OrderSettings { seed, num_lanes: 1, ..self.settings.clone() };
        let epochs = Arc::new(Epochs::new(layout, settings));
        let ahead = ReadAhead::of_file(&table, &epochs, self.num_lanes);
        let windows = OpenWindows::new(Arc::clone(&table), Arc::clone(&epochs), 0);
        let track = Track { table, epochs, ahead, windows, pruned: Arc::new(Pruned::new(1)) };
        Ok(OpenFile { track, num_rows, hands: Mutex::default() })
    }

    /// An error where a local file is not as long as when the stream was made: cursors name the files by that.
    fn check_size(&self, file: u32, path: &Path) -> Result<()> {
        let Some(then) = self.sizes.get(file as usize).copied().flatten() else { return Ok(()) };
        match std::fs::metadata(path) {
            Ok(now) if now.len() != then => Err(Error::corrupt(
                path,
                format!(
                    "it has changed since the data set was opened ({then} bytes then, {} now); open it again",
                    now.len()
                ),
            )),
            // What is not there is told by who opens it.
            _ => Ok(()),
        }
    }

    fn projection(&self, manifest: &Manifest, path: &Path) -> Result<Projection> {
        let index = |(stored, _): &(String, String)| {
            manifest.schema().index_of(stored).map_err(|_| Error::SchemaMismatch {
                path: Some(path.to_owned()),
                message: format!(
                    "{}: there is no column {stored:?}, which the first file has",
                    path.display()
                ),
            })
        };
        let indices = self.columns.iter().map(index).collect::<Result<_>>()?;
        Ok(Projection { indices, names: self.columns.iter().map(|(_, name)| name.clone()).collect() })
    }
}

/// Rows of several files stand in one batch: their columns must be of the same types.
fn check_columns(path: &Path, found: &SchemaRef, wanted: &SchemaRef) -> Result<()> {
    let differs =
        found.fields().iter().zip(wanted.fields()).find(|(one, other)| one.data_type() != other.data_type());
    let Some((one, other)) = differs else { return Ok(()) };
    Err(Error::SchemaMismatch {
        path: Some(path.to_owned()),
        message: format!(
            "{}: column {:?} is {} here and {} in the first file; lanes over files look at no file before they come to it, \
             so types are not made one: open without lanes_over, or leave the column out",
            path.display(),
            one.name(),
            one.data_type(),
            other.data_type()
        ),
    })
}
