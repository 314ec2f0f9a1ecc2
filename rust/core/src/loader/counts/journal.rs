//! What a counting pass has done so far, appended range by range: one that was killed goes on from it.
//!
//! ```text
//! header: magic, digest, rows (32 bytes) | for each range: first row, rows, large ones, xxh3 of what follows |
//! its counts: u32 a row | its large ones: (row, tokens)
//! ```
//!
//! All numbers are little-endian. Ranges come in any order. A half-written last one is cut off.

use std::fs::{File, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::file::{CountsKey, LARGE, LEFT_OUT, Writer};

const MAGIC: [u8; 8] = *b"rwmtkj\0\x01";

const HEADER: u64 = 32;

/// First row, rows, large ones, checksum.
const ENTRY: usize = 32;

/// How often a lock is tried that another process holds.
const PAUSE: Duration = Duration::from_millis(50);

/// The counts of consecutive rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub first_row: u64,
    /// As they are stored.
    pub counts: Vec<u32>,
    /// (row, tokens) of those that are too large for that.
    pub large: Vec<(u64, u64)>,
}

impl Counted {
    /// Adds the count of the next row; `None` where it was left out.
    pub fn push(&mut self, num_tokens: Option<u64>) {
        let row = self.first_row + self.counts.len() as u64;
        let stored = match num_tokens {
            None => LEFT_OUT,
            Some(tokens) => u32::try_from(tokens).ok().filter(|tokens| *tokens < LEFT_OUT).unwrap_or(LARGE),
        };
        if stored == LARGE {
            self.large.push((row, num_tokens.unwrap_or(0)));
        }
        self.counts.push(stored);
    }

    fn to_bytes(&self) -> Vec<u8> {
        let counts = self.counts.iter().flat_map(|count| count.to_le_bytes());
        let large = self.large.iter().flat_map(|(row, tokens)| [row.to_le_bytes(), tokens.to_le_bytes()]);
        let payload: Vec<u8> = counts.chain(large.flatten()).collect();
        let head = [self.first_row, self.counts.len() as u64, self.large.len() as u64, xxh3_64(&payload)];
        let mut bytes: Vec<u8> = head.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(payload);
        bytes
    }
}

/// A range that the journal holds, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    rows: Range<u64>,
    num_large: u64,
    /// Where its counts begin.
    offset: u64,
}

/// The journal of one file of counts.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    key: CountsKey,
    held: Vec<Held>,
    end: u64,
}

impl Journal {
    /// Opens what a pass before has left, or begins anew; the caller holds the lock of its name.
    pub fn open(path: &Path, key: CountsKey) -> io::Result<Self> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut journal = Self { file, key, held: Vec::new(), end: HEADER };
        if journal.read_header()? == journal.header() {
            journal.read_ranges()?;
        } else {
            journal.file.set_len(0)?;
            journal.file.seek(SeekFrom::Start(0))?;
            let header = journal.header();
            journal.file.write_all(&header)?;
        }
        journal.file.set_len(journal.end)?;
        journal.file.seek(SeekFrom::Start(journal.end))?;
        Ok(journal)
    }

    /// Ranges that are done, in the order of their rows.
    pub fn done(&self) -> Vec<Range<u64>> {
        let mut done: Vec<_> = self.held.iter().map(|held| held.rows.clone()).collect();
        done.sort_unstable_by_key(|rows| rows.start);
        done
    }

    /// Adds a range; what is not wholly written when this process dies is cut off later.
    pub fn add(&mut self, counted: &Counted) -> io::Result<()> {
        let bytes = counted.to_bytes();
        self.file.write_all(&bytes)?;
        let rows = counted.first_row..counted.first_row + counted.counts.len() as u64;
        let offset = self.end + ENTRY as u64;
        self.held.push(Held { rows, num_large: counted.large.len() as u64, offset });
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Writes all ranges as one file of counts; `false` where they do not hold each row once.
    pub fn assemble(&mut self, target: &Path) -> io::Result<bool> {
        self.held.sort_unstable_by_key(|held| held.rows.start);
        let mut next = 0;
        for held in &self.held {
            if held.rows.start != next {
                return Ok(false);
            }
            next = held.rows.end;
        }
        if next != self.key.num_rows {
            return Ok(false);
        }
        let mut writer = Writer::create(target, self.key)?;
        for held in self.held.clone() {
            self.copy(&held, &mut writer)?;
        }
        writer.finish()?;
        Ok(true)
    }

    fn copy(&mut self, held: &Held, writer: &mut Writer) -> io::Result<()> {
        let num_rows = held.rows.end - held.rows.start;
        self.file.seek(SeekFrom::Start(held.offset + 4 * num_rows))?;
        let large = read_numbers(&mut self.file, 2 * held.num_large)?;
        self.file.seek(SeekFrom::Start(held.offset))?;
        let mut counts = BufReader::with_capacity(1 << 16, &self.file);
        let mut larges = large.chunks_exact(2);
        for _ in 0..num_rows {
            let mut count = [0; 4];
            counts.read_exact(&mut count)?;
            let stored = u32::from_le_bytes(count);
            let tokens = if stored == LARGE { larges.next().map_or(0, |pair| pair[1]) } else { 0 };
            writer.push(stored, tokens)?;
        }
        Ok(())
    }

    fn header(&self) -> [u8; HEADER as usize] {
        let mut header = [0; HEADER as usize];
        header[..8].copy_from_slice(&MAGIC);
        header[8..24].copy_from_slice(&self.key.digest.to_le_bytes());
        header[24..].copy_from_slice(&self.key.num_rows.to_le_bytes());
        header
    }

    fn read_header(&mut self) -> io::Result<[u8; HEADER as usize]> {
        let mut header = [0; HEADER as usize];
        match self.file.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok([0; HEADER as usize]),
            read => read.map(|()| header),
        }
    }

    /// Reads on until something is not whole.
    fn read_ranges(&mut self) -> io::Result<()> {
        let len = self.file.metadata()?.len();
        let mut file = BufReader::with_capacity(1 << 16, &self.file);
        while len - self.end >= ENTRY as u64 {
            let head = read_numbers(&mut file, 4)?;
            let [first, num_rows, num_large, checksum] = head[..] else { break };
            let offset = self.end + ENTRY as u64;
            let payload = num_rows.checked_mul(4).zip(num_large.checked_mul(16));
            let payload = payload.and_then(|(counts, large)| counts.checked_add(large));
            // A length is believed only where so much is there.
            let Some(payload) = payload.filter(|payload| *payload <= len - offset) else { break };
            let end = first.checked_add(num_rows).filter(|end| *end <= self.key.num_rows);
            let mut bytes = vec![0; payload as usize];
            file.read_exact(&mut bytes)?;
            let Some(end) = end.filter(|_| num_rows > 0 && xxh3_64(&bytes) == checksum) else { break };
            self.held.push(Held { rows: first..end, num_large, offset });
            self.end = offset + payload;
        }
        Ok(())
    }
}

