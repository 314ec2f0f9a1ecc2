//! One pass over all rows that counts their tokens.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::crew;
use super::file::{CountsKey, TokenCounts};
use super::journal::{Counted, Journal, Lock};
use crate::error::{Error, Result};
use crate::loader::packed::documents::{Content, DocumentCounter};
use crate::loader::table::Table;

/// Rows of a range that is counted and kept at once, unless a block alone has more.
const RANGE_ROWS: u64 = 4_096;

/// Bytes of blocks in such a range: what a kill loses.
const RANGE_BYTES: u64 = 4 << 20;

/// What is counted, and where it is kept.
pub struct CountSpec<'a> {
    /// The opened data; all of its rows are counted.
    pub table: &'a Table,
    /// What a row is as a document.
    pub content: &'a Content,
    /// Where the counts are kept.
    pub path: PathBuf,
    /// What they belong to.
    pub key: CountsKey,
    /// Threads that read and encode.
    pub num_threads: usize,
    /// Count again what is known.
    pub force: bool,
}

/// How far a pass is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Rows that are counted.
    pub done: u64,
    /// Rows in all.
    pub total: u64,
}

/// The counts of all rows: those that are kept, or, where none are, those of a pass over the data; with the rows that
/// this call has counted. `None` where `watch`, which is asked ten times a second, said to stop.
///
/// A pass that is killed or stopped goes on where it was. Of several processes one counts and the others wait.
///
/// # Errors
/// What reading or encoding raises; `Io` where the counts cannot be kept.
pub fn count_tokens(
    spec: &CountSpec<'_>,
    watch: &mut dyn FnMut(Progress) -> bool,
) -> Result<Option<(TokenCounts, u64)>> {
    let CountSpec { path, key, .. } = spec;
    if !spec.force
        && let Some(known) = sound(path, *key)?
    {
        return Ok(Some((known, 0)));
    }
    let failed = |error| Error::io("write", path, error);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let nothing = Progress { done: 0, total: key.num_rows };
    let Some(lock) =
        Lock::wait(&path.with_extension("tokens.lock"), &mut || watch(nothing)).map_err(failed)?
    else {
        return Ok(None);
    };
    // Another process may have been faster.
    if !spec.force
        && let Some(known) = sound(path, *key)?
    {
        return Ok(Some((known, 0)));
    }
    let part = path.with_extension("tokens.part");
    let Some(num_counted) = pass(spec, &part, watch)? else { return Ok(None) };
    std::fs::remove_file(&part).or_else(ignore_missing).map_err(failed)?;
    drop(lock);
    let counts = TokenCounts::open(path, *key)?;
    let counts =
        counts.ok_or_else(|| Error::Internal("token counts vanished while they were written".to_owned()))?;
    Ok(Some((counts, num_counted)))
}

/// The counts that are kept; those that are damaged are none.
fn sound(path: &Path, key: CountsKey) -> Result<Option<TokenCounts>> {
    match TokenCounts::open(path, key) {
        Err(Error::CorruptShard { .. }) => Ok(None),
        opened => opened,
    }
}

/// Counts what the journal does not hold yet, and writes the whole; tells how many rows that were.
fn pass(spec: &CountSpec<'_>, part: &Path, watch: &mut dyn FnMut(Progress) -> bool) -> Result<Option<u64>> {
    let failed = |error| Error::io("write", part, error);
    if spec.force {
        std::fs::remove_file(part).or_else(ignore_missing).map_err(failed)?;
    }
    let mut journal = Journal::open(part, spec.key).map_err(failed)?;
    let ranges = ranges_of(spec.table);
    let done = journal.done();
    let is_done = |rows: &Range<u64>| done.binary_search_by_key(&rows.start, |rows| rows.start).is_ok();
    let left: Vec<_> = ranges.into_iter().filter(|rows| !is_done(rows)).collect();
    let num_known: u64 = done.iter().map(|rows| rows.end - rows.start).sum();
    let num_done = AtomicU64::new(num_known);
    let shared = Mutex::new(&mut journal);
    let made = crew::run(
        left.len(),
        spec.num_threads,
        || DocumentCounter::new(spec.table, spec.content),
        |counter, index| {
            let counted = count(spec.table, counter, left[index].clone(), &num_done)?;
            shared.lock().add(&counted).map_err(failed)
        },
        &mut || watch(Progress { done: num_done.load(Ordering::Relaxed), total: spec.key.num_rows }),
    )?;
    if made.is_none() {
        return Ok(None);
    }
    if !journal.assemble(&spec.path).map_err(|error| Error::io("write", &spec.path, error))? {
        // Of an older way to cut the data into ranges.
        return pass(&CountSpec { force: true, path: spec.path.clone(), ..*spec }, part, watch);
    }
    Ok(Some(spec.key.num_rows - num_known))
}

fn count(
    table: &Table,
    counter: &mut DocumentCounter<'_>,
    rows: Range<u64>,
    num_done: &AtomicU64,
) -> Result<Counted> {
    let mut counted = Counted { first_row: rows.start, ..Counted::default() };
    for row in rows.clone() {
        counted.push(counter.count(row)?);
        num_done.fetch_add(1, Ordering::Relaxed);
    }
    // Each row is looked at once: none of its blocks is worth keeping.
    table.forget(rows);
    Ok(counted)
}

/// Runs of whole blocks, none of which is read by two threads.
fn ranges_of(table: &Table) -> Vec<Range<u64>> {
    let layout = table.layout();
    let (mut ranges, mut bytes) = (Vec::new(), 0);
    let mut range = 0..0;
    for block in 0..layout.num_blocks() as u32 {
        range.end = layout.row_id(block, 0);
        if range.end - range.start >= RANGE_ROWS || bytes >= RANGE_BYTES {
            ranges.push(range.clone());
            (range.start, bytes) = (range.end, 0);
        }
        bytes += layout.block_bytes(block);
    }
    range.end = layout.num_rows();
    ranges.push(range);
    ranges.retain(|range| !range.is_empty());
    ranges
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