fn read_numbers(from: &mut impl Read, count: u64) -> io::Result<Vec<u64>> {
    let mut word = [0; 8];
    (0..count).map(|_| from.read_exact(&mut word).map(|()| u64::from_le_bytes(word))).collect()
}

/// A file's lock; the system lets go of it if this process dies.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Waits as long as another process holds it and `watch` says to go on; `None` where that said to stop.
    pub fn wait(path: &Path, watch: &mut dyn FnMut() -> bool) -> io::Result<Option<Self>> {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self(file))),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if !watch() => return Ok(None),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Explicit, because a forked child may still hold the same open file.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::TokenCounts;
    use super::*;

    const KEY: CountsKey = CountsKey { digest: 3, num_rows: 30 };

    fn range(first_row: u64) -> Counted {
        let mut counted = Counted { first_row, ..Counted::default() };
        (first_row..first_row + 10).for_each(|row| counted.push(count(row)));
        counted
    }

    fn count(row: u64) -> Option<u64> {
        (row != 12).then_some(if row == 17 { u64::from(u32::MAX) } else { row })
    }

    #[test]
    fn a_pass_goes_on_where_another_one_was_killed_at_any_byte() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("x.part"), folder.path().join("x.tokens"));
        let mut journal = Journal::open(&path, KEY).unwrap();
        journal.add(&range(20)).unwrap();
        journal.add(&range(10)).unwrap();
        assert!(!journal.assemble(&target).unwrap());
        let bytes = std::fs::read(&path).unwrap();
        for len in (0..bytes.len()).step_by(13).chain([bytes.len()]) {
            std::fs::write(&path, &bytes[..len]).unwrap();
            let mut journal = Journal::open(&path, KEY).unwrap();
            let done = journal.done();
            let left = [0, 10, 20].into_iter().filter(|first| done.iter().all(|rows| rows.start != *first));
            for first in left.collect::<Vec<_>>() {
                journal.add(&range(first)).unwrap();
            }
            assert!(journal.assemble(&target).unwrap());
            let counts = TokenCounts::open(&target, KEY).unwrap().unwrap();
            assert!((0..30).all(|row| counts.row(row).unwrap() == count(row)), "{len}");
        }
        assert_eq!(Journal::open(&path, KEY).unwrap().done(), [0..10, 10..20, 20..30]);
    }

    #[test]
    fn a_changed_byte_loses_its_range_and_those_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.part");
        let mut journal = Journal::open(&path, KEY).unwrap();
        for first in [10, 0, 20] {
            journal.add(&range(first)).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x80;
            std::fs::write(&path, &changed).unwrap();
            let done: Vec<_> =
                Journal::open(&path, KEY).unwrap().done().iter().map(|rows| rows.start).collect();
            assert!([[].as_slice(), &[10], &[0, 10]].contains(&done.as_slice()), "{at}: {done:?}");
        }
        std::fs::write(&path, &bytes).unwrap();
        assert!(Journal::open(&path, CountsKey { digest: 4, ..KEY }).unwrap().done().is_empty());
    }

    #[test]
    fn a_lock_keeps_others_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let held = Lock::wait(&path, &mut || true).unwrap().unwrap();
        assert!(Lock::wait(&path, &mut || false).unwrap().is_none());
        drop(held);
        assert!(Lock::wait(&path, &mut || false).unwrap().is_some());
    }
}
